"""Alerts, dashboards and scalers read metrics that something exports."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY, generate_latest

from llm_twin.serving import metrics
from llm_twin.serving.decoding import Decoding
from llm_twin.serving.predictor import Predictor
from tests.unit.kubernetes.builds import build_overlay

ROOT = Path(__file__).parents[3]
# What others export, as their documentation says.
FOREIGN = {
    "up", "kube_statefulset_status_replicas_ready", "kube_statefulset_replicas",
    "kube_cronjob_status_last_successful_time", "kube_cronjob_spec_suspend", "kube_job_status_failed",
    "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes",
    "kube_deployment_status_replicas_available", "certmanager_certificate_expiration_timestamp_seconds",
    "tgi_queue_size", "tgi_batch_current_size", "tgi_request_generated_tokens_sum",
    "vllm:num_requests_waiting", "vllm:generation_tokens_total", "vllm:num_requests_running",
    "DCGM_FI_DEV_GPU_UTIL",
}  # fmt: skip
NOT_METRICS = {
    "sum", "rate", "by", "or", "and", "unless", "on", "clamp_min", "histogram_quantile", "absent", "time", "max", "min",
    "le", "bool", "ignoring", "group_left", "without", "increase", "label_replace", "vector", "avg", "count",
}  # fmt: skip


def exported() -> set[str]:
    """Names that our transformer and predictor serve at /metrics."""
    metrics.observe_request("/v1/chat/completions", 200, 0.1)
    metrics.ANSWERS.labels("generated").inc()
    metrics.HOPS.labels("retrieve").observe(0.01)
    found = set(re.findall(r"^(llm_twin_\w+?)(?:\{|\s)", generate_latest(REGISTRY).decode(), re.M))

    class Idle:  # the engine's figures, without a model
        batches = rows = waiting = 0
        how = Decoding(1, 0)

    predictor = Predictor.__new__(Predictor)
    predictor.engine, predictor.requests, predictor.running = Idle(), 0, 0  # type: ignore[assignment]
    return found | set(re.findall(r"^(\w+) ", predictor._metrics(), re.M))


def names_in(query: str) -> set[str]:
    """Metric names in a PromQL query (label names and strings aside)."""
    bare = re.sub(r'"[^"]*"', '""', query)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\[[^\]]*\]|\b\d[\w.]*", "", bare)
    return {name for name in re.findall(r"[A-Za-z_:][\w:]*", bare) if name not in NOT_METRICS}


def test_every_metric_that_is_read_is_exported() -> None:
    things = build_overlay("dev", "autoscaling", "monitoring")
    queries, recorded = [], set()
    for thing in things:
        if thing["kind"] == "PrometheusRule":
            for group in thing["spec"]["groups"]:
                for rule in group["rules"]:
                    queries.append(rule["expr"])
                    recorded.update({rule["record"]} if "record" in rule else set())
        if thing["kind"] == "ScaledObject":
            queries += [t["metadata"]["query"] for t in thing["spec"]["triggers"] if t["type"] == "prometheus"]
        if thing["kind"] == "ConfigMap" and "grafana_dashboard" in thing["metadata"].get("labels", {}):
            for text in thing["data"].values():
                dashboard = yaml.safe_load(text)
                queries += [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]
    assert len(queries) > 15
    known = exported() | FOREIGN | recorded
    read = {name for query in queries for name in names_in(query)}
    assert read - known == set()
    assert any(name.startswith("llm_twin_answers") for name in read)


def test_every_alert_says_what_to_do() -> None:
    for thing in build_overlay("dev", "monitoring"):
        if thing["kind"] != "PrometheusRule":
            continue
        for group in thing["spec"]["groups"]:
            for rule in group["rules"]:
                if "alert" not in rule:
                    continue
                assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
                runbook = rule["annotations"]["runbook"]
                assert (ROOT / runbook.partition("#")[0]).is_file(), runbook
