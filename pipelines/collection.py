"""Collection: an author's writing into the warehouse; hands on the digest of a snapshot."""

from typing import Any, NamedTuple

from kfp import dsl

from components.collection.collect_documents import collect_documents
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `collection`."""
    Outputs = NamedTuple("Outputs", [("snapshot", str), ("report", dsl.HTML)])

    @dsl.pipeline(name="collection", description="Crawl an author's sources into the warehouse.")
    def collection(author: dict, recipe: dict) -> Outputs:
        collect = options.place(collect_documents(author=author, recipe=recipe))
        collect.set_caching_options(False)  # it asks the outside world
        return Outputs(snapshot=collect.outputs["Output"], report=collect.outputs["report"])

    return collection
