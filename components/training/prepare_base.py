"""Step: a recipe in, its base model out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def prepare_base(recipe: dict, code: str, base: dsl.Output[dsl.Model]):
    """Train the seedling, or fetch the model that the recipe names; write a folder that transformers loads."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import HomeSettings, HubSettings
    from llm_twin.training import base as models

    token = HubSettings().token
    known = models.prepare_base(
        TrainingRecipe.model_validate(recipe),
        Path(base.path),
        HomeSettings().root / "cache",
        token.get_secret_value() if token else None,
    )
    seal(base)
    note(base, "prepare-base", f"{recipe['base_model']}, {known['parameters'] / 1e6:,.1f} M parameters")
