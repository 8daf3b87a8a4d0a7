"""Step: the evaluated adapter and quantized model in, registered versions with the alias `champion` out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def register_models(
    author: dict,
    champion_digest: str,
    base: dsl.Input[dsl.Model],
    adapter: dsl.Input[dsl.Model],
    quantized: dsl.Input[dsl.Model],
    samples: dsl.Input[dsl.Dataset],
    scores: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
) -> str:
    """Register adapter and quantized model with lineage and scores, ask the gate; return the release as JSON."""
    from pathlib import Path

    from llm_twin.evaluation.release import register_release
    from llm_twin.evaluation.scores import read_scores
    from llm_twin.recipes import EvaluationRecipe
    from llm_twin.settings import HomeSettings, RegistrySettings

    home = HomeSettings().root
    given = {"base": base, "adapter": adapter, "quantized": quantized, "samples": samples}
    folders = {name: Path(artifact.path) for name, artifact in given.items()}
    return register_release(
        RegistrySettings().resolve(home),
        RegistrySettings().resolve_exports(home),
        author["id"],
        folders,
        read_scores(scores.path),
        recipe,
        EvaluationRecipe.model_validate(recipe).gate,
    )
