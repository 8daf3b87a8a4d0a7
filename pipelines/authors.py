"""Authors: the twin pipeline for many authors side by side; one that fails leaves the others be."""

from typing import Any

from kfp import dsl

from components.training.report_authors import report_authors
from pipelines import twin
from pipelines.options import BuildOptions

AT_ONCE = 4  # authors in training; a queue of the cluster (node_pool.queue) may hold them further


def build(options: BuildOptions) -> Any:
    """The pipeline `authors`; `authors` is a list of {author, collection}, the rest is theirs in common."""
    build_twin = twin.build(options)
    price = options.pool.cost_per_hour * options.pool.nodes if options.pool else 0.0

    @dsl.pipeline(name="authors", description="A twin for each of many authors, with cost and state of each.")
    def authors(
        authors: list, features: dict, datasets: dict, training: dict, evaluation: dict, serving: dict,
        monitoring: dict,
    ) -> None:  # fmt: skip
        told = report_authors(authors=authors, cost_per_hour=price)
        options.place(told)
        with dsl.ExitHandler(told, name="each author"), dsl.ParallelFor(authors, parallelism=AT_ONCE) as one:
            build_twin(
                author=one.author, collection=one.collection, features=features, datasets=datasets,
                training=training, evaluation=evaluation, serving=serving, monitoring=monitoring,
            )  # fmt: skip

    return authors
