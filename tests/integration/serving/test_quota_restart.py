"""A key's quota is used up by one server and still is when the server has started again."""

from __future__ import annotations

import json
import sqlite3
import time

import httpx
import pytest

from llm_twin.serving.access import make_key, write_keys
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.test_operations import ASKED, CHAT
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(600)


def test_a_restart_gives_no_quota_back(tmp_path):
    keys, path, port = tmp_path / "keys.json", tmp_path / "server.json", free_port()
    tokens, first = make_key("tokens", None, ["ask"], 100, 100, 1)
    once, second = make_key("once", None, ["ask"], 100, 1)
    write_keys(keys, [first, second])
    url = f"http://127.0.0.1:{port}"

    def ask(key):
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.post(url + CHAT, json=ASKED, headers=headers, timeout=60)
        return answer.status_code, answer.json().get("error", {}).get("code"), answer.headers.get("retry-after")

    with gullible() as (predictor_url, _):
        config = ServerConfig(twins=[small.make_twin()], predictor=f"{predictor_url}/v1", state_dir=tmp_path / "state")
        write_json(path, config.model_dump(mode="json"))
        arguments = ["--config", str(path), "--port", str(port), "--keys", str(keys)]
        for key in (tokens, once):
            for expected in (200, 429):  # once each server
                with run_server("llm_twin.serving.transformer", arguments, f"{url}/readyz", tmp_path / "t.log"):
                    status, told, wait = ask(key)
                assert status == expected and (told == "quota" or expected == 200)
                assert expected == 200 or int(wait) > 0


def test_a_job_counts_for_the_key_that_sent_it(tmp_path):
    keys, path, port = tmp_path / "keys.json", tmp_path / "server.json", free_port()
    shown, kept = make_key("sender", None, ["ask"], 100, 100, 3)  # two tokens each question, says the predictor
    write_keys(keys, [kept])
    url, headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {shown}"}
    with gullible() as (predictor_url, _):
        config = ServerConfig(twins=[small.make_twin()], predictor=f"{predictor_url}/v1", state_dir=tmp_path / "state")
        write_json(path, config.model_dump(mode="json"))
        arguments = ["--config", str(path), "--port", str(port), "--keys", str(keys)]
        with run_server("llm_twin.serving.transformer", arguments, f"{url}/readyz", tmp_path / "t.log"):
            body = {"questions": ["One?", "Two?", "Three?"]}
            sent = httpx.post(f"{url}/jobs", json=body, headers=headers, timeout=60)
            assert sent.status_code == 202
            database = sqlite3.connect(tmp_path / "state" / "jobs.db", timeout=10)
            until = time.monotonic() + 60
            while database.execute("select status from jobs").fetchone() != ("done",):
                assert time.monotonic() < until
                time.sleep(0.2)
            refused = httpx.post(url + CHAT, json=ASKED, headers=headers, timeout=60)
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "quota"
    answers = [json.loads(row[0]) for row in database.execute("select answer from answers")]
    assert len(answers) == 3 and all(answer["status"] == "generated" for answer in answers)
