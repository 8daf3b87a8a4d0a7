"""Step: a base model and instruction samples in, a fine-tuned adapter out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_sft(
    base: dsl.Input[dsl.Model], samples: dsl.Input[dsl.Dataset], recipe: dict, code: str,
    adapter: dsl.Output[dsl.Model], report: dsl.Output[dsl.HTML], metrics: dsl.Output[dsl.Metrics],
):  # fmt: skip
    """Fine-tune on the author's writing; goes on from the last checkpoint when it was killed."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.training.steps import run_sft

    home = HomeSettings().root
    done = run_sft(
        Path(base.path), Path(samples.path), TrainingRecipe.model_validate(recipe), Path(adapter.path),
        Path(report.path), home / "training", RegistrySettings().resolve(home), code,
    )  # fmt: skip
    log_figures(metrics, {**done.figures, **done.speed})
    seal(adapter)
    note(adapter, "train-sft", done.summary())
