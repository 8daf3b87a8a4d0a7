"""Step: the authors of a run in, state and cost of each one's training out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def report_authors(authors: list, cost_per_hour: float, report: dsl.Output[dsl.HTML]):
    """Read each author's training runs and champion from MLflow, whatever became of the run."""
    from pathlib import Path

    from llm_twin.progress import report as say
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.training import states

    tracking = RegistrySettings().resolve(HomeSettings().root)
    found = states.read_states(tracking, [one["author"]["id"] for one in authors], cost_per_hour)
    Path(report.path).parent.mkdir(parents=True, exist_ok=True)
    Path(report.path).write_text(states.render_states(found), encoding="utf-8")
    for line in (*(state.line() for state in found), states.summarise_states(found)):
        say(line)
