"""Step: SFT or DPO on several GPUs or nodes, as a Kubeflow Trainer TrainJob that the step launches and follows."""

from kfp import dsl

from components.images import CORE_IMAGE, TRAIN_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def train_on_nodes(
    step: str, base: dsl.Input[dsl.Model], samples: dsl.Input[dsl.Dataset], recipe: dict, pool: dict,
    code: str, trained: dsl.Output[dsl.Model], report: dsl.Output[dsl.HTML], metrics: dsl.Output[dsl.Metrics],
    adapter: dsl.Input[dsl.Model] = None, image: str = TRAIN_IMAGE,
):  # fmt: skip
    """Create the job once, follow it, delete it when cancelled, and hand on what it trained."""
    from pathlib import Path

    from kubernetes import client, config

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.recipe_training import NodePool, TrainingRecipe
    from llm_twin.settings import RegistrySettings
    from llm_twin.training import nodes

    config.load_config()
    given = {"base": base, "samples": samples, **({"adapter": adapter} if adapter else {})}
    done = nodes.train_on_nodes(
        client.ApiClient(), step, {name: Path(artifact.path) for name, artifact in given.items()},
        TrainingRecipe.model_validate(recipe), NodePool.model_validate(pool), nodes.own_namespace(), image,
        Path(trained.path), Path(report.path), RegistrySettings().tracking_uri, code=code,
    )  # fmt: skip
    log_figures(metrics, {**done.figures, **done.speed})
    seal(trained)
    note(trained, f"train-{step}", done.summary())
