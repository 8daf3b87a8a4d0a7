"""Serving: bring the twin up, ask it, keep the answers."""

from typing import Any, NamedTuple

from kfp import dsl

from components.serving.ask_twin import ask_twin
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `serving`."""
    Outputs = NamedTuple("Outputs", [("answers", dsl.Dataset), ("report", dsl.HTML)])

    @dsl.pipeline(name="serving", description="Serve the twin and ask the recipe's questions.")
    def serving(
        author: dict,
        index: str,
        release: str,
        base: dsl.Input[dsl.Model],
        adapter: dsl.Input[dsl.Model],
        recipe: dict,
    ) -> Outputs:
        ask = ask_twin(
            author=author, index=index, release=release, base=base, adapter=adapter, recipe=recipe,
            code=options.code_of(ask_twin),
        )  # fmt: skip
        options.place(ask, gpu=True)
        return Outputs(answers=ask.outputs["answers"], report=ask.outputs["report"])

    return serving
