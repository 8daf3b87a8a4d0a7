"""The four ways to a preference from the command line: a model or people write, a model or people judge."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_twin.datasets import build_dataset, publish_dataset, write_dataset
from llm_twin.datasets.sheets import read_rows, write_rows
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl
from llm_twin.recipes import DatasetsRecipe, LlmRecipe
from tests.integration.stub_llm import StubLlm, stub_llm
from tests.integration.test_datasets_llm import make_documents

RECIPE = DatasetsRecipe(embedder="", llm=LlmRecipe(timeout_seconds=1.0, retries=3, concurrency=8))
SERIAL = itertools.count()


def answer(prompt: str) -> dict[str, Any]:
    """A ranking that puts the response first which holds the author's “quotation marks” or a person's mark."""
    if '"ranking"' not in prompt:
        return {"text": f"Instruments require maintenance in the usual manner, number {next(SERIAL)}."}
    numbers = re.findall(r"^Response (\d+):$", prompt, re.MULTILINE)
    texts = re.split(r"^Response \d+:$", prompt, flags=re.MULTILINE)[1:]
    good = [number for number, text in zip(numbers, texts, strict=True) if "“" in text.split("Rank the")[0]]
    ranking = [*good, *(number for number in numbers if number not in good)]
    return {"ranking": [int(number) for number in ranking], "confidence": 0.8, "reason": "the others are stiff"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one data set version."""
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path))
    for name in ("LLM_TWIN_LLM_BASE_URL", "LLM_TWIN_LLM_MODEL", "LLM_TWIN_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    write_dataset(build_dataset(make_documents(15), RECIPE), tmp_path / "samples")
    publish_dataset(tmp_path / "samples", tmp_path / "datasets")
    return tmp_path


def twin(*arguments: str) -> str:
    """Run `twin datasets …`; its output."""
    from llm_twin.cli import datasets

    result = CliRunner().invoke(datasets.group, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def imported(sheet: Path) -> list[PreferenceSample]:
    output = sheet.with_suffix(".pairs.jsonl")
    said = twin("import-sheet", str(sheet), "--output", str(output))
    name = re.search(r"labels: \[(\w+)\]", said)
    assert name is not None, said
    return list(read_jsonl(output, PreferenceSample))


def use_model(monkeypatch: pytest.MonkeyPatch, stub: StubLlm) -> None:
    monkeypatch.setenv("LLM_TWIN_LLM_BASE_URL", stub.url)
    monkeypatch.setenv("LLM_TWIN_LLM_MODEL", "stub-model")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_model_writes_and_a_model_judges(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    sheet = home / f"sheet.{kind}"
    with stub_llm(answer) as stub:
        use_model(monkeypatch, stub)
        twin("export-sheet", str(sheet), "--count", "12", "--generate", "2")
        columns, rows = read_rows(sheet, ["response_d"])  # the author's, the degraded one, two by the model
        responses = sum(bool(row[f"response_{letter}"]) for _, row in rows for letter in "abcd")
        assert len(rows) == 12 and responses > 40  # some calls failed for good
        twin("judge-sheet", str(sheet))
        ranked = [row for _, row in read_rows(sheet, columns)[1] if row["ranking"]]
        assert len(ranked) >= 10 and all(row["judge"] == "stub-model" and row["sure"] == "0.8" for row in ranked)
        stub.fault_every = 0
        twin("judge-sheet", str(sheet))  # takes up the rows that failed, and leaves the others
        before = stub.requests
        assert "12 had a ranking" in twin("judge-sheet", str(sheet)) and stub.requests == before
    pairs = imported(sheet)
    assert len(pairs) == responses - 12  # the best against each other one
    authors = {s.output for s in read_jsonl(home / "samples" / "instruction_train.jsonl", InstructionSample)}
    assert all(pair.chosen in authors and pair.chosen_source == "author" for pair in pairs)
    assert {pair.rejected_source for pair in pairs} == {"degraded", "llm"}
    assert all("judged by stub-model: the others are stiff" in pair.reason for pair in pairs)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_model_writes_and_people_judge(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    sheet = home / f"sheet.{kind}"
    with stub_llm(answer, fault_every=0) as stub:
        use_model(monkeypatch, stub)
        twin("export-sheet", str(sheet), "--count", "4", "--generate", "1", "--blank")
    columns, rows = read_rows(sheet, ["response_b"])
    for (_, row), ranking in zip(rows, ("a", "b", "b > a", ""), strict=True):
        row["ranking"] = ranking
    write_rows(sheet, columns, [row for _, row in rows])
    pairs = imported(sheet)
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [
        (rows[0][1]["response_a"], rows[0][1]["response_b"]),
        (rows[1][1]["response_b"], rows[1][1]["response_a"]),
        (rows[2][1]["response_b"], rows[2][1]["response_a"]),
    ]
    assert {pair.chosen_source for pair in pairs} | {pair.rejected_source for pair in pairs} == {"llm", "degraded"}
    assert all(pair.reason.endswith("judged by a person") for pair in pairs)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("judge", ["a model", "a person"])
def test_people_write_and_a_model_or_a_person_judges(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, judge: str
) -> None:
    sheet = home / f"sheet.{kind}"
    twin("export-sheet", str(sheet), "--count", "3", "--blank")
    columns, rows = read_rows(sheet, ["written"])
    for _, row in rows[:2]:
        row["written"] = "“Wind it by hand”, we’d say —\n\nand we did 🧂."
        row["ranking"] = "written > a" if judge == "a person" else ""
    write_rows(sheet, columns, [row for _, row in rows])
    if judge == "a model":
        with stub_llm(answer, fault_every=0) as stub:
            use_model(monkeypatch, stub)
            assert "2 rows judged by stub-model; 1 had" in twin("judge-sheet", str(sheet))
    pairs = imported(sheet)
    assert len(pairs) == 2
    for pair, (_, row) in zip(pairs, rows, strict=False):
        assert (pair.chosen, pair.rejected) == (row["written"], row["response_a"])
        assert (pair.chosen_source, pair.rejected_source) == ("person", "degraded")
        assert f"judged by {'stub-model' if judge == 'a model' else 'a person'}" in pair.reason


def test_without_a_model_the_commands_that_need_one_say_so(home: Path) -> None:
    from llm_twin.cli import datasets
    from llm_twin.errors import InputError

    twin("export-sheet", str(home / "sheet.csv"), "--count", "2")
    for arguments in (["judge-sheet", str(home / "sheet.csv")], ["export-sheet", "x.csv", "--generate", "1"]):
        result = CliRunner().invoke(datasets.group, arguments)
        assert isinstance(result.exception, InputError) and "LLM_TWIN_LLM_BASE_URL" in str(result.exception)


def test_check_proves_a_version_and_finds_what_is_wrong(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_twin.datasets.check import check_dataset
    from llm_twin.datasets.manifest import read_manifest, write_manifest

    folder = home / "samples"
    revisions = {document.revision_id: [document.text] for document in make_documents(15)}
    good = check_dataset(folder, revisions)
    assert good.problems == [] and good.figures["leaks"] == good.figures["unaccounted_passages"] == 0
    assert good.figures["quotation_marks"] > 100 and good.figures["apostrophes"] > 50
    held_out = next(read_jsonl(folder / "instruction_test.jsonl", InstructionSample))
    with (folder / "instruction_train.jsonl").open("a", encoding="utf-8") as file:
        stray = held_out.model_copy(update={"split": "train", "output": held_out.output.replace("’", "")})
        file.write(stray.model_dump_json() + "\n")
    facts = {key: value for key, value in read_lenient(folder).items() if key not in ("files", "content")}
    write_manifest(folder, facts)
    assert read_manifest(folder)["files"]
    bad = check_dataset(folder, revisions)
    assert bad.figures["targets_not_in_source"] == 1 and bad.figures["leaks"] >= 1
    assert bad.figures["samples_outside_their_split"] == 1 and bad.figures["unaccounted_passages"] == -1
    assert len(bad.problems) == 5
    revisions.pop(held_out.revision_id)
    assert check_dataset(folder, revisions).figures["revisions_not_found"] == 1


def read_lenient(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_sheets_are_plain_csv(home: Path) -> None:
    twin("export-sheet", str(home / "sheet.csv"), "--count", "2")
    with (home / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file))
    assert header == [
        "sample_id", "instruction", "response_a", "response_b", "written", "ranking", "sure", "why", "judge",
    ]  # fmt: skip
