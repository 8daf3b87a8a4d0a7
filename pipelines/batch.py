"""Batch: a file of questions to a file of answers, asked of a twin that is served, shard by shard."""

from typing import Any, NamedTuple

from kfp import dsl

from components.serving.ask_shard import ask_shard
from components.serving.join_answers import join_answers
from components.serving.plan_batch import plan_batch
from pipelines.options import BuildOptions

AT_ONCE = 4  # shards


def build(options: BuildOptions) -> Any:
    """The pipeline `batch`; which server is asked is a setting of the steps (LLM_TWIN_SERVING_URL)."""
    Outputs = NamedTuple("Outputs", [("answers", dsl.Dataset)])

    @dsl.pipeline(name="batch", description="A file of questions to a file of answers, shard by shard.")
    def batch(source: str, target: str = "", shards: int = 4, model: str = "", parallel: int = 8) -> Outputs:
        planned = options.place(plan_batch(source=source, shards=shards, model=model))
        planned.set_caching_options(False)  # it asks the server which versions answer: they are in each part's key
        questions = planned.outputs["questions"]
        with dsl.ParallelFor(planned.outputs["Output"], parallelism=AT_ONCE) as part:
            asked = options.place(
                ask_shard(questions=questions, part=part, parallel=parallel, code=options.code_of(ask_shard))
            )
        joined = options.place(
            join_answers(questions=questions, shards=dsl.Collected(asked.outputs["answers"]), target=target)
        )
        joined.set_caching_options(False)  # it writes outside of the run
        return Outputs(answers=joined.outputs["answers"])

    return batch
