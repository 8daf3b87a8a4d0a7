"""A file of questions to a file of answers: sharded, resumable, several at a time.

Each line in is `{"question": …}`, perhaps with `id` and `model`; each line out is the answer with that id.
Run again after a stop, it goes on with the questions that have no line yet.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from llm_twin.digests import digest_json, digest_path
from llm_twin.errors import InputError, ServiceError
from llm_twin.progress import report

ATTEMPTS = 4
BUSY = "the server stayed busy"


@dataclass
class BatchReport:
    """What a batch did."""

    asked: int = 0
    known: int = 0  # answered by an earlier run
    failed: int = 0
    busy: int = 0  # of these, because the server was busy: asked again they may succeed


@dataclass(frozen=True)
class Line:
    """One question of the file."""

    id: str
    question: str
    model: str


def read_questions(path: Path, shard: int = 0, shards: int = 1) -> Iterator[Line]:
    """The questions of one shard (0-based). Raises InputError that names the line."""
    if not path.is_file():
        raise InputError(f"no such file: {path}", "give JSON lines with a question each")
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file):
            if not text.strip() or number % shards != shard:
                continue
            try:
                value = json.loads(text)
                question = value["question"]
                if not isinstance(question, str) or not question.strip():
                    raise ValueError("question is empty")
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}, line {number + 1}: {error!r}", 'give {"question": "…"}') from error
            yield Line(str(value.get("id", number)), question, str(value.get("model", "")))


def run_batch(
    source: Path,
    target: Path,
    url: str,
    *,
    model: str = "",
    api_key: str = "",
    shard: int = 0,
    shards: int = 1,
    parallel: int = 8,
) -> BatchReport:
    """Ask every question of the shard that `target` has no answer to. Raises ServiceError if the server is
    gone."""
    if not 0 <= shard < shards:
        raise InputError(f"no shard {shard + 1} of {shards}", "give --shard 1/4, 2/4 …")
    lines = list(read_questions(source, shard, shards))
    known = _answered(target)
    done = BatchReport(known=sum(line.id in known for line in lines))
    left = [line for line in lines if line.id not in known]
    asyncio.run(_ask_all(left, target, url.rstrip("/"), model, api_key, parallel, done))
    return done


def plan_shards(count: int, shards: int, url: str, api_key: str = "", model: str = "") -> list[dict[str, Any]]:
    """What each shard of `count` questions is called with: its number, and the versions of the twins that the server
    holds, so that answers of other versions are not taken for theirs. Raises InputError, ServiceError."""
    import httpx

    if count < 1 or shards < 1:
        raise InputError(f"{count} questions in {shards} shards", "give at least one of each")
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx.get(f"{url.rstrip('/')}/twins", headers=headers, timeout=30)
        response.raise_for_status()
        versions = {twin["name"]: twin["version"] for twin in response.json()["twins"]}
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise ServiceError(f"the server at {url} cannot be asked: {error!r}", "set LLM_TWIN_SERVING_URL") from error
    if model and model not in versions:
        raise InputError(f"the server holds no twin {model!r}", f"it holds {', '.join(versions)}")
    shards = min(shards, count)
    return [{"shard": n, "shards": shards, "model": model, "versions": versions} for n in range(shards)]


def run_shard(
    source: Path, target: Path, kept: Path, part: dict[str, Any], url: str, api_key: str = "", parallel: int = 8
) -> BatchReport:
    """Ask one shard, as `plan_shards` made it, into `target`; what a stop leaves is under `kept` and goes on there.

    Raises ServiceError if the server is gone or stayed busy.
    """
    name = digest_json([part, digest_path(source)])
    working = kept / f"{name}.jsonl"
    done = run_batch(
        source, working, url, model=part["model"], api_key=api_key, shard=part["shard"], shards=part["shards"],
        parallel=parallel,
    )  # fmt: skip
    if done.busy:
        raise ServiceError(f"{done.busy} questions found the server busy", "run it again: it goes on from there")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(working, target)
    return done


def join_shards(source: Path, shards: Sequence[Path], target: Path) -> int:
    """Write the shards' answers to `target` in the order of the questions; returns how many. Raises InputError where
    a question has none."""
    rows: dict[str, str] = {}
    for shard in shards:
        for row in shard.read_text(encoding="utf-8").split("\n"):
            if row:
                rows[str(json.loads(row)["id"])] = row
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with target.open("w", encoding="utf-8") as file:
        for line in read_questions(source):
            if line.id not in rows:
                raise InputError(f"the question {line.id} has no answer", "run it again")
            file.write(rows[line.id] + "\n")
            count += 1
    return count


def _answered(target: Path) -> set[str]:
    """The ids that have an answer; a line cut by a stop is cut off the file, failed ones are asked again."""
    if not target.exists():
        return set()
    content = target.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = [json.loads(line) for line in whole.splitlines() if line.strip()]
    kept = [row for row in rows if "error" not in row]
    if len(kept) < len(rows) or len(whole) < len(content):
        beside = target.with_name(f".{target.name}.part")
        beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
        beside.replace(target)
    return {str(row["id"]) for row in kept}


async def _ask_all(
    lines: list[Line], target: Path, url: str, model: str, api_key: str, parallel: int, done: BatchReport
) -> None:
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    room = asyncio.Semaphore(parallel)
    last = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("a", encoding="utf-8") as file:
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=300)) as session:

            async def one(line: Line) -> None:
                nonlocal last
                async with room:
                    row = await _ask(session, url, line, model)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                done.asked += 1
                done.failed += "error" in row
                done.busy += row.get("error") == BUSY
                if time.monotonic() - last > 2:
                    last = time.monotonic()
                    report(f"batch: {done.asked:,}/{len(lines):,} asked")

            await asyncio.gather(*(one(line) for line in lines))


async def _ask(session: aiohttp.ClientSession, url: str, line: Line, model: str) -> dict[str, Any]:
    body = {"query": line.question, "model": line.model or model}
    for attempt in range(ATTEMPTS):
        try:
            async with session.post(f"{url}/openai/v1/rag", json=body) as response:
                value = await response.json()
                if response.status == 200:
                    return {"id": line.id, **value}
                if response.status in (401, 403):
                    raise ServiceError(f"the server refused: {value['error']['message']}", "set LLM_TWIN_SERVING_KEY")
                if response.status not in (429, 502, 503, 504):
                    return {"id": line.id, "question": line.question, "error": value["error"]["message"]}
                pause = float(response.headers.get("retry-after", "1"))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if attempt == ATTEMPTS - 1:
                raise ServiceError(
                    f"the server at {url} cannot be asked: {error!r}", "run it again to go on"
                ) from error
            pause = 2.0**attempt
        await asyncio.sleep(min(pause, 30))
    return {"id": line.id, "question": line.question, "error": BUSY}
