"""Under load: streams come whole and in order, memory stays flat, SIGTERM cuts nothing, a killed predictor is no
error."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest

from benchmarks.fast_predictor import TOKENS
from benchmarks.load import build_request, hammer, open_streams
from llm_twin.documents import Author
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig, Twin
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.test_operations import ASKED, CHAT, predictor, transformer

pytestmark = pytest.mark.timeout(900)

STREAM = build_request(CHAT, {"model": "m", "stream": True, "messages": [{"role": "user", "content": "go on"}]})
PLAIN = build_request(CHAT, {"model": "m", "messages": [{"role": "user", "content": "go on"}]})


@contextmanager
def passing_through(folder, *arguments):
    """A transformer without retrieval before a predictor that costs nothing; yields process and port."""
    engine, port = free_port(), free_port()
    config = ServerConfig(
        twins=[Twin(name="m", author=Author(id="m", name="M"))], predictor=f"http://127.0.0.1:{engine}/v1"
    )
    write_json(folder / f"pass-{port}.json", config.model_dump(mode="json"))
    options = ["--config", str(folder / f"pass-{port}.json"), "--port", str(port), "--per-minute", "10000000"]
    with (
        run_server("benchmarks.fast_predictor", [str(engine)], f"http://127.0.0.1:{engine}/", folder / "fast.log"),
        run_server(
            "llm_twin.serving.transformer", [*options, *arguments], f"http://127.0.0.1:{port}/readyz",
            folder / f"pass-{port}.log",
        ) as process,
    ):  # fmt: skip
        yield process, port


@pytest.fixture(scope="module")
def through(folder):
    with passing_through(folder) as one:
        yield one


def texts_of(stream):
    """The pieces of text of one stream, in the order in which they came."""
    events = [json.loads(event) for event in stream.events if event != b"[DONE]"]
    deltas = [event["choices"][0]["delta"].get("content") for event in events if event["choices"]]
    return [text for text in deltas if text]


def check_streams(streams):
    whole = [f"w{i} " for i in range(TOKENS)]
    lost = sum(not stream.whole for stream in streams)
    assert lost == 0, f"{lost} of {len(streams)} streams lost"
    assert all(texts_of(stream) == whole for stream in streams)


def test_two_hundred_streams_of_a_hundred_tokens_are_whole_and_in_order(through):
    check_streams(asyncio.run(open_streams(through[1], STREAM, 200)))


def grow(process, port, requests):
    """Bytes that the process grew by over some requests, after as many to warm it up as fill its pools."""

    def send(count):
        done = 0
        while done < count:
            load = asyncio.run(hammer(port, PLAIN, 16, 1.0))
            assert set(load.statuses) == {200}
            done += len(load.latencies)

    send(1000)
    before = psutil.Process(process.pid).memory_info().rss
    send(requests)
    return psutil.Process(process.pid).memory_info().rss - before


def test_memory_is_flat(through):
    assert grow(*through, requests=2000) < 6_000_000


@pytest.mark.deep
def test_memory_is_flat_over_ten_thousand_requests(through):
    grown = grow(*through, requests=10_000)
    print(f"grew by {grown / 1e6:.2f} MB over 10,000 requests")
    assert grown < 6_000_000


@pytest.mark.deep
def test_memory_is_flat_with_the_default_recipe(folder, served, vectors):
    """Ten thousand requests with retrieval, guards and check; most of them from the answer cache."""
    with transformer(folder, served.predictor_url, vectors, "--per-minute", "10000000") as (url, process):
        port = int(url.rsplit(":", 1)[1])
        asked = [
            build_request(CHAT, {**ASKED, "messages": [{"role": "user", "content": question}]})
            for question, *_ in small.FACTS
        ]

        def send(count):
            done = 0
            while done < count:
                load = asyncio.run(hammer(port, asked[done % len(asked)], 8, 2.0))
                assert set(load.statuses) == {200}
                done += len(load.latencies)

        # What is asked for the first time fills caches of vectors and verdicts: that has a bound, and is not growth.
        for question in asked:
            asyncio.run(hammer(port, question, 8, 0.5))
        send(1000)
        before = psutil.Process(process.pid).memory_info().rss
        send(10_000)
        grown = psutil.Process(process.pid).memory_info().rss - before
        print(f"grew by {grown / 1e6:.2f} MB over 10,000 requests")
        assert grown < 10_000_000


def test_sigterm_under_load_cuts_no_stream(folder):
    with passing_through(folder) as (process, port):

        async def stop_amid():
            opened = asyncio.create_task(open_streams(port, STREAM, 100))
            await asyncio.sleep(0.6)
            process.terminate()
            return await opened

        streams = asyncio.run(stop_amid())
        begun = [stream for stream in streams if stream.events]
        assert len(begun) == 100
        check_streams(begun)
        assert process.wait(30) is not None


def test_sigterm_keeps_taking_connections_while_it_is_told_to_drain(folder):
    with passing_through(folder, "--drain-seconds", "2") as (process, port):
        process.terminate()
        time.sleep(0.3)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
        check_streams(asyncio.run(open_streams(port, STREAM, 5)))
        assert process.wait(30) is not None


def kill_amid(folder, models, vectors, clients, stream):
    """Kill the predictor while `clients` ask; returns their answers' statuses, and the twin's."""
    body = {**ASKED, "max_tokens": 60, "temperature": 0.7, "stream": stream}
    with predictor(folder, models) as (engine_url, engine), transformer(folder, engine_url, vectors) as (url, _):
        httpx.post(url + CHAT, json=ASKED, timeout=60)
        threading.Timer(0.25, engine.kill).start()

        async def flood():
            async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
                return await asyncio.gather(*(client.post(url + CHAT, json=body) for _ in range(clients)))

        answers = asyncio.run(flood())
        engine.wait(10)
        return answers


def test_a_predictor_killed_under_load_leaves_no_request_without_an_answer(folder, models, vectors):
    answers = kill_amid(folder, models, vectors, 24, stream=False)
    assert {answer.status_code for answer in answers} == {200}
    statuses = [answer.json()["twin"]["status"] for answer in answers]
    assert set(statuses) <= {"generated", "extracted"} and "extracted" in statuses


def test_a_predictor_killed_under_streams_ends_each_with_its_sources(folder, models, vectors):
    for answer in kill_amid(folder, models, vectors, 24, stream=True):
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        last = json.loads(events[-2])["twin"]
        assert last["status"] in ("generated", "extracted") and last["sources"]


def test_overload_is_answered_at_once_and_never_hangs(folder):
    with passing_through(folder, "--max-in-flight", "8") as (_, port):

        async def flood():
            busy = asyncio.create_task(open_streams(port, STREAM, 8))
            await asyncio.sleep(0.3)
            async with httpx.AsyncClient(timeout=10) as client:
                refused = await asyncio.gather(
                    *(client.post(f"http://127.0.0.1:{port}{CHAT}", json={**ASKED, "model": "m"}) for _ in range(50))
                )
            return await busy, refused

        streams, refused = asyncio.run(flood())
        check_streams(streams)
        answered = [answer for answer in refused if answer.status_code == 503]
        assert len(answered) > 30 and all(int(answer.headers["retry-after"]) >= 1 for answer in answered)
        assert {answer.status_code for answer in refused} <= {200, 503}
