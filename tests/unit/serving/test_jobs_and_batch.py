"""Jobs survive a restart and a batch goes on where it stopped."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from llm_twin.errors import InputError
from llm_twin.serving.batch import BatchReport, _answered, _ask_all, read_questions, run_batch
from llm_twin.serving.http import HttpError
from llm_twin.serving.jobs import JobRequest, Jobs

REQUEST = JobRequest(questions=["one", "two", "three"], idempotency_key="k")


async def work_until_done(jobs, owner, job, answer):
    worker = asyncio.create_task(jobs.work(answer))
    async with asyncio.timeout(10):
        while jobs.describe(owner, job)["status"] in ("queued", "running"):
            await asyncio.sleep(0.01)
    worker.cancel()


def test_a_job_goes_on_after_a_crash_and_asks_nothing_twice(tmp_path):
    asked = []

    async def answer(model, question, request_id):
        asked.append(question)
        if question == "two" and asked.count("two") == 1:
            raise asyncio.CancelledError  # the process ends here
        return {"text": question.upper()}

    async def crash_and_restart():
        first = Jobs(tmp_path / "jobs.db")
        job = first.submit("me", "ada", REQUEST)["id"]
        with pytest.raises(asyncio.CancelledError):
            await first.work(answer)
        assert first.describe("me", job)["status"] == "running"
        second = Jobs(tmp_path / "jobs.db")
        await work_until_done(second, "me", job, answer)
        return second.results("me", job)

    done = asyncio.run(crash_and_restart())
    assert done["status"] == "done" and [a["text"] for a in done["answers"]] == ["ONE", "TWO", "THREE"]
    assert asked == ["one", "two", "two", "three"]


def test_the_same_key_is_the_same_job_and_anothers_job_is_unknown(tmp_path):
    async def check():
        jobs = Jobs(tmp_path / "jobs.db")
        job = jobs.submit("me", "ada", REQUEST)
        assert jobs.submit("me", "ada", REQUEST)["id"] == job["id"]
        with pytest.raises(HttpError) as other:
            jobs.submit("me", "ada", JobRequest(questions=["else"], idempotency_key="k"))
        with pytest.raises(HttpError) as stranger:
            jobs.describe("you", job["id"])
        assert (other.value.status, stranger.value.status) == (409, 404)
        assert jobs.cancel("me", job["id"])["status"] == "cancelled"

    asyncio.run(check())


def test_a_failed_question_does_not_end_the_job(tmp_path):
    async def answer(model, question, request_id):
        if question == "two":
            raise ValueError("no")
        return {"text": question}

    async def check():
        jobs = Jobs(tmp_path / "jobs.db")
        job = jobs.submit("", "ada", REQUEST)["id"]
        await work_until_done(jobs, "", job, answer)
        return jobs.results("", job)["answers"]

    answers = asyncio.run(check())
    assert [("error" in one) for one in answers] == [False, True, False]


def test_shards_part_the_lines_and_a_bad_line_is_named(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"question": f"q{i}"}) + "\n" for i in range(7)))
    parts = [[line.id for line in read_questions(source, part, 3)] for part in range(3)]
    assert sorted(sum(parts, [])) == [str(i) for i in range(7)]
    source.write_text('{"question": "a"}\n{"query": "b"}\n')
    with pytest.raises(InputError, match="line 2"):
        list(read_questions(source))
    with pytest.raises(InputError, match="no shard"):
        run_batch(source, tmp_path / "out.jsonl", "http://127.0.0.1:1", shard=3, shards=3)


def test_a_stopped_batch_goes_on_and_asks_failures_again(tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"id": i, "question": f"q{i}"}) + "\n" for i in range(4)))
    target.write_text('{"id": "0", "answer": "kept"}\n{"id": "1", "error": "busy"}\n{"id": "2", "ans')
    assert _answered(target) == {"0"}
    asked = []

    async def serve_and_ask():
        async def rag(request):
            asked.append((await request.json())["query"])
            return web.json_response({"answer": "fresh"})

        app = web.Application()
        app.router.add_post("/openai/v1/rag", rag)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        lines = [line for line in read_questions(source) if line.id not in _answered(target)]
        await _ask_all(lines, target, f"http://127.0.0.1:{port}", "", "", 2, BatchReport())
        await runner.cleanup()

    asyncio.run(serve_and_ask())
    rows = {row["id"]: row["answer"] for row in map(json.loads, target.read_text().splitlines())}
    assert rows == {"0": "kept", "1": "fresh", "2": "fresh", "3": "fresh"} and sorted(asked) == ["q1", "q2", "q3"]
