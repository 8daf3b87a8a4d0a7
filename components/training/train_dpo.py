"""Step: DPO after SFT, the author's text preferred to what is not theirs."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_dpo(
    base: dsl.Input[dsl.Model],
    adapter: dsl.Input[dsl.Model],
    samples: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    preferred: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train, resuming from the last checkpoint of the same inputs; write the adapter, a report and metrics."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.digests import digest_json
    from llm_twin.recipes import TrainingRecipe
    from llm_twin.settings import HomeSettings
    from llm_twin.training.dpo import train_dpo
    from llm_twin.training.report import render_training

    settings = TrainingRecipe.model_validate(recipe)
    inputs = [base.metadata["digest"], adapter.metadata["digest"], samples.metadata["digest"], recipe, code]
    work = HomeSettings().root / "cache" / "checkpoints" / f"dpo-{digest_json(inputs)}"
    done = train_dpo(Path(base.path), Path(adapter.path), Path(samples.path), settings, Path(preferred.path), work)
    Path(report.path).write_text(render_training(done), encoding="utf-8")
    for name, value in done.figures.items():
        metrics.log_metric(name, round(value, 6))
    seal(preferred)
    note(preferred, "train-dpo", done.summary())
