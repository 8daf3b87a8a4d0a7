"""Corpus: collection to datasets, for those who train elsewhere."""

from typing import Any, NamedTuple

from kfp import dsl

from pipelines import collection, datasets, features
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `corpus`."""
    Outputs = NamedTuple(
        "Outputs",
        [("snapshot", str), ("index", str)]
        + [(name, dsl.Dataset) for name in ("documents", "chunks", "samples")]
        + [("vectors", dsl.Artifact)],
    )
    collect, featurise, sample = (stage.build(options) for stage in (collection, features, datasets))

    @dsl.pipeline(name="corpus", description="Collection, features and datasets of an author's writing.")
    def corpus(author: dict, collection: dict, features: dict, datasets: dict) -> Outputs:
        collected = collect(author=author, recipe=collection)
        made = featurise(author=author, snapshot=collected.outputs["snapshot"], recipe=features)
        samples = sample(documents=made.outputs["documents"], recipe=datasets)
        return Outputs(
            snapshot=collected.outputs["snapshot"],
            documents=made.outputs["documents"],
            chunks=made.outputs["chunks"],
            vectors=made.outputs["vectors"],
            index=made.outputs["index"],
            samples=samples.outputs["samples"],
        )

    return corpus
