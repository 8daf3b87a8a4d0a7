"""The local runner on real kfp.local: what a cache hit means, how a step fails, what an interrupt leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.local_run import StepFailed, run_local
from tests.integration import tiny_pipeline


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def statuses(result) -> dict[str, str]:
    return {step.name: step.status for step in result.steps}


def test_nothing_changed_comes_from_the_cache_and_an_edit_of_the_code_does_not(home, tmp_path) -> None:
    file = tmp_path / "world.txt"
    file.write_text("abc 1")
    first = tiny_pipeline.run(home, file)
    assert statuses(first) == {"ask-world": "ran", "keep-letters": "ran", "count-letters": "ran"}
    again = tiny_pipeline.run(home, file)
    assert statuses(again) == {"ask-world": "ran", "keep-letters": "cached", "count-letters": "cached"}
    assert again.outputs["Output"] == first.outputs["Output"] == 3
    edited = tiny_pipeline.run(home, file, code="two")
    assert statuses(edited) == {"ask-world": "ran", "keep-letters": "ran", "count-letters": "ran"}


def test_a_step_that_made_the_same_again_stops_the_rerun_there(home, tmp_path) -> None:
    file = tmp_path / "world.txt"
    file.write_text("abc 1")
    tiny_pipeline.run(home, file)
    file.write_text("abc 2")  # another input, the same letters
    same = tiny_pipeline.run(home, file)
    assert statuses(same) == {"ask-world": "ran", "keep-letters": "ran", "count-letters": "cached"}
    file.write_text("abcd 2")
    other = tiny_pipeline.run(home, file)
    assert statuses(other) == {"ask-world": "ran", "keep-letters": "ran", "count-letters": "ran"}
    assert other.outputs["Output"] == 4


def test_a_path_that_names_an_interpreter_reaches_the_step_as_it_is(home, tmp_path) -> None:
    file = tmp_path / "lib" / "python3.11" / "python3" / "world.txt"
    file.parent.mkdir(parents=True)
    file.write_text("abc python3")
    assert tiny_pipeline.run(home, file).outputs["Output"] == len("abcpython")


def test_a_failed_step_says_what_why_and_what_to_do_and_the_next_run_goes_on(home, tmp_path) -> None:
    file = tmp_path / "world.txt"
    file.write_text("fail")
    with pytest.raises(StepFailed) as failed:
        tiny_pipeline.run(home, file)
    assert "keep-letters failed: 7 of 8 documents are empty" in failed.value.message
    assert "look at the source" in failed.value.remedy
    assert str(home / "logs" / "run.log") in failed.value.remedy
    file.write_text("fine")
    assert tiny_pipeline.run(home, file).outputs["Output"] == 4


def test_of_steps_side_by_side_the_one_that_fails_is_named_and_the_others_end(home, tmp_path) -> None:
    seen, log = [], home / "logs" / "run.log"

    def listen(event, step) -> None:
        seen.append((event, step.name, step.status, step.last_progress))

    arguments = {"words": ["abc", "fail", "xyz"]}
    with pytest.raises(StepFailed) as failed:
        run_local(tiny_pipeline.build_many(), arguments, home / "artifacts", home / "cache", log, listen)
    assert "keep-letters failed: 7 of 8 documents are empty" in failed.value.message
    ended = sorted((step, status, said) for event, step, status, said in seen if event == "ended")
    kept = ("keep-letters", "ran", "letters kept")
    assert ended == [("keep-letters", "failed", ""), kept, kept, ("tell", "ran", "told")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_running_step_and_leaves_no_process(home, tmp_path, number) -> None:
    file = tmp_path / "world.txt"
    file.write_text("hang")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.tiny_pipeline", str(home), str(file)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("progress keep-letters running hanging"):
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(number)
    process.wait(20)
    deadline = time.monotonic() + 5
    while any(child.is_running() for child in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in family if child.is_running()]
    assert process.returncode != 0
    content = home / "artifacts" / "content"
    assert not content.exists() or not list(content.rglob("kept"))
