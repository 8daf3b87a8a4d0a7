"""Bad input is one clear line with the remedy and exit code 2, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
name: mine
author: {{id: jane, name: Jane}}
collection:
  sources:
    - location: {source}
{more}
"""


def twin(tmp_path: Path, *arguments: str, timeout: int = 120, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_")}
    return subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", *arguments],
        env={**kept, "LLM_TWIN_HOME": str(tmp_path / "home"), **environment},
        capture_output=True, text=True, timeout=timeout, cwd=tmp_path,
    )  # fmt: skip


def write_recipe(tmp_path: Path, source: str = "texts", more: str = "") -> str:
    (tmp_path / "texts").mkdir(exist_ok=True)
    for number in range(6):
        words = " ".join(f"The {number * 40 + n}th gauge was read at noon, and its chart was dry." for n in range(9))
        (tmp_path / "texts" / f"{number}.md").write_text(f"# Chart {number}\n\n{words}\n")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(source=source, more=more))
    return str(path)


def check(done: subprocess.CompletedProcess, *says: str, code: int = 2) -> None:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    assert " → " in errors[0], "no remedy"
    for text in says:
        assert text in errors[0], errors[0]


def test_a_misspelt_key_names_the_key_and_the_file(tmp_path) -> None:
    recipe = write_recipe(tmp_path, more="training: {sft_epoch: 1}")
    check(twin(tmp_path, "run", "--recipe", recipe), "recipe.yaml", "training.sft_epoch", "sft_epochs")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--recipe", "none.yaml"), "none.yaml"),
        (("run", "--recipe", "smaple"), "did you mean 'sample'"),
        (("run", "--recipe", "handbook"), "--from-export"),
        (("run", "--recipe", "handbook", "--from-export", "nowhere"), "nowhere"),
        (("run", "--recipe", "sample", "--pipeline", "twins"), "twins"),
        (("restore", "none.tar.gz"), "none.tar.gz"),
        (("init", "--author", "Jane"), "--link"),
        (("init", "--author", "Jane", "--export", "none.zip"), "none.zip"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_argument_is_named(tmp_path, arguments, says) -> None:
    check(twin(tmp_path, *arguments), says)


def test_an_unwritable_home(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    check(twin(tmp_path, "run", LLM_TWIN_HOME=str(tmp_path / "file" / "home")), "LLM_TWIN_HOME")


def test_a_missing_source_file(tmp_path) -> None:
    recipe = write_recipe(tmp_path, source="exports/none.zip")
    check(twin(tmp_path, "run", "--recipe", recipe, "--pipeline", "corpus"), "none.zip")


def test_an_unreachable_url(tmp_path) -> None:
    recipe = write_recipe(tmp_path, source="http://nowhere.invalid/feed.xml")
    check(twin(tmp_path, "run", "--recipe", recipe, "--pipeline", "corpus"), "nowhere.invalid")


def test_a_model_that_cannot_be_loaded_says_whether_the_hub_was_reached(tmp_path) -> None:
    recipe = write_recipe(tmp_path, more="training: {base_model: nobody/nothing}")
    done = twin(
        tmp_path, "run", "--recipe", recipe, HF_ENDPOINT="http://127.0.0.1:9", timeout=280,
    )  # fmt: skip
    check(done, "nobody/nothing", "hub", "reach")


def test_help_teaches_and_answers_at_once(tmp_path) -> None:
    done = twin(tmp_path, "--help", timeout=20)
    assert done.returncode == 0
    for command in ("run", "init", "doctor", "serve", "ask", "backup", "restore"):
        assert command in done.stdout
    done = twin(tmp_path, "run", "--help", timeout=20)
    assert "--from-export" in done.stdout


def test_the_help_begins_where_a_newcomer_does(tmp_path):
    done = twin(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("│ init ") < done.stdout.index("│ run ") < done.stdout.index("│ extract ")
    assert "Operate" in done.stdout
    assert "More" not in done.stdout  # every command has its place in llm_twin.cli.PANELS
