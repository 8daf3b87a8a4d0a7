"""Step: the answers of all shards in, one file in the order of the questions out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def join_answers(
    questions: dsl.Input[dsl.Dataset],
    shards: dsl.Input[list[dsl.Dataset]],
    target: str,
    answers: dsl.Output[dsl.Dataset],
) -> None:
    """Put the answers in order, and write them to `target` too, where one is named (s3://bucket/key)."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.operations.objects import write_object
    from llm_twin.serving.batch import join_shards

    joined = Path(answers.path)
    count = join_shards(Path(questions.path), [Path(shard.path) for shard in shards], joined)
    if target:
        write_object(target, joined.read_bytes())
    seal(answers)
    note(answers, "join-answers", f"{count:,} answers")
