"""`twin batch --shards`: the pipeline `batch` by kfp.local before a real server, and as Kubeflow gets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from llm_twin.errors import InputError, ServiceError
from llm_twin.serving.batch import join_shards, plan_shards, run_shard
from llm_twin.serving.processes import run_server, write_json
from llm_twin.serving.twins import read_server_config
from tests.integration.serving.test_operations import transformer
from tests.integration.serving.test_poisoned import gullible
from tests.integration.test_kubeflow_submit import RUN_ID, TOKEN, api  # noqa: F401 - a fixture
from tests.unit.operations import object_server

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def server(tmp_path):
    with gullible() as (predictor_url, prompts), transformer(tmp_path, predictor_url, "") as (url, _):
        yield url, prompts


def write_questions(path, count):
    lines = [json.dumps({"id": f"q{i}", "question": f"What of number {i}?"}) for i in range(count)]
    path.write_text("\n".join(lines) + "\n\n")
    return path


def batch(tmp_path, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_KFP")}
    return subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", "batch", *map(str, arguments)],
        env={**clean, "LLM_TWIN_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), **environment},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_shards_are_asked_by_the_pipeline_in_order_and_not_twice(tmp_path, server):
    url, prompts = server
    source, target = write_questions(tmp_path / "in.jsonl", 7), tmp_path / "out.jsonl"
    done = batch(tmp_path, source, target, "--shards", 3, "--url", url)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"q{i}" for i in range(7)]
    assert all(row["query"] == f"What of number {i}?" and row["answer"] for i, row in enumerate(rows))
    assert len(prompts) == 7 and "0 shards known" in done.stdout

    again = batch(tmp_path, source, target, "--shards", 3, "--url", url)
    assert again.returncode == 0, again.stderr
    assert "3 shards known" in again.stdout and len(prompts) == 7
    assert [json.loads(line) for line in target.read_text().splitlines()] == rows

    source.write_text('{"question": "fine"}\n{"query": "not so"}\n')
    wrong = batch(tmp_path, source, target, "--shards", 2, "--url", url)
    assert wrong.returncode == 2 and "line 2" in wrong.stderr


def test_another_version_of_the_twin_is_asked_anew_and_a_stopped_shard_goes_on(tmp_path, server):
    url, prompts = server
    source = write_questions(tmp_path / "in.jsonl", 4)
    before = plan_shards(4, 9, url)
    assert [(part["shard"], part["shards"]) for part in before] == [(i, 4) for i in range(4)]
    with pytest.raises(InputError, match="no twin"):
        plan_shards(4, 2, url, model="nobody")
    with pytest.raises(ServiceError, match="cannot be asked"):
        plan_shards(4, 2, "http://127.0.0.1:9")

    (part,) = plan_shards(4, 1, url)
    kept, target = tmp_path / "kept", tmp_path / "shard.jsonl"
    with pytest.raises(ServiceError):
        run_shard(source, target, kept, part, "http://127.0.0.1:9")
    (working,) = kept.iterdir()
    working.write_text(json.dumps({"id": "q2", "answer": "from before"}) + "\n" + '{"id": "q3", "answ')
    done = run_shard(source, target, kept, part, url)
    assert (done.asked, done.known, len(prompts)) == (3, 1, 3) and not working.exists()
    assert join_shards(source, [target], tmp_path / "all.jsonl") == 4
    assert json.loads((tmp_path / "all.jsonl").read_text().splitlines()[2])["answer"] == "from before"
    source.write_text(source.read_text() + '{"id": "more", "question": "And?"}\n')
    with pytest.raises(InputError, match="more has no answer"):
        join_shards(source, [target], tmp_path / "all.jsonl")

    (path,) = tmp_path.glob("server-*.json")
    config = read_server_config(path)
    twin = config.twins[0].model_copy(update={"index": "another"})
    write_json(path, config.model_copy(update={"twins": [twin]}).model_dump(mode="json"))
    port = url.rsplit(":", 1)[1]
    other = str(int(port) + 1) if int(port) < 65_000 else str(int(port) - 1)
    arguments = ["--config", str(path), "--port", other]
    ready = f"http://127.0.0.1:{other}/readyz"
    with run_server("llm_twin.serving.transformer", arguments, ready, tmp_path / "other.log"):
        assert plan_shards(4, 1, f"http://127.0.0.1:{other}")[0]["versions"] != part["versions"]


def test_kubeflow_gets_the_pipeline_and_the_files_go_through_the_bucket(tmp_path, api):  # noqa: F811
    source, target = write_questions(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    store = object_server.Store()
    with object_server.serve(store) as objects:
        store.buckets["batches"] = {}
        places = {
            "LLM_TWIN_KFP_HOST": f"http://127.0.0.1:{api.server_port}", "LLM_TWIN_KFP_TOKEN": TOKEN,
            "AWS_ENDPOINT_URL": objects, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        refused = batch(tmp_path, source, target, "--on", "kubeflow", **places)
        assert refused.returncode == 2 and "LLM_TWIN_BATCH_URI" in refused.stderr
        places["LLM_TWIN_BATCH_URI"] = "s3://batches/mine"
        sent = batch(tmp_path, source, target, "--shards", 2, "--on", "kubeflow", **places)
        assert sent.returncode == 0, sent.stderr
        (key,) = store.buckets["batches"]
        assert store.buckets["batches"][key] == source.read_bytes()
        answers = key.replace("source.jsonl", "answers.jsonl")
        store.buckets["batches"][answers] = b'{"id": "q0"}\n'  # as the run's last step leaves it
        waited = batch(tmp_path, source, target, "--on", "kubeflow", "--wait", **places)
        assert waited.returncode == 0, waited.stderr
        assert target.read_bytes() == b'{"id": "q0"}\n'
    assert not api.problems and RUN_ID in sent.stdout
    run = next(body for path, body in api.received if "runs" in path)
    given = run["runtime_config"]["parameters"]
    assert given == {
        "source": f"s3://batches/{key}", "target": f"s3://batches/{answers}", "shards": 2, "model": "", "parallel": 8,
    }  # fmt: skip


def test_a_recipe_does_not_run_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", "run", "--pipeline", "batch"],
        env={**os.environ, "LLM_TWIN_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "no pipeline 'batch' of a recipe" in done.stderr
