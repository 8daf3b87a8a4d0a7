"""Base model, SFT, DPO and merge one after the other, without a pipeline: what `twin train` runs."""

from __future__ import annotations

from pathlib import Path

from llm_twin.errors import InputError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.base import prepare_base
from llm_twin.training.merge import merge_adapter
from llm_twin.training.preflight import check_sft
from llm_twin.training.steps import run_dpo, run_sft


def train_all(
    recipe: TrainingRecipe,
    samples: Path,
    out: Path,
    home: Path,
    tracking_uri: str,
    token: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, str]:
    """Write `out`/base, sft, dpo and merged, and a report of each step; returns what was made, for printing.

    A folder that is there is not made again, so a second call goes on where the first was stopped.
    """
    if not samples.is_dir():
        raise InputError(f"no such samples folder: {samples}", "give the folder that build_datasets wrote")
    base, sft, dpo, merged = (out / name for name in ("base", "sft", "dpo", "merged"))
    if not (base / "config.json").is_file():
        prepare_base(recipe, base, home / "cache", token)
    if dry_run:
        findings = check_sft(base, samples, recipe, home / "training", force)
        return {f"check {number}": finding.text for number, finding in enumerate(findings, start=1)}
    made = {"base": str(base)}
    state = home / "training"
    if not (sft / "training.json").is_file():
        done = run_sft(base, samples, recipe, sft, out / "sft.html", state, tracking_uri, force=force)
        made |= {name: f"{value:.4g}" for name, value in done.figures.items()}
    if not (dpo / "training.json").is_file():
        pairs = run_dpo(base, sft, samples, recipe, dpo, out / "dpo.html", state, tracking_uri)
        made |= {name: f"{value:.4g}" for name, value in pairs.figures.items()}
    merge_adapter(base, dpo, merged)
    made |= {"sft": str(sft), "dpo": str(dpo), "merged": str(merged)}
    return made | {"reports": f"{out}/sft.html, {out}/dpo.html"}
