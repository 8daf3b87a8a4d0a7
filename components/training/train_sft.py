"""Step: LoRA, QLoRA or full fine-tuning on the author's passages."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_sft(
    base: dsl.Input[dsl.Model],
    samples: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    adapter: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train, resuming from the last checkpoint of the same inputs; write the adapter, a report and metrics."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.digests import digest_json
    from llm_twin.recipes import TrainingRecipe
    from llm_twin.settings import HomeSettings
    from llm_twin.training.report import render_training
    from llm_twin.training.sft import train_sft

    settings = TrainingRecipe.model_validate(recipe)
    inputs = [base.metadata["digest"], samples.metadata["digest"], recipe, code]
    work = HomeSettings().root / "cache" / "checkpoints" / f"sft-{digest_json(inputs)}"
    done = train_sft(Path(base.path), Path(samples.path), settings, Path(adapter.path), work)
    Path(report.path).write_text(render_training(done), encoding="utf-8")
    for name, value in done.figures.items():
        metrics.log_metric(name, round(value, 6))
    seal(adapter)
    note(adapter, "train-sft", done.summary())
