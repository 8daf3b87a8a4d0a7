"""A server whose index is away starts, says so, refuses in words, and answers once the index is there."""

from __future__ import annotations

import time

import httpx
import pytest

from llm_twin.serving.processes import free_port, start_server, stop_server, wait_ready, write_json
from llm_twin.serving.twins import ServerConfig
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.parts import running_index
from tests.integration.serving.test_operations import ASKED, CHAT
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(900)


def test_it_starts_without_its_index_and_is_ready_when_the_index_is(folder):
    port, index_port = free_port(), free_port()
    log = folder / "away.log"
    url = f"http://127.0.0.1:{port}"
    with gullible() as (predictor_url, _):
        config = ServerConfig(
            twins=[small.make_twin()], predictor=f"{predictor_url}/v1", vectors=f"http://127.0.0.1:{index_port}"
        )
        write_json(folder / "away.json", config.model_dump(mode="json"))
        arguments = ["--config", str(folder / "away.json"), "--port", str(port)]
        process = start_server("llm_twin.serving.transformer", arguments, log)
        try:
            wait_ready(process, f"{url}/healthz", log, 240)
            not_ready = httpx.get(f"{url}/readyz", timeout=60)
            assert not_ready.status_code == 503 and "index" in not_ready.json()["problem"]
            refused = httpx.post(url + CHAT, json=ASKED, timeout=60)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert "vector index" in refused.json()["error"]["message"]
            with running_index(folder / "away", port=index_port):
                until = time.monotonic() + 120
                while httpx.get(f"{url}/readyz", timeout=60).status_code != 200:
                    assert time.monotonic() < until
                    time.sleep(0.2)
                answer = httpx.post(url + CHAT, json=ASKED, timeout=120)
                assert answer.status_code == 200 and answer.json()["twin"]["sources"]
        finally:
            stop_server(process)
