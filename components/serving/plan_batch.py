"""Step: a file of questions in, its shards out, with the versions of the twins that will answer."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def plan_batch(source: str, shards: int, model: str, questions: dsl.Output[dsl.Dataset]) -> list:
    """Read and check the questions; return what each shard is called with."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.operations.objects import read_object
    from llm_twin.serving.batch import plan_shards, read_questions
    from llm_twin.settings import ServingSettings

    target, serving = Path(questions.path), ServingSettings()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(read_object(source))
    count = sum(1 for _ in read_questions(target))
    parts = plan_shards(count, shards, serving.url, serving.key.get_secret_value(), model)
    seal(questions)
    note(questions, "plan-batch", f"{count:,} questions in {len(parts)} shards")
    return parts
