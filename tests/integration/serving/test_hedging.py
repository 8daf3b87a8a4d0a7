"""A request that is late is sent again, within a budget, and the loser is cut off: against a server that stalls."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from llm_twin.documents import Author
from llm_twin.recipe_serving import HedgingRecipe, ServingRecipe
from llm_twin.serving.hedging import ENOUGH, Hedger
from llm_twin.serving.predictor_client import PredictorClient, PredictorError
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig, Twin

BODY = {"model": "base", "messages": [{"role": "user", "content": "x"}]}
SOON = HedgingRecipe(budget=1, after_seconds=0.05)


class Stalling:
    """A predictor that keeps those requests waiting whose numbers it was told, until they are cut off."""

    def __init__(self, stalled=(), status=200):
        self.stalled, self.status = stalled, status
        self.asked, self.cut = 0, []

    async def answer(self, request):
        body = await request.json()
        number, self.asked = self.asked, self.asked + 1
        try:
            if body.get("stream"):
                return await self.stream(request, number)
            await self.stall(number)
            message = {"role": "assistant", "content": f"answer {number}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response({"choices": [choice]}, status=self.status)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cut.append(number)
            raise

    async def stall(self, number):
        if number in self.stalled:
            await asyncio.sleep(30)

    async def stream(self, request, number):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await self.send(response, {"role": "assistant", "content": ""})
        await self.stall(number)
        for word in ("answer ", str(number)):
            await self.send(response, {"content": word})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def send(self, response, delta):
        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    async def models(self, request):
        return web.json_response({"data": [{"id": "base"}]})


@asynccontextmanager
async def running(server):
    """The server on a free port; yields its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    app.router.add_get("/v1/models", server.models)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port(), shutdown_timeout=1)
    await site.start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


def use(server, ask):
    """The result of `ask(client)` with a client of the running server."""

    async def run():
        async with running(server) as url:
            client = PredictorClient(url, retries=0)
            try:
                return await ask(client)
            finally:
                await client.close()
                await asyncio.sleep(0.05)  # the server notices who left

    return asyncio.run(run())


def test_a_late_request_is_sent_again_and_the_loser_is_cut_off():
    server = Stalling({0})
    draft = use(server, lambda client: client.chat(BODY, "r", SOON))
    assert draft.texts == ["answer 1"] and server.asked == 2 and server.cut == [0]


def test_the_first_one_counts_where_it_answers_before_the_second():
    async def ask(client):
        hedger, waits = Hedger(), iter([0.15, 30])

        async def send():
            wait = next(waits)
            await asyncio.sleep(wait)
            return wait

        return await hedger.first(send, asyncio.sleep, SOON), list(hedger.times)

    winner, times = use(Stalling(), ask)
    assert winner == 0.15 and len(times) == 2, "the loser's time counts as what it took until then"


def test_nothing_is_sent_twice_unless_asked_for():
    server = Stalling({0})

    async def ask(client):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.chat(BODY, "r", HedgingRecipe()), 0.5)

    use(server, ask)
    assert server.asked == 1


def test_the_budget_holds_where_all_are_late():
    server = Stalling(range(1000))
    recipe = SOON.model_copy(update={"budget": 0.1, "after_seconds": 0.01})

    async def ask(client):
        async def one():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.chat(BODY, "r", recipe), 0.5)

        await asyncio.gather(*(one() for _ in range(50)))

    use(server, ask)
    assert 50 < server.asked <= 55


def test_what_is_late_is_learned_from_the_requests_before():
    server = Stalling({ENOUGH})
    recipe = HedgingRecipe(budget=0.5)

    async def ask(client):
        assert client.chats.delay(recipe) is None
        texts = [(await client.chat(BODY, "r", recipe)).texts[0] for _ in range(ENOUGH + 1)]
        return texts, client.chats.delay(recipe)

    texts, delay = use(server, ask)
    assert texts[-1] == f"answer {ENOUGH + 1}" and server.cut == [ENOUGH]
    assert 0 < delay < 30


def test_a_stream_without_text_is_opened_again_and_the_other_is_read_to_its_end():
    server = Stalling({0})

    async def ask(client):
        return [chunk async for chunk in client.stream(BODY, "r", SOON)]

    chunks = use(server, ask)
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == "answer 1" and server.cut == [0]


def test_a_refusal_is_no_answer():
    server = Stalling(status=400)
    with pytest.raises(PredictorError, match="refused"):
        use(server, lambda client: client.chat(BODY, "r", SOON))
    assert server.asked == 1


def test_the_recipe_reaches_the_server_and_its_metrics(tmp_path):
    server = Stalling({0, 2})

    async def ask():
        async with running(server) as url:
            serving = ServingRecipe(hedging=HedgingRecipe(budget=1, after_seconds=0.1))
            twin = Twin(name="m", author=Author(id="m", name="M"), serving=serving)
            write_json(tmp_path / "server.json", ServerConfig(twins=[twin], predictor=url).model_dump(mode="json"))
            return await asyncio.to_thread(ask_transformer, tmp_path)

    whole, streamed, metrics = asyncio.run(ask())
    assert whole["choices"][0]["message"]["content"] == "answer 1"
    assert "answer " in streamed and "[DONE]" in streamed
    assert 'llm_twin_hedges_total{winner="second"} 2.0' in metrics
    assert server.cut == [0, 2]


def ask_transformer(folder):
    url = f"http://127.0.0.1:{(port := free_port())}"
    arguments = ["--config", str(folder / "server.json"), "--port", str(port)]
    with run_server("llm_twin.serving.transformer", arguments, f"{url}/readyz", folder / "transformer.log"):
        chat = f"{url}/openai/v1/chat/completions"
        body = {"model": "m", "messages": BODY["messages"]}
        whole = httpx.post(chat, json=body, timeout=20).json()
        streamed = httpx.post(chat, json={**body, "stream": True}, timeout=20).text
        return whole, streamed, httpx.get(f"{url}/metrics").text
