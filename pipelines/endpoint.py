"""Endpoint: an author's writing → an index whose passages an outside model answers from; nothing is trained."""

from typing import Any, NamedTuple

from kfp import dsl

from components.serving.ask_twin import ask_twin
from pipelines import collection, features, monitoring
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `endpoint`; its parameters are the sections of a recipe."""
    Outputs = NamedTuple(
        "Outputs",
        [(name, str) for name in ("snapshot", "index")]
        + [(name, dsl.Dataset) for name in ("documents", "chunks", "answers")]
        + [("vectors", dsl.Artifact)]
        + [(name, dsl.HTML) for name in ("collected", "answered", "drift")],
    )
    collect, featurise, watch = (stage.build(options) for stage in (collection, features, monitoring))

    @dsl.pipeline(name="endpoint", description="An author's writing → answers with sources by an outside model.")
    def endpoint(author: dict, collection: dict, features: dict, serving: dict, monitoring: dict) -> Outputs:
        collected = collect(author=author, recipe=collection).outputs
        made = featurise(author=author, snapshot=collected["snapshot"], recipe=features).outputs
        asked = ask_twin(author=author, index=made["index"], release="", recipe=serving, code=options.code_of(ask_twin))
        options.place(asked)
        watched = watch(author=author, answers=asked.outputs["answers"], recipe=monitoring).outputs
        return Outputs(
            snapshot=collected["snapshot"], index=made["index"], documents=made["documents"],
            chunks=made["chunks"], vectors=made["vectors"], answers=asked.outputs["answers"],
            collected=collected["report"], answered=asked.outputs["report"], drift=watched["report"],
        )  # fmt: skip

    return endpoint
