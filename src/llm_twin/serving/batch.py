"""A file of questions to a file of answers: sharded, resumable, several at a time.

Each line in is `{"question": …}`, perhaps with `id` and `model`; each line out is the answer with that id.
Run again after a stop, it goes on with the questions that have no line yet.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from llm_twin.errors import InputError, ServiceError
from llm_twin.progress import report

ATTEMPTS = 4


@dataclass
class BatchReport:
    """What a batch did."""

    asked: int = 0
    known: int = 0  # answered by an earlier run
    failed: int = 0


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
    return {"id": line.id, "question": line.question, "error": "the server stayed busy"}
