"""A small Kubernetes API on loopback for TrainJobs: it validates against the CRD's schema and can misbehave."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import parse_qs, urlparse

import jsonschema
import pytest
import yaml

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"


def load_schema(crds: Path) -> dict[str, Any]:
    """The TrainJob schema of the CRD file, with unknown fields refused as strict validation does."""
    crd = yaml.safe_load((crds / "trainer" / "trainer.kubeflow.org_trainjobs.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    _close(schema["properties"]["spec"])
    return schema


def _close(schema: dict[str, Any]) -> None:
    if schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for part in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(part, dict):
            if part.pop("x-kubernetes-int-or-string", False):
                part.pop("anyOf", None)
                part.pop("pattern", None)
                part["type"] = ["integer", "string"]
            _close(part)


class Cluster:
    """Jobs, their watchers, what was asked, and the faults to show."""

    def __init__(self, crds: Path) -> None:
        self.schema = load_schema(crds)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.watchers: list[Queue] = []
        self.version = 100
        self.created: list[str] = []
        self.deleted: list[str] = []
        self.watch_faults: list[str] = []  # taken one a watch: "410", "cut"
        self.watches = 0
        self.lock = threading.Lock()

    def change(self, name: str, status: dict[str, Any]) -> None:
        """Set a job's status and tell the watchers."""
        with self.lock:
            self.version += 1
            job = self.jobs[name]
            job["status"] = status
            job["metadata"]["resourceVersion"] = str(self.version)
            event = {"type": "MODIFIED", "object": json.loads(json.dumps(job))}
            for watcher in self.watchers:
                watcher.put(event)


def running_cluster() -> Iterator[Cluster]:
    """A cluster that is served, for a fixture; without a folder of CRDs the test is skipped."""
    if not (crds := os.environ.get("LLM_TWIN_CRDS")):
        pytest.skip("LLM_TWIN_CRDS names no folder of CRDs")
    found = Cluster(Path(crds))
    server = serve(found)
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()


def serve(cluster: Cluster) -> ThreadingHTTPServer:
    """Start the API on a free port of loopback; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, code: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if urlparse(self.path).path != JOBS:
                return self.answer(404, {"message": "no such resource"})
            errors = [error.message for error in jsonschema.Draft7Validator(cluster.schema).iter_errors(job)]
            if errors:
                return self.answer(422, {"message": "; ".join(errors)})
            name = job["metadata"]["name"]
            if name in cluster.jobs:
                return self.answer(409, {"message": "exists"})
            cluster.version += 1
            job["metadata"]["resourceVersion"] = str(cluster.version)
            cluster.jobs[name] = job
            cluster.created.append(name)
            return self.answer(201, job)

        def do_DELETE(self) -> None:
            name = urlparse(self.path).path.rsplit("/", 1)[-1]
            cluster.jobs.pop(name, None)
            cluster.deleted.append(name)
            return self.answer(200, {"status": "Success"})

        def do_GET(self) -> None:
            place = urlparse(self.path)
            asked = parse_qs(place.query)
            if place.path == "/api/v1/namespaces/team/pods":
                return self.answer(200, {"items": cluster.pods})
            if place.path == JOBS and "watch" in asked:
                return self.watch()
            name = place.path.rsplit("/", 1)[-1]
            if name in cluster.jobs:
                return self.answer(200, cluster.jobs[name])
            return self.answer(404, {"message": "not found"})

        def watch(self) -> None:
            with cluster.lock:
                cluster.watches += 1
                fault = cluster.watch_faults.pop(0) if cluster.watch_faults else ""
                events: Queue = Queue()
                cluster.watchers.append(events)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if fault == "410":
                gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                self.chunk({"type": "ERROR", "object": gone})
            elif fault == "cut":
                self.close_connection = True  # in the middle of the stream, without its end
                return
            else:
                try:
                    while True:
                        self.chunk(events.get(timeout=20))
                except (Empty, OSError):
                    pass
            self.wfile.write(b"0\r\n\r\n")

        def chunk(self, event: dict[str, Any]) -> None:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
