"""Step: a run's answers in, a drift report against earlier requests out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def report_drift(
    author: dict,
    answers: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    """Compare Answer lines with the author's earlier requests; write an HTML report and the drift metrics."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note
    from llm_twin.documents import Answer, read_jsonl
    from llm_twin.monitoring import drift, observations, window
    from llm_twin.recipes import MonitoringRecipe
    from llm_twin.settings import HomeSettings, RegistrySettings

    settings = MonitoringRecipe.model_validate(recipe)
    asked = list(read_jsonl(answers.path, Answer))
    uri = RegistrySettings().resolve(HomeSettings().root)
    ids = [answer.trace_id for answer in asked]
    reference, origin = window.find_reference(uri, author["id"], settings.reference_window, ids)
    found, page = drift.compare_windows(observations.from_answers(asked), reference, settings.drift_share, origin)
    note(report, "report-drift", drift.describe(found))
    Path(report.path).write_text(page, encoding="utf-8")
    log_figures(metrics, drift.headline(found))
