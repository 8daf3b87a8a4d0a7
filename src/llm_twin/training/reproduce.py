"""Do a recorded training run again and say whether the result is the same, and if not, what differs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_path
from llm_twin.errors import InputError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.loop import TrainingResult
from llm_twin.training.record import LIBRARIES, installed_versions
from llm_twin.training.tracking import code_commit


@dataclass(frozen=True)
class Outcome:
    """Whether the weights came out equal, byte by byte, and lines that say what was compared."""

    same: bool
    lines: list[str]


def reproduce_run(tracking_uri: str, run_id: str, state: Path) -> Outcome:
    """Repeat the SFT or DPO run `run_id` from its own inputs. Raises InputError when the run or inputs are gone."""
    from llm_twin.tracing import open_experiment
    from llm_twin.training.tracking import EXPERIMENT

    open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.artifacts import load_dict
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        run = MlflowClient(tracking_uri=tracking_uri).get_run(run_id)
        record = load_dict(f"{run.info.artifact_uri}/training.json")
    except (MlflowException, OSError) as error:
        raise InputError(f"no finished training run {run_id}", "`twin models --lineage NAME` shows run ids") from error
    lines = _differences(record, run.data.tags.get("commit", ""))
    paths = {name: Path(path) for name, path in record["paths"].items()}
    for name, path in paths.items():
        if not path.exists():
            raise InputError(f"the run's input {name} is gone: {path}", "restore it from a backup, or build it again")
        if digest_path(path) != record["inputs"][name]:
            raise InputError(f"the run's input {name} has changed: {path}", "restore it from a backup")
    with tempfile.TemporaryDirectory(dir=_made(state), prefix="reproduce-") as folder:
        output = Path(folder) / "output"
        result = _train_again(record, paths, output, Path(folder) / "work")
        again = digest_weights(output)
    same = again == record["weights"]
    lines.append(f"weights: {record['weights']} then, {again} now: {'the same' if same else 'NOT the same'}")
    for name, value in sorted(record["figures"].items()):
        now = result.figures.get(name)
        if now is not None and now != value:
            lines.append(f"{name}: {value:.6g} then, {now:.6g} now")
    return Outcome(same, lines)


def _train_again(record: dict[str, Any], paths: dict[str, Path], output: Path, work: Path) -> TrainingResult:
    recipe = TrainingRecipe.model_validate(record["recipe"])
    if record["step"] == "sft":
        from llm_twin.training.sft import train_sft

        return train_sft(paths["base"], paths["samples"], recipe, output, work)
    from llm_twin.training.dpo import train_dpo

    return train_dpo(paths["base"], paths["adapter"], paths["samples"], recipe, output, work)


def _differences(record: dict[str, Any], commit: str) -> list[str]:
    """What of the surroundings is not as it was; the result may still be the same."""
    lines = []
    now = installed_versions()
    for library in LIBRARIES:
        if record["versions"].get(library) != now.get(library):
            lines.append(f"{library} was {record['versions'].get(library)}, is {now.get(library)}")
    if commit and commit != code_commit():
        lines.append(f"the code was at commit {commit[:12]}, is at {code_commit()[:12]}")
    return lines


def digest_weights(folder: Path) -> str:
    """Digest of the safetensors files of a folder: the weights, without tokenizer and records."""
    from llm_twin.digests import digest_json

    return digest_json([(file.name, digest_path(file)) for file in sorted(folder.glob("*.safetensors"))])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
