"""Preferences by people and by language models, on a sheet: who writes the responses and who judges them is free.

The four ways: a model writes and a model judges (`export_sheet` with a client, `judge_sheet`); a model writes and
people judge; people write (`blank`) and a model judges; people write and people judge. All end in `import_sheet`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

from llm_twin.datasets.llm_samples import Ranked, rank_responses, write_responses
from llm_twin.datasets.manifest import read_manifest
from llm_twin.datasets.preferences import make_pair
from llm_twin.datasets.sheets import Row, read_rows, write_rows
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl, stable_id
from llm_twin.errors import InputError
from llm_twin.llm import LlmClient

WRITTEN = "written"
DEFAULT_SURE = 0.9
MAX_RESPONSES = 8
SEPARATOR = re.compile(r"[\s,;>/]+")


@dataclass(frozen=True)
class Tally:
    """What became of a sheet's rows."""

    done: int  # judged, or made into pairs
    left: int  # not ranked, or with fewer than two responses
    failed: int = 0  # the model gave no ranking


def export_sheet(
    folder: Path, sheet: Path, count: int, blank: bool = False, generate: int = 0, client: LlmClient | None = None
) -> int:
    """Write up to `count` training passages as rows to judge; returns how many.

    A row has the author's passage and the rejected text of its pair, with `generate` more responses by the model
    behind `client`, in random order: who wrote which is not told. With `blank` the author's passage is left out and
    the column `written` waits for a person's own response. `ranking` takes the responses' letters (or `written`),
    best first; the first alone will do; `sure` a number from 0 to 1; `why` free words.
    """
    manifest = read_manifest(folder)
    of_passage = {(s.document_id, s.output): s for s in _train_samples(folder).values()}
    pairs = [
        (pair, of_passage[pair.document_id, pair.chosen])
        for pair in read_jsonl(folder / "preference_train.jsonl", PreferenceSample)
        if (pair.document_id, pair.chosen) in of_passage
    ][:count]
    if generate and client is None:
        raise InputError("no language model to write responses", "set LLM_TWIN_LLM_BASE_URL and LLM_TWIN_LLM_MODEL")
    if not 0 <= generate <= MAX_RESPONSES - 2:
        raise InputError(f"{generate} more responses for each row", f"give 0 to {MAX_RESPONSES - 2}")
    more = write_responses([sample for _, sample in pairs], generate, client) if generate and client else []
    columns = _columns(generate + (1 if blank else 2))
    rows: list[Row] = []
    for number, (pair, sample) in enumerate(pairs):
        own = [pair.rejected] if blank else [pair.chosen, pair.rejected]
        sides = list(dict.fromkeys([*own, *(more[number] if more else [])]))
        sides.sort(key=lambda text: stable_id(str(manifest["seed"]), sample.sample_id, text))
        texts = {f"response_{letter}": text for letter, text in zip(ascii_lowercase, sides, strict=False)}
        rows.append({"sample_id": sample.sample_id, "instruction": pair.instruction, **texts})
    write_rows(sheet, columns, rows)
    return len(rows)


def judge_sheet(folder: Path, sheet: Path, client: LlmClient) -> Tally:
    """Have the model rank the rows that have two responses or more and no ranking yet, and write them back.

    A row that it ranks gets `ranking`, `sure`, `why` and, as `judge`, the model's name; one that it does not rank
    stays as it is, so that the next call (or a person) can take it up.
    """
    samples = _train_samples(folder)
    columns, numbered = read_rows(sheet, ("sample_id", "ranking"))
    waiting = []
    for number, row in numbered:
        sample = _sample_of(row, samples, sheet, number)
        if not row["ranking"].strip() and len(_responses(row)) > 1:
            waiting.append((row, sample))
    asked = [
        (row.get("instruction", "") or sample.instruction, list(_responses(row).values())) for row, sample in waiting
    ]
    texts = [sample.output for sample in samples.values()]
    failed = 0
    for (row, _), ranked in zip(waiting, rank_responses(asked, texts, client), strict=True):
        if ranked is None:
            failed += 1
            continue
        _note_ranking(row, ranked, client.model)
    rows = [row for _, row in numbered]
    write_rows(sheet, [*columns, *(name for name in ("sure", "why", "judge") if name not in columns)], rows)
    return Tally(len(waiting) - failed, len(rows) - len(waiting), failed)


