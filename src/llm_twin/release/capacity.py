"""How many replicas a load needs, what they cost an hour, and at which figures to add and take away: `twin plan --rps`.

From measured throughput, not from a GPU's name: a replica makes so many tokens a second when it is busy
(`python -m benchmarks` or the server's own metrics say how many). Queueing leaves room: replicas are sized to be busy
for `target_utilization` of the time, and never fewer than the load itself needs. Little's law (1961) gives how many
requests are in work: arrivals a second times seconds in the system.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llm_twin.errors import InputError


@dataclass(frozen=True)
class Load:
    """What is asked: requests a second at the peak, and tokens of one request."""

    requests_per_second: float
    prompt_tokens: float
    answer_tokens: float


@dataclass(frozen=True)
class Replica:
    """What one replica was measured to do, and costs."""

    prompt_tokens_per_second: float  # prefill
    answer_tokens_per_second: float  # decode, over all requests in its batch
    max_concurrent: int = 32
    cost_per_hour: float = 0.0
    load_seconds: float = 180.0  # from being asked for to being ready


@dataclass(frozen=True)
class Capacity:
    """The plan; figures a replica unless said otherwise."""

    replicas: int
    max_replicas: int
    utilization: float  # of the replicas, at the given load
    requests_per_second: float  # that one replica can take, when always busy
    in_work: float  # requests in work at once, all replicas
    cost_per_hour: float  # all replicas
    cost_per_thousand: float  # of requests
    waiting_threshold: float  # add a replica when more than this wait, a replica
    tokens_threshold: float  # or more answer tokens a second than this are written, a replica
    scale_up_seconds: int
    cooldown_seconds: int


def plan_capacity(
    load: Load, replica: Replica, *, target_utilization: float = 0.7, min_replicas: int = 1, burst: float = 2.0
) -> Capacity:
    """The capacity for `load`. `burst` is the peak of a peak, which `max_replicas` is sized for.

    A request costs prompt_tokens / prefill rate + answer_tokens / decode rate seconds of a replica; replicas are
    ceil(requests a second x seconds a request / target utilization). Raises InputError for figures that no load has.
    """
    for name, value in (
        ("requests a second", load.requests_per_second), ("prompt tokens", load.prompt_tokens),
        ("answer tokens", load.answer_tokens), ("prompt tokens a second", replica.prompt_tokens_per_second),
        ("answer tokens a second", replica.answer_tokens_per_second), ("concurrent requests", replica.max_concurrent),
    ):  # fmt: skip
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"{name}: {value:g}", "give a number above 0, measured under load")
    if not 0 < target_utilization < 1:
        raise InputError(f"target utilization {target_utilization:g}", "give a share between 0 and 1, such as 0.7")
    if burst < 1 or min_replicas < 0:
        raise InputError(
            f"burst {burst:g}, at least {min_replicas} replicas", "a burst is 1 or more, replicas 0 or more"
        )
    seconds = _seconds_of(load, replica)
    needed = _ceil(load.requests_per_second * seconds / target_utilization)
    replicas = max(min_replicas, needed, 1)
    most = max(replicas + 1, _ceil(burst * load.requests_per_second * seconds / target_utilization))
    busy = load.requests_per_second * seconds / replicas
    tokens = load.answer_tokens / seconds  # answer tokens a second of a replica that is always busy
    cost = replicas * replica.cost_per_hour
    return Capacity(
        replicas=replicas,
        max_replicas=most,
        utilization=busy,
        requests_per_second=1 / seconds,
        in_work=load.requests_per_second * _time_in_system(load, replica, busy),
        cost_per_hour=cost,
        cost_per_thousand=cost / (load.requests_per_second * 3.6),
        waiting_threshold=max(1.0, round(replica.load_seconds / seconds * (1 - target_utilization) / 10, 1)),
        tokens_threshold=round(tokens * target_utilization, 1),
        scale_up_seconds=max(15, min(60, round(replica.load_seconds / 6))),
        cooldown_seconds=max(300, round(3 * replica.load_seconds)),
    )


def _ceil(value: float) -> int:
    """The next whole number, forgiving what floating point adds to an exact one."""
    return math.ceil(value - 1e-9)


def _seconds_of(load: Load, replica: Replica) -> float:
    """Seconds of a replica that one request takes, when its batch is full."""
    return load.prompt_tokens / replica.prompt_tokens_per_second + load.answer_tokens / replica.answer_tokens_per_second


def _time_in_system(load: Load, replica: Replica, busy: float) -> float:
    """Seconds from arrival to the last token: a request decodes at its share of the batch, and waits as it fills."""
    share = max(1.0, min(replica.max_concurrent, busy * replica.max_concurrent))
    alone = load.prompt_tokens / replica.prompt_tokens_per_second
    alone += load.answer_tokens * share / replica.answer_tokens_per_second
    return alone / max(0.05, 1 - min(busy, 0.95)) if busy > 0.8 else alone


def render_patch(plan: Capacity) -> str:
    """The JSON6902 patch of ScaledObject `twin-predictor`: for an overlay with the component `autoscaling`."""
    import yaml

    operations: list[dict[str, Any]] = [
        {"op": "replace", "path": "/spec/minReplicaCount", "value": plan.replicas},
        {"op": "replace", "path": "/spec/maxReplicaCount", "value": plan.max_replicas},
        {"op": "replace", "path": "/spec/cooldownPeriod", "value": plan.cooldown_seconds},
        {"op": "replace", "path": "/spec/fallback/replicas", "value": plan.replicas},
        {
            "op": "replace",
            "path": "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleUp/stabilizationWindowSeconds",
            "value": plan.scale_up_seconds,
        },
        {
            "op": "replace",
            "path": "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/stabilizationWindowSeconds",
            "value": plan.cooldown_seconds,
        },
        {"op": "replace", "path": "/spec/triggers/0/metadata/threshold", "value": f"{plan.waiting_threshold:g}"},
        {"op": "replace", "path": "/spec/triggers/1/metadata/threshold", "value": f"{plan.tokens_threshold:g}"},
    ]
    head = "# Written by `twin plan --rps`: for the ScaledObject twin-predictor (component `autoscaling`).\n"
    return head + yaml.safe_dump(operations, sort_keys=False, width=120)
