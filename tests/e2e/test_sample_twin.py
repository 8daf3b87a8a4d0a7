"""The whole way, as a user goes it: run, nothing changed, one post changed, ask, the notebook."""

import json
import re
import socket
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1500)  # the first test builds the twin
STEPS = [
    "collect documents", "clean documents", "chunk documents", "embed chunks", "index chunks", "build datasets",
    "select samples", "prepare base", "train sft", "write rejected", "train dpo", "merge adapter", "quantize model",
    "find champion", "evaluate twin", "register models", "ask twin", "report drift",
]  # fmt: skip
ASKS_THE_WORLD = {"collect documents", "index chunks", "find champion"}


def how(output: str) -> dict[str, str]:
    """Step → ran, cached or failed, as the lines of a run say."""
    marks = {"✓": "ran", "=": "cached", "✗": "failed"}
    found = re.findall(r"^ ([✓=✗]) \w+ › ([a-z ]+?) {2,}", output, flags=re.MULTILINE)
    return {step: marks[mark] for mark, step in found}


def test_the_first_run_builds_a_twin_that_answers_with_sources(sample_twin) -> None:
    first = sample_twin.first
    assert first.code == 0, first.output[-3000:] + first.errors
    assert how(first.output) == dict.fromkeys(STEPS, "ran")
    assert "https://fenwick.example/posts/forty-one-hours.html" in first.output
    counted = re.search(r"Answers: (\d+) generated, (\d+) extracted, (\d+) refused", first.output)
    assert counted is not None
    assert sum(map(int, counted.groups())) >= 6, "three questions, two protocols"
    assert "(refused) " in first.output, "what nothing there answers is refused"
    report = Path(re.search(r"Report: (.+)", first.output)[1])
    page = report.read_text(encoding="utf-8")
    assert "Forty-one hours" in page
    assert set(re.findall(r'href="(\w+\.html)"', page)) >= {
        "collected.html",
        "evaluated.html",
        "drift.html",
    }
    for link in re.findall(r'href="(\w+\.html)"', page):
        assert (report.parent / link).stat().st_size > 500


def test_models_are_registered_with_the_alias_champion(sample_twin) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sample_twin.home}/mlflow/mlflow.db")
    names = {model.name for model in client.search_registered_models()}
    assert len(names) == 2
    for name in names:
        assert "odalys-fenwick" in name
        assert client.get_model_version_by_alias(name, "champion").version


def test_with_nothing_changed_only_the_world_is_asked(sample_twin) -> None:
    again = sample_twin.run()
    assert again.code == 0, again.output[-3000:] + again.errors
    assert {step for step, status in how(again.output).items() if status == "ran"} == ASKS_THE_WORLD
    assert "77 unchanged" in again.output
    assert "0 documents written, 0 deleted" in again.output


def test_one_changed_post_reruns_what_depends_on_it_and_nothing_else(sample_twin) -> None:
    record = json.loads((sample_twin.home / "twins" / "odalys-fenwick.json").read_text())
    sources = json.loads((Path(record["samples"]) / "manifest.json").read_text())["sources"]
    tested = next(s["url"] for s in sources if s["split"] == "test" and s["url"].startswith("https://fenwick.example/"))
    page = sample_twin.data / "blog" / tested.split("fenwick.example/")[1]
    before = page.read_text(encoding="utf-8")
    head, body = before.split('itemprop="articleBody"')
    changed_body = body.replace("</p>", " I have checked this twice since, in the rain.</p>", 1)
    page.write_text(f'{head}itemprop="articleBody"{changed_body}', encoding="utf-8")
    try:
        changed = sample_twin.run()
    finally:
        page.write_text(before, encoding="utf-8")
    assert changed.code == 0, changed.output[-3000:] + changed.errors
    status = how(changed.output)
    assert "1 changed" in changed.output
    assert "1 documents written" in changed.output
    for step in ("clean documents", "chunk documents", "embed chunks", "build datasets"):
        assert status[step] == "ran", step
    for step in ("prepare base", "train sft", "train dpo", "merge adapter", "quantize model"):
        assert status[step] == "cached", f"{step} does not depend on a document of the test split"


def test_ask_answers_from_what_the_run_left(sample_twin) -> None:
    done = sample_twin.twin("ask", "Where are the three copies of the tide database kept?")
    assert done.code == 0, done.errors
    assert "your-backup-is-a-rumour" in done.output


def test_a_port_in_use_is_one_clear_line(sample_twin) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = sample_twin.twin("serve", "--port", str(port))
    assert done.code == 2
    assert str(port) in done.errors
    assert " → " in done.errors
    assert "Traceback" not in done.errors


def test_the_notebook_runs_on_what_the_run_left(sample_twin, monkeypatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("LLM_TWIN_HOME", str(sample_twin.home))
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = Path(__file__).parents[2] / "notebooks" / "01_first_twin.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = "".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/html", ""))
        for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )  # fmt: skip
    assert "Odalys Fenwick" in shown
    assert "(extracted)" in shown or "(generated)" in shown
    assert "perplexity" in shown
