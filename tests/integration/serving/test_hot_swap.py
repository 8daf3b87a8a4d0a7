"""New versions in the configuration file are taken over while requests flow, and none is dropped."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from benchmarks.load import build_request, hammer
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.test_operations import ASKED, CHAT
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(600)


def test_prompt_and_adapter_are_swapped_under_load_and_a_wrong_file_changes_nothing(tmp_path):
    port, path = free_port(), tmp_path / "server.json"
    url = f"http://127.0.0.1:{port}"
    with gullible() as (predictor_url, prompts):
        config = ServerConfig(twins=[small.make_twin()], predictor=f"{predictor_url}/v1")
        write_json(path, config.model_dump(mode="json"))
        arguments = ["--config", str(path), "--port", str(port), "--per-minute", "1000000"]
        with run_server("llm_twin.serving.transformer", arguments, f"{url}/readyz", tmp_path / "t.log"):

            def model():
                return httpx.post(url + CHAT, json=ASKED, timeout=60).json()["twin"]["model"]

            async def swap_under_load():
                load = asyncio.create_task(hammer(port, build_request(CHAT, ASKED), 4, 4.0))
                await asyncio.sleep(0.5)
                prompt = {"twin_system": "Speak as {{ author }}, in the second version."}
                twin = small.make_twin(model="second", prompts=prompt)
                write_json(path, config.model_copy(update={"twins": [twin]}).model_dump(mode="json"))
                return await load

            assert model() == "first"
            load = asyncio.run(swap_under_load())
            assert set(load.statuses) == {200}
            until = time.monotonic() + 60
            while model() != "second":
                assert time.monotonic() < until
                time.sleep(0.2)
            assert "in the second version" in prompts[-1] and "in the second version" not in prompts[0]

            broken = json.loads(path.read_text())
            broken["twins"][0]["prompts"]["twin_system"] = "Speak as {{ nobody }}"
            path.write_text(json.dumps(broken))
            until = time.monotonic() + 60
            while "the configuration stays as it was" not in (tmp_path / "t.log").read_text():
                assert time.monotonic() < until
                time.sleep(0.2)
            assert model() == "second"