def import_sheet(folder: Path, sheet: Path) -> tuple[list[PreferenceSample], Tally]:
    """The pairs of a sheet: the best response against each that is ranked below it.

    Where only the best is named, all others are below it. Rows without a ranking are left out and counted. Raises
    InputError naming row and column of what does not fit.
    """
    samples = _train_samples(folder)
    known = {
        (pair.document_id, pair.rejected): pair.rejected_source
        for pair in read_jsonl(folder / "preference_train.jsonl", PreferenceSample)
    }
    _, rows = read_rows(sheet, ("sample_id", "ranking"))
    pairs: list[PreferenceSample] = []
    left = 0
    for number, row in rows:
        if not row["ranking"].strip():
            left += 1
            continue
        sample, responses = _sample_of(row, samples, sheet, number), _responses(row)
        best, *below = _read_ranking(row["ranking"], responses, sheet, number)
        sure = _read_sure(row.get("sure", ""), sheet, number)
        judge = row.get("judge", "").strip() or "a person"
        for worse in below:
            origin = {
                name: _origin(name, responses[name], sample, known.get((sample.document_id, responses[name]), "llm"))
                for name in (best, worse)
            }
            reason = f"{origin[best]} over {origin[worse]}, judged by {judge}"
            reason += f": {row['why'].strip()}" if row.get("why", "").strip() else ""
            chosen = sample.model_copy(update={"output": responses[best]})
            pair = make_pair(chosen, responses[worse], origin[worse], reason, sure)
            pairs.append(pair.model_copy(update={"chosen_source": origin[best]}))
    return pairs, Tally(len(rows) - left, left)


def _columns(responses: int) -> list[str]:
    letters = [f"response_{letter}" for letter in ascii_lowercase[:responses]]
    return ["sample_id", "instruction", *letters, WRITTEN, "ranking", "sure", "why", "judge"]


def _train_samples(folder: Path) -> dict[str, InstructionSample]:
    return {s.sample_id: s for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}


def _sample_of(row: Row, samples: dict[str, InstructionSample], sheet: Path, number: int) -> InstructionSample:
    if row["sample_id"] not in samples:
        raise InputError(
            f"{sheet}, row {number}: no training sample {row['sample_id']!r} in this version",
            "give --version the one that the sheet was exported from",
        )
    return samples[row["sample_id"]]


def _responses(row: Row) -> dict[str, str]:
    """Name (a letter, or `written`) → text of the responses that are there."""
    named = {name.removeprefix("response_"): text for name, text in row.items() if name.startswith("response_")}
    return {name: text for name, text in [*named.items(), (WRITTEN, row.get(WRITTEN, ""))] if text.strip()}


def _read_ranking(text: str, responses: dict[str, str], sheet: Path, number: int) -> list[str]:
    """Names, best first; at least two."""
    names = [name.removeprefix("response_") for name in SEPARATOR.split(text.strip().lower()) if name]
    for name in names:
        if name not in responses:
            raise InputError(
                f"{sheet}, row {number}: ranking names {name!r}, which has no text",
                f"there are: {', '.join(responses)}",
            )
    if len(set(names)) < len(names):
        raise InputError(f"{sheet}, row {number}: ranking {text!r} names one response twice", "name each once")
    if len(names) == 1:
        names += [name for name in responses if name != names[0]]
    if len(names) < 2:
        raise InputError(f"{sheet}, row {number}: there is nothing that {text!r} is better than", "give two responses")
    if responses[names[0]].strip() in (responses[name].strip() for name in names[1:]):
        raise InputError(f"{sheet}, row {number}: the best response also stands below itself", "leave one of them out")
    return names


def _read_sure(text: str, sheet: Path, number: int) -> float:
    try:
        value = float(text.strip().replace(",", ".") or DEFAULT_SURE)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{sheet}, row {number}: sure is {text!r}", "give a number from 0 to 1")
    return value


def _origin(name: str, text: str, sample: InstructionSample, otherwise: str) -> str:
    """Who wrote a response: author, person, or where the data set's rejected text came from."""
    if text == sample.output:
        return "author"
    return "person" if name == WRITTEN else otherwise


def _note_ranking(row: Row, ranked: Ranked, judge: str) -> None:
    names = list(_responses(row))
    row["ranking"] = " > ".join(names[position] for position in ranked.order)
    row["sure"], row["why"], row["judge"] = f"{ranked.confidence:g}", ranked.reason, judge
