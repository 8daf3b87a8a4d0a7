"""Submission to Kubeflow Pipelines, against a server on the wire that holds every request to the published schema.

The schema is the one that kfp's own generated client and the pipeline spec's protobuf definition carry.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

TOKEN = "a-token-for-this-test"
RUN_ID = "7a2a8f7e-0b7e-4f0e-9a55-0a3d6a0f7c11"
EXPERIMENT_ID = "1c1b6c5e-59e4-4a4b-8fb7-52d43b1e2a10"


def check_keys(value: dict, model: type, path: str) -> None:
    """Refuse a key that the generated model does not know, at any depth it describes."""
    import kfp_server_api

    known = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        assert key in known, f"{path}.{key} is not in the published schema of {model.__name__}"
        type_name = model.openapi_types[known[key]]
        inner = getattr(kfp_server_api, type_name, None)
        if inner is not None and isinstance(item, dict) and hasattr(inner, "attribute_map"):
            check_keys(item, inner, f"{path}.{key}")


class Handler(BaseHTTPRequestHandler):
    """The part of the v2beta1 API that a submission uses."""

    def do_GET(self) -> None:
        if self.path.startswith("/apis/v2beta1/healthz"):
            return self.answer({"multi_user": True})
        if self.path.startswith("/apis/v2beta1/experiments"):
            return self.answer({"experiments": []})
        if self.path.startswith(f"/apis/v2beta1/runs/{RUN_ID}"):
            return self.answer({"run_id": RUN_ID, "state": self.server.final_state})
        return self.answer({"error": "not here"}, 404)

    def do_POST(self) -> None:
        import kfp_server_api

        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "who are you?"}, 401)
        model, reply = {
            "/apis/v2beta1/experiments": (
                kfp_server_api.V2beta1Experiment,
                {"experiment_id": EXPERIMENT_ID, "display_name": body.get("display_name")},
            ),
            "/apis/v2beta1/runs": (kfp_server_api.V2beta1Run, {"run_id": RUN_ID, "display_name": "x"}),
        }[self.path.split("?")[0]]
        try:
            check_keys(body, model, model.__name__)
        except AssertionError as error:
            self.server.problems.append(str(error))
            return self.answer({"error": str(error)}, 400)
        self.server.received.append((self.path, body))
        return self.answer(reply)

    def answer(self, content: dict, status: int = 200) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.problems, server.final_state = [], [], "SUCCEEDED"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def twin(tmp_path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_KFP")}
    return subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", "run", *arguments],
        env={**clean, "HOME": str(tmp_path), **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_recipe_becomes_a_run_with_its_sections_as_parameters(tmp_path, api) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    done = twin(
        tmp_path, "--recipe", "llama3_8b_qlora", "--on", "kubeflow", "--run-name", "nightly", "--wait",
        LLM_TWIN_KFP_HOST=f"http://127.0.0.1:{api.server_port}", LLM_TWIN_KFP_TOKEN=TOKEN,
        LLM_TWIN_KFP_NAMESPACE="authors", LLM_TWIN_KFP_EXPERIMENT="voices",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert api.problems == []
    assert RUN_ID in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    experiment = next(body for path, body in api.received if "experiments" in path)
    run = next(body for path, body in api.received if "runs" in path)
    assert experiment["display_name"] == "voices"
    assert experiment["namespace"] == "authors"
    assert run["display_name"] == "nightly"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["training"]["base_model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert all(len(json.dumps(value)) < 10_000 for value in parameters.values()), "kfp's cap on a parameter"
    spec = run["pipeline_spec"]
    json_format.ParseDict(spec.get("pipeline_spec", spec), pipeline_spec_pb2.PipelineSpec())
    assert len(json.dumps(run)) < 1_000_000
    platform = json.dumps(spec.get("platform_spec", {}))
    assert "nvidia.com/gpu" in platform
    assert "llm-twin/pool" in platform


def test_a_failed_run_and_a_wrong_token_are_one_clear_line(tmp_path, api) -> None:
    host = f"http://127.0.0.1:{api.server_port}"
    api.final_state = "FAILED"
    done = twin(
        tmp_path, "--recipe", "sample", "--on", "kubeflow", "--wait", LLM_TWIN_KFP_HOST=host, LLM_TWIN_KFP_TOKEN=TOKEN
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: run {RUN_ID} ended as FAILED")
    done = twin(tmp_path, "--recipe", "sample", "--on", "kubeflow", LLM_TWIN_KFP_HOST=host, LLM_TWIN_KFP_TOKEN="wrong")
    assert done.returncode == 2
    assert "401" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_api_is_one_clear_line(tmp_path) -> None:
    done = twin(tmp_path, "--recipe", "sample", "--on", "kubeflow", LLM_TWIN_KFP_HOST="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "LLM_TWIN_KFP_HOST" in done.stderr
    assert "Traceback" not in done.stderr
