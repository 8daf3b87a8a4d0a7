"""Monitoring: compare what was answered with a reference window."""

from typing import Any, NamedTuple

from kfp import dsl

from components.monitoring.report_drift import report_drift
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `monitoring`."""
    Outputs = NamedTuple("Outputs", [("report", dsl.HTML)])

    @dsl.pipeline(name="monitoring", description="Drift of questions, answers and support.")
    def monitoring(author: dict, answers: dsl.Input[dsl.Dataset], recipe: dict) -> Outputs:
        drift = report_drift(author=author, answers=answers, recipe=recipe, code=options.code_of(report_drift))
        options.place(drift)
        return Outputs(report=drift.outputs["report"])

    return monitoring
