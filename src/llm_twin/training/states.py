"""Where each author's training stands, and what it cost: read from MLflow's runs and registry."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

STEPS = ("sft", "dpo")
WORDS = {"FINISHED": "finished", "FAILED": "failed", "RUNNING": "running", "KILLED": "stopped", "SCHEDULED": "waiting"}


@dataclass(frozen=True)
class AuthorState:
    """One author: the newest SFT and DPO run (state, when, seconds), their cost, and the registered champion."""

    author: str
    steps: dict[str, str] = field(default_factory=dict)  # step → state
    begun: str = ""  # of the newest step, ISO 8601, UTC
    seconds: float = 0.0
    cost: float = 0.0  # in the currency of node_pool.cost_per_hour; 0 where no price is set
    validation_loss: float | None = None
    reward_accuracy: float | None = None
    champion: str = ""

    @property
    def state(self) -> str:
        """In one word: of the last step that was begun."""
        return next((self.steps[step] for step in reversed(STEPS) if step in self.steps), "never trained")

    def line(self) -> str:
        """One line for a log."""
        cost = f", cost {self.cost:.2f}" if self.cost else ""
        spent = f"{self.seconds:.0f} s of training{cost}"
        return f"{self.author}: {self.state}, {spent}, champion {self.champion or 'none'}"


def read_states(tracking_uri: str, authors: list[str], cost_per_hour: float = 0.0) -> list[AuthorState]:
    """The state of each of `authors`, in their order; `cost_per_hour` is that of all nodes of one training step."""
    from llm_twin.tracing import open_experiment
    from llm_twin.training.tracking import EXPERIMENT

    experiment = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    return [_read_state(client, experiment, author, cost_per_hour) for author in authors]


def known_authors(tracking_uri: str) -> list[str]:
    """Every author of whom MLflow holds a training run, in order of their ids."""
    from llm_twin.tracing import open_experiment
    from llm_twin.training.tracking import EXPERIMENT

    experiment = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    client, found, token = MlflowClient(tracking_uri=tracking_uri), set(), None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        found |= {run.data.tags.get("author", "") for run in page}
        if not (token := page.token):
            return sorted(found - {""})


def summarise_states(states: list[AuthorState]) -> str:
    """The counts in one line, such as `3 authors: 2 finished, 1 failed; 240 s of training`."""
    counts = ", ".join(f"{count} {state}" for state, count in Counter(one.state for one in states).most_common())
    cost = sum(one.cost for one in states)
    spent = f"{sum(one.seconds for one in states):,.0f} s of training{f', cost {cost:,.2f}' if cost else ''}"
    return f"{len(states)} authors: {counts or 'none'}; {spent}"


def _read_state(client: Any, experiment: str, author: str, cost_per_hour: float) -> AuthorState:
    steps, seconds, begun = {}, 0.0, 0
    figures: dict[str, float] = {}
    for step in STEPS:
        query = f"tags.author = '{author}' AND tags.step = '{step}'"
        runs = client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time DESC"])
        if not runs or runs[0].info.start_time < begun:  # a DPO run of an earlier SFT says nothing of this one
            continue
        run = runs[0]
        begun = run.info.start_time
        steps[step] = WORDS.get(run.info.status, run.info.status.lower())
        ended = run.info.end_time or int(datetime.now(UTC).timestamp() * 1000)
        seconds += (ended - begun) / 1000
        figures |= run.data.metrics
    return AuthorState(
        author=author,
        steps=steps,
        begun=datetime.fromtimestamp(begun / 1000, UTC).isoformat(timespec="seconds") if begun else "",
        seconds=seconds,
        cost=seconds / 3600 * cost_per_hour,
        validation_loss=figures.get("final.validation_loss"),
        reward_accuracy=figures.get("final.heldout_reward_accuracy"),
        champion=_champion(client, author),
    )


def _champion(client: Any, author: str) -> str:
    from mlflow.exceptions import MlflowException

    from llm_twin.training.registry import CHAMPION, model_name

    name = model_name(author, "adapter")
    try:
        return f"{name} version {client.get_model_version_by_alias(name, CHAMPION).version}"
    except MlflowException:
        return ""


def render_states(states: list[AuthorState]) -> str:
    """One self-contained HTML table."""
    heads = ("author", "state", "SFT", "DPO", "begun", "seconds", "cost", "validation loss", "pairs", "champion")
    rows = []
    for state in states:
        cells = (
            state.author, state.state, state.steps.get("sft", "–"), state.steps.get("dpo", "–"), state.begun or "–",
            f"{state.seconds:,.0f}", f"{state.cost:,.2f}" if state.cost else "–", _number(state.validation_loss),
            _number(state.reward_accuracy), state.champion or "–",
        )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    total = f"{sum(s.seconds for s in states):,.0f} s, {sum(s.cost for s in states):,.2f}"
    style = "body{font:15px system-ui;margin:2em}td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #ccc}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>Authors</title><style>{style}</style><h1>Authors</h1>"
        f"<table><tr>{head}</tr>{''.join(rows)}</table><p>Together: {total}</p>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
