"""The planner against cases worked by hand."""

from __future__ import annotations

import pytest
import yaml

from llm_twin.errors import InputError
from llm_twin.release.capacity import Load, Replica, plan_capacity, render_patch

# 1 second of prefill and 1 of decode a request
SIMPLE = Replica(prompt_tokens_per_second=1000, answer_tokens_per_second=100, cost_per_hour=2.0)


def test_by_hand_one_request_a_second() -> None:
    # 1 request/s x (1000/1000 + 100/100) s = 2 replicas busy all the time; at 50 % use: 4, half busy
    plan = plan_capacity(Load(1, 1000, 100), SIMPLE, target_utilization=0.5)
    assert (plan.replicas, plan.utilization, plan.requests_per_second) == (4, 0.5, 0.5)
    assert plan.cost_per_hour == 8.0
    # 3600 requests an hour for 8: 2.22 a thousand
    assert plan.cost_per_thousand == pytest.approx(8 / 3.6)
    # twice the load at its burst: 8
    assert plan.max_replicas == 8


def test_by_hand_a_load_that_one_replica_does_not_quite_carry_needs_two() -> None:
    # 0.36 request/s x 2 s / 0.7 = 1.03 → 2, where rounding down (or to the nearest) would say 1 and run over
    assert plan_capacity(Load(0.36, 1000, 100), SIMPLE).replicas == 2
    assert plan_capacity(Load(0.35, 1000, 100), SIMPLE).replicas == 1  # exactly full is enough
    # ten requests a second of 500 + 200 tokens at 100 answer tokens a second: 10 x 2.5 / 0.7 = 35.7 → 36
    assert plan_capacity(Load(10, 500, 200), SIMPLE).replicas == 36


def test_by_hand_an_a10g_with_measured_rates() -> None:
    # 2 requests/s x (1200/5000 + 250/1000) s = 2 x 0.49 = 0.98; / 0.7 = 1.4 → 2 replicas, 49 % busy each
    replica = Replica(5000, 1000, cost_per_hour=1.21, load_seconds=180)
    plan = plan_capacity(Load(2, 1200, 250), replica)
    assert (plan.replicas, round(plan.utilization, 2)) == (2, 0.49)
    assert plan.cost_per_hour == pytest.approx(2.42)
    # busy all the time it writes 250 / 0.49 = 510 answer tokens a second; 70 % of that
    assert plan.tokens_threshold == pytest.approx(357.1, abs=0.1)
    assert (plan.scale_up_seconds, plan.cooldown_seconds) == (30, 540)


def test_more_load_never_needs_less() -> None:
    counts = [plan_capacity(Load(rps / 10, 800, 150), SIMPLE).replicas for rps in range(1, 200)]
    assert counts == sorted(counts)
    for rps, count in enumerate(counts, 1):
        assert count * 0.7 >= rps / 10 * (0.8 + 1.5) - 1e-6  # the load fits into what is planned
        assert count == 1 or (count - 1) * 0.7 < rps / 10 * (0.8 + 1.5)  # and one less would not do


def test_the_patch_fits_the_component() -> None:
    from tests.unit.kubernetes.builds import build_overlay, custom_schemas, find

    scaled = find(build_overlay("dev", "autoscaling"), "ScaledObject", "twin-predictor")
    plan = plan_capacity(Load(2, 1200, 250), Replica(5000, 1000))
    for operation in yaml.safe_load(render_patch(plan)):
        target = scaled
        *parents, last = operation["path"].strip("/").split("/")
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target[key]
        assert last in target, operation["path"]  # `replace` needs what it replaces
        target[last] = operation["value"]
    assert scaled["spec"]["minReplicaCount"] == 2 <= scaled["spec"]["maxReplicaCount"]
    assert custom_schemas().check(scaled) == []


@pytest.mark.parametrize(
    ("load", "replica"),
    [
        (Load(0, 1, 1), SIMPLE),
        (Load(1, -1, 1), SIMPLE),
        (Load(1, 1, 1), Replica(0, 1)),
        (Load(float("nan"), 1, 1), SIMPLE),
    ],
)
def test_figures_that_no_load_has_are_refused(load: Load, replica: Replica) -> None:
    with pytest.raises(InputError, match="above 0"):
        plan_capacity(load, replica)
