"""A twin that answers through an outside OpenAI-compatible endpoint, as `twin init --endpoint` sets it up."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm_twin.errors import InputError
from llm_twin.local.init import write_twin
from llm_twin.recipes import load_recipe
from llm_twin.serving.probe import find_endpoint
from llm_twin.serving.twins import Twin


def test_init_writes_an_endpoint_that_the_server_uses(tmp_path) -> None:
    recipe_path, _ = write_twin(
        tmp_path, "Jane Doe", ["https://jane.example/feed"], endpoint="http://llm.example/v1/", endpoint_model="big"
    )
    recipe = load_recipe(recipe_path)
    assert recipe.training.base_model == "none", "a model beside the endpoint would be trained for nothing"
    twin = Twin(name="jane-doe", author=recipe.author.model_dump(), model="big", index="", serving=recipe.serving)
    assert find_endpoint([twin]) == "http://llm.example/v1"
    own = twin.model_copy(update={"serving": recipe.serving.model_copy(update={"endpoint": ""})})
    assert find_endpoint([own]) == ""
    with pytest.raises(InputError, match="different endpoints"):
        find_endpoint([twin, own])


def test_the_endpoint_is_asked_with_its_model_and_key(monkeypatch) -> None:
    import asyncio

    from llm_twin.serving.predictor_client import PredictorClient

    seen = {}

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen["path"], seen["key"] = self.path, self.headers["Authorization"]
            seen["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": "A gauge is a promise."}
            reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}
            payload = json.dumps({"id": "1", "object": "chat.completion", "model": "big", **reply}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    async def ask() -> str:
        client = PredictorClient(f"http://127.0.0.1:{server.server_port}/v1", api_key="k")
        try:
            draft = await client.chat({"model": "big", "messages": [{"role": "user", "content": "x"}]}, "r1")
        finally:
            await client.close()
        return draft.texts[0]

    try:
        assert asyncio.run(ask()) == "A gauge is a promise."
    finally:
        server.shutdown()
        server.server_close()
    assert seen["path"] == "/v1/chat/completions"
    assert seen["key"] == "Bearer k"
    assert seen["body"]["model"] == "big"
