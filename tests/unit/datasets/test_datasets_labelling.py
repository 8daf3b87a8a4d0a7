"""Labelling sheets: out, filled in, back as pairs, and into the next data set."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_twin.datasets import build_dataset, write_dataset
from llm_twin.datasets.labelling import export_sheet, import_sheet
from llm_twin.datasets.labels import forget_labels, keep_labels, read_labels, use_labels
from llm_twin.datasets.sheets import read_rows, write_rows
from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, read_jsonl
from llm_twin.errors import InputError
from llm_twin.recipes import DatasetsRecipe

Make = Callable[..., CleanDocument]
Write = Callable[[int, int], str]
RECIPE = DatasetsRecipe(embedder="")
AWKWARD = '=1+1, “said” the keeper’s cat; "twice"\n\n\ttab — 🧂, \r\nand an end '


@pytest.fixture
def documents(make_document: Make, write_text: Write) -> list[CleanDocument]:
    return [make_document(write_text(n, 4), n) for n in range(12)]


@pytest.fixture
def folder(documents: list[CleanDocument], tmp_path: Path) -> Path:
    write_dataset(build_dataset(documents, RECIPE), tmp_path / "samples")
    return tmp_path / "samples"


def fill_in(sheet: Path, *changes: dict[str, str]) -> list[dict[str, str]]:
    """Change the first rows of a sheet as a person does, with the csv and json modules alone; returns all rows."""
    if sheet.suffix == ".csv":
        with sheet.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in sheet.read_text(encoding="utf-8").splitlines()]
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    if sheet.suffix == ".csv":
        with sheet.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        sheet.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
def test_a_sheet_filled_in_by_a_person_comes_back_as_pairs(folder: Path, tmp_path: Path, name: str) -> None:
    sheet = tmp_path / name
    assert export_sheet(folder, sheet, 6) == 6
    rows = fill_in(
        sheet,
        {"ranking": "a", "sure": "0,7", "why": "plainer"},
        {"ranking": "response_b > a"},
        {"ranking": "Written, a", "written": "=My own words, begun with a sign,\nover two lines."},
        {"ranking": "written", "written": "Mine is better than both of these."},
    )
    pairs, tally = import_sheet(folder, sheet)
    assert (tally.done, tally.left) == (4, 2) and len(pairs) == 5
    assert (pairs[0].chosen, pairs[0].rejected) == (rows[0]["response_a"], rows[0]["response_b"])
    assert pairs[0].confidence == 0.7 and pairs[0].reason.endswith("judged by a person: plainer")
    assert (pairs[1].chosen, pairs[1].rejected) == (rows[1]["response_b"], rows[1]["response_a"])
    assert pairs[2].chosen.endswith("over two lines.") and pairs[2].chosen_source == "person"
    assert {pair.rejected for pair in pairs[3:]} == {rows[3]["response_a"], rows[3]["response_b"]}
    assert {pair.split for pair in pairs} == {"train"}
    assert {pair.chosen_source for pair in pairs[:2]} | {pair.rejected_source for pair in pairs[:2]} == {
        "author",
        "degraded",
    }


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    rows = [{"sample_id": str(n), "written": AWKWARD[n:], "ranking": ""} for n in range(len(AWKWARD))]
    write_rows(tmp_path / name, list(rows[0]), rows)
    assert [row for _, row in read_rows(tmp_path / name, ["ranking"])[1]] == rows


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_spreadsheets_own_delimiter_is_read(folder: Path, tmp_path: Path, delimiter: str) -> None:
    export_sheet(folder, tmp_path / "sheet.csv", 3)
    rows = fill_in(tmp_path / "sheet.csv", {"ranking": "b"})
    with (tmp_path / "saved.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    assert import_sheet(folder, tmp_path / "saved.csv") == import_sheet(folder, tmp_path / "sheet.csv")


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranking": "c"}, "ranking names 'c'"),
        ({"ranking": "a a"}, "names one response twice"),
        ({"ranking": "written"}, "ranking names 'written'"),
        ({"ranking": "a", "sure": "very"}, "sure is 'very'"),
        ({"ranking": "a", "sure": "2"}, "sure is '2'"),
        ({"ranking": "a", "sample_id": "x"}, "no training sample 'x'"),
        ({"ranking": "a", "response_b": " "}, "nothing that 'a' is better than"),
    ],
)
def test_a_mistake_on_a_sheet_is_named_by_row(
    folder: Path, tmp_path: Path, change: dict[str, str], message: str, name: str
) -> None:
    sheet = tmp_path / name
    export_sheet(folder, sheet, 3)
    fill_in(sheet, {}, change)
    row = 3 if name.endswith("csv") else 2  # as a spreadsheet counts, with its header, and as an editor does
    with pytest.raises(InputError, match=f"row {row}: .*{message}"):
        import_sheet(folder, sheet)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sheet.csv", "a,b\n1,2\n", "has no column sample_id, ranking"),
        ("sheet.csv", "", "has no column"),
        ("sheet.jsonl", '{"sample_id": "1"\n', "line 1"),
        ("sheet.jsonl", "[1]\n", "line 1"),
        ("sheet.csv", "sample_id,ranking\n\udcff\n", "cannot read"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused(
    folder: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        import_sheet(folder, tmp_path / name)
    with pytest.raises(InputError, match="name it .csv or .jsonl"):
        export_sheet(folder, tmp_path / "sheet.xlsx", 3)


def test_a_blank_sheet_asks_a_person_to_write(folder: Path, tmp_path: Path) -> None:
    export_sheet(folder, tmp_path / "sheet.jsonl", 4, blank=True)
    rows = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text().splitlines()]
    authors = {s.output for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}
    assert len(rows) == 4 and all(row["response_a"] not in authors and not row["written"] for row in rows)
    assert not any("response_b" in row for row in rows)


def test_which_side_is_the_authors_cannot_be_told_from_its_place(folder: Path, tmp_path: Path) -> None:
    export_sheet(folder, tmp_path / "sheet.jsonl", 40)
    authors = {s.output for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}
    rows = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text().splitlines()]
    first = sum(row["response_a"] in authors for row in rows)
    assert 0.2 * len(rows) < first < 0.8 * len(rows)


def test_no_cell_of_a_csv_sheet_is_a_formula(make_document: Make, write_text: Write, tmp_path: Path) -> None:
    lists = [make_document("+ " + write_text(n, 3).replace("\n\n", "\n+ "), n) for n in range(12)]
    folder, sheet = tmp_path / "samples", tmp_path / "sheet.csv"
    write_dataset(build_dataset(lists, RECIPE), folder)
    export_sheet(folder, sheet, 6)
    rows = fill_in(sheet, *[{"ranking": "a"}] * 6)
    cells = [cell for row in rows for cell in row.values()]
    assert any(cell.startswith("'+") for cell in cells)
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
    pairs = import_sheet(folder, sheet)[0]
    assert any(text.startswith("+ ") for pair in pairs for text in (pair.chosen, pair.rejected))  # back as it was


def test_labels_take_the_place_of_made_pairs_in_the_next_build(
    documents: list[CleanDocument], folder: Path, tmp_path: Path
) -> None:
    sheet, own = tmp_path / "sheet.jsonl", "I would say it shorter, and say it twice."
    export_sheet(folder, sheet, 6)
    authors = {s.output for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}
    rows = [json.loads(line) for line in sheet.read_text().splitlines()]
    side = ["a" if row["response_a"] in authors else "b" for row in rows]
    other = ["b" if name == "a" else "a" for name in side]
    fill_in(
        sheet,
        {"ranking": side[0]},
        {"ranking": f"written {side[1]} {other[1]}", "written": own},
        {"ranking": other[2]},  # against the author: this passage has no pair any more
    )
    name = keep_labels(tmp_path, import_sheet(folder, sheet)[0])
    labels = read_labels(tmp_path, [name])
    assert len(labels) == 4
    before = build_dataset(documents, RECIPE)
    built = build_dataset(documents, RECIPE, labels=labels)
    assert built.labels == {"labels: used": 3, "labels: prefer what is not the author's": 1}
    assert sum(pair.chosen == own for pair in built.preferences) == 2
    assert {pair.sample_id for pair in labels[:3]} <= {pair.sample_id for pair in built.preferences}
    of_passages = {rows[n][f"response_{side[n]}"] for n in (1, 2)}
    assert not of_passages & {pair.chosen for pair in built.preferences}
    assert len(built.preferences) == len(before.preferences) - 3 + 3
    written = write_dataset(built, tmp_path / "again")
    assert written["counts"]["labels"] == built.labels
    with pytest.raises(InputError, match=f"no label set 'other'.*known: {name}"):
        read_labels(tmp_path, [name, "other"])
    gone = {labels[0].document_id}
    left = [label for label in labels if label.document_id not in gone]
    assert forget_labels(tmp_path, gone) == len(labels) - len(left) > 0
    assert read_labels(tmp_path, [name]) == left


def test_a_label_that_would_do_harm_is_left_out_and_counted(
    documents: list[CleanDocument], folder: Path, tmp_path: Path
) -> None:
    samples = list(read_jsonl(folder / "instruction_train.jsonl", InstructionSample))
    pairs = list(read_jsonl(folder / "preference_train.jsonl", PreferenceSample))
    held_out = "The cistern was dug by nine men in one dry summer and has never once been wholly empty since."

    def by_person(pair: PreferenceSample, **change: str) -> PreferenceSample:
        return pair.model_copy(update={"chosen_source": "person", **change})

    labels = [
        by_person(pairs[0], chosen=f"As I said: {held_out}"),
        by_person(pairs[1], chosen="Ask Ilse on ilse.tarn@harbour-office.org, she knows."),
        by_person(pairs[2], revision_id="an older one"),
        by_person(pairs[3], chosen="She knows."),
    ]
    counts: Counter[str] = Counter()
    used = use_labels(labels, samples, pairs, [held_out], 12, counts)
    assert counts == {
        "labels: held-out text": 1, "labels: personal data": 1,
        "labels: of a passage that is not trained on": 1, "labels: used": 1,
    }  # fmt: skip
    assert [pair for pair in used if pair.chosen_source == "person"] == [labels[3]]
    assert used[1:] == [pair for pair in pairs if pair not in (pairs[0], pairs[1], pairs[3])]
