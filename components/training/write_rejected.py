"""Step: preference pairs in, the same with rejected sides by the model in training out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def write_rejected(
    base: dsl.Input[dsl.Model], adapter: dsl.Input[dsl.Model], samples: dsl.Input[dsl.Dataset], recipe: dict, code: str,
    pairs: dsl.Output[dsl.Dataset],
):  # fmt: skip
    """Hand on the samples, with the model's own texts to win against where the recipe asks for them."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.training.rejected import write_rejected as write

    settings = TrainingRecipe.model_validate(recipe)
    counts = write(Path(base.path), Path(adapter.path), Path(samples.path), settings, Path(pairs.path))
    seal(pairs)
    made = f"{counts['model_written']} rejected sides by the {settings.rejected_from} model"
    note(pairs, "write-rejected", made if settings.rejected_from != "dataset" else "pairs as the data set has them")
