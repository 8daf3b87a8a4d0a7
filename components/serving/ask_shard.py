"""Step: one shard of a batch in, its answers out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def ask_shard(
    questions: dsl.Input[dsl.Dataset], part: dict, parallel: int, code: str, answers: dsl.Output[dsl.Dataset]
) -> None:
    """Ask the shard's questions over HTTP; a shard that was stopped goes on where its machine has kept its answers."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.serving.batch import run_shard
    from llm_twin.settings import HomeSettings, ServingSettings

    serving = ServingSettings()
    done = run_shard(
        Path(questions.path), Path(answers.path), HomeSettings().root / "batch", part, serving.url,
        serving.key.get_secret_value(), parallel,
    )  # fmt: skip
    seal(answers)
    note(answers, "ask-shard", f"shard {part['shard'] + 1} of {part['shards']}: {done.asked + done.known} answered")
