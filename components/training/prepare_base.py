"""Step: the recipe's base model, as one folder that transformers loads."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def prepare_base(recipe: dict, code: str, base: dsl.Output[dsl.Model]):
    """Grow the seedling, or fetch a hub model, or take a local folder."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.recipes import TrainingRecipe
    from llm_twin.settings import HomeSettings, HubSettings
    from llm_twin.training.base import prepare_base

    settings, secret = TrainingRecipe.model_validate(recipe), HubSettings().token
    token = secret.get_secret_value() if secret else None
    found = prepare_base(settings, Path(base.path), HomeSettings().root / "cache", token)
    seal(base)
    note(base, "prepare-base", f"{settings.base_model}, {found['parameters'] / 1e6:.1f} M parameters")
