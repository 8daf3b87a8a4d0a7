"""Sync: the indexes of many authors brought in step with the warehouse side by side, each author a shard."""

from typing import Any

from kfp import dsl

from components.features.sync_index import sync_index
from pipelines.options import BuildOptions

AT_ONCE = 4  # authors


def build(options: BuildOptions) -> Any:
    """The pipeline `sync`; `authors` is a list of {author, collection}, of which only the author is read."""

    @dsl.pipeline(name="sync", description="Index what changed in the warehouse, author by author.")
    def sync(authors: list, features: dict) -> None:
        with dsl.ParallelFor(authors, parallelism=AT_ONCE) as one:
            task = options.place(sync_index(author=one.author, recipe=features))
            task.set_caching_options(False)  # it asks the warehouse and the index, and writes only the difference

    return sync
