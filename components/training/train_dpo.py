"""Step: a fine-tuned adapter and preference pairs in, an adapter that prefers the author's text out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_dpo(
    base: dsl.Input[dsl.Model], adapter: dsl.Input[dsl.Model], samples: dsl.Input[dsl.Dataset], recipe: dict, code: str,
    preferred: dsl.Output[dsl.Model], report: dsl.Output[dsl.HTML], metrics: dsl.Output[dsl.Metrics],
):  # fmt: skip
    """Train on preference pairs; goes on from the last checkpoint when it was killed."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.training.steps import run_dpo

    home = HomeSettings().root
    done = run_dpo(
        Path(base.path), Path(adapter.path), Path(samples.path), TrainingRecipe.model_validate(recipe),
        Path(preferred.path), Path(report.path), home / "training", RegistrySettings().resolve(home), code,
    )  # fmt: skip
    log_figures(metrics, {**done.figures, **done.speed})
    seal(preferred)
    note(preferred, "train-dpo", done.summary())
