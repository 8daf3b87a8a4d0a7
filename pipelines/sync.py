"""Sync: the indexes of many authors brought in step with the warehouse side by side, each author a shard, or several.

With `shards` above 1 an author's documents are written by that many steps: one plans, they write, one shows the result.
"""

from typing import Any

from kfp import dsl

from components.features.finish_sync import finish_sync
from components.features.plan_sync import plan_sync
from components.features.sync_index import sync_index
from components.features.sync_shard import sync_shard
from pipelines.options import BuildOptions

AT_ONCE = 4  # authors, and shards of each


def build(options: BuildOptions) -> Any:
    """The pipeline `sync`; `authors` is a list of {author, collection}, of which only the author is read."""

    def place(task: Any) -> Any:
        options.place(task).set_caching_options(False)  # it asks the stores, and writes only the difference
        return task

    @dsl.pipeline(name="sync", description="Index what changed in the warehouse, author by author.")
    def sync(authors: list, features: dict, shards: int = 1) -> None:
        with dsl.ParallelFor(authors, parallelism=AT_ONCE) as one:
            with dsl.If(shards == 1, name="whole"):
                place(sync_index(author=one.author, recipe=features))
            with dsl.Else(name="by documents"):
                planned = place(plan_sync(author=one.author, recipe=features, shards=shards))
                wanted, parts = planned.outputs["wanted"], planned.outputs["Output"]
                with dsl.ParallelFor(parts, parallelism=AT_ONCE) as part:
                    written = place(sync_shard(recipe=features, wanted=wanted, part=part))
                place(finish_sync(parts=parts, done=dsl.Collected(written.output)))

    return sync
