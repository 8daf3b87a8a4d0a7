"""Evaluation: see who is champion, measure the twin, register its models and ask the gate."""

from typing import Any, NamedTuple

from kfp import dsl

from components.evaluation.evaluate_twin import evaluate_twin
from components.evaluation.find_champion import find_champion
from components.evaluation.register_models import register_models
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `evaluation`."""
    Outputs = NamedTuple("Outputs", [("release", str), ("scores", dsl.Dataset), ("report", dsl.HTML)])

    @dsl.pipeline(name="evaluation", description="Perplexity, retrieval and answers; register, alias champion.")
    def evaluation(
        author: dict,
        index: str,
        chunks: dsl.Input[dsl.Dataset],
        samples: dsl.Input[dsl.Dataset],
        base: dsl.Input[dsl.Model],
        sft: dsl.Input[dsl.Model],
        dpo: dsl.Input[dsl.Model],
        merged: dsl.Input[dsl.Model],
        quantized: dsl.Input[dsl.Model],
        recipe: dict,
    ) -> Outputs:
        champion = options.place(find_champion(author=author, adapter=dpo))
        champion.set_caching_options(False)  # it asks the registry: another champion alone makes the gate look again
        scores = evaluate_twin(
            author=author, index=index, champion_digest=champion.output, chunks=chunks, samples=samples, recipe=recipe,
            base=base, sft=sft, dpo=dpo, merged=merged, quantized=quantized,
            code=options.code_of(evaluate_twin),
        )  # fmt: skip
        options.place(scores, gpu=True)
        release = register_models(
            author=author, champion_digest=champion.output,
            base=base, adapter=dpo, quantized=quantized, samples=samples,
            scores=scores.outputs["scores"], recipe=recipe, code=options.code_of(register_models),
        )  # fmt: skip
        options.place(release)
        return Outputs(
            release=release.outputs["Output"],
            scores=scores.outputs["scores"],
            report=scores.outputs["report"],
        )

    return evaluation
