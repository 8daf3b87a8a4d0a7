"""The whole way: from an author's writing to a served, watched twin."""

from typing import Any, NamedTuple

from kfp import dsl

from pipelines import collection, datasets, evaluation, features, monitoring, serving, training
from pipelines.options import BuildOptions

STAGES = (collection, features, datasets, training, evaluation, serving, monitoring)
MODELS = ("base", "sft", "dpo", "merged", "quantized")


def build(options: BuildOptions) -> Any:
    """The pipeline `twin`; its parameters are the sections of a recipe."""
    Outputs = NamedTuple(
        "Outputs",
        [(name, str) for name in ("snapshot", "index", "release")]
        + [(name, dsl.Dataset) for name in ("documents", "chunks", "samples", "scores", "answers")]
        + [("vectors", dsl.Artifact)]
        + [(name, dsl.Model) for name in MODELS]
        + [(name, dsl.HTML) for name in ("collected", "split", "evaluated", "answered", "drift")],
    )
    collect, featurise, sample, train, evaluate, serve, watch = (stage.build(options) for stage in STAGES)

    @dsl.pipeline(name="twin", description="An author's writing → a language model of their voice, with sources.")
    def twin(
        author: dict, collection: dict, features: dict, datasets: dict, training: dict,
        evaluation: dict, serving: dict, monitoring: dict,
    ) -> Outputs:  # fmt: skip
        collected = collect(author=author, recipe=collection).outputs
        made = featurise(author=author, snapshot=collected["snapshot"], recipe=features).outputs
        data = sample(documents=made["documents"], recipe=datasets).outputs
        models = {
            name: output
            for name, output in train(samples=data["samples"], recipe=training).outputs.items()
            if name in MODELS
        }
        judged = evaluate(
            author=author, index=made["index"], chunks=made["chunks"], samples=data["samples"],
            recipe=evaluation, **models,
        ).outputs  # fmt: skip
        asked = serve(
            author=author, index=made["index"], release=judged["release"], recipe=serving,
            base=models["base"], adapter=models["dpo"],
        ).outputs  # fmt: skip
        watched = watch(author=author, answers=asked["answers"], recipe=monitoring).outputs
        return Outputs(
            snapshot=collected["snapshot"], index=made["index"], release=judged["release"],
            documents=made["documents"], chunks=made["chunks"], vectors=made["vectors"], samples=data["samples"],
            scores=judged["scores"], answers=asked["answers"], **models,
            collected=collected["report"], split=data["report"], evaluated=judged["report"],
            answered=asked["report"], drift=watched["report"],
        )  # fmt: skip

    return twin
