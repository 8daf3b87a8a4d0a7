"""Datasets: instruction and preference samples from the author's own text."""

from typing import Any, NamedTuple

from kfp import dsl

from components.datasets.build_datasets import build_datasets
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `datasets`."""
    Outputs = NamedTuple("Outputs", [("samples", dsl.Dataset), ("report", dsl.HTML)])

    @dsl.pipeline(name="datasets", description="Split by document; build instruction and preference samples.")
    def datasets(documents: dsl.Input[dsl.Dataset], recipe: dict) -> Outputs:
        samples = build_datasets(documents=documents, recipe=recipe, code=options.code_of(build_datasets))
        options.place(samples)
        return Outputs(samples=samples.outputs["samples"], report=samples.outputs["report"])

    return datasets
