"""`twin plan --rps …`: replicas, their cost, and the autoscaler's patch. (`twin plan MODEL` is in training.py.)"""

from __future__ import annotations

from pathlib import Path


def plan_replicas(
    rps: float, tokens: int, answer_tokens: int, gpu: str, measured: tuple[float, float, float], out: str
) -> None:
    """Plan for `rps` requests a second of `tokens` in all; `measured` (prefill, decode, cost) goes before the table."""
    from importlib.resources import files

    import yaml

    from llm_twin.errors import InputError
    from llm_twin.release.capacity import Load, Replica, plan_capacity, render_patch

    known = yaml.safe_load((files("llm_twin.release") / "gpus.yaml").read_text(encoding="utf-8"))
    if gpu not in known:
        raise InputError(f"no GPU {gpu!r}", f"one of: {', '.join(known)}; or give your own measured rates beside one")
    given = dict(zip(("prompt_tokens_per_second", "answer_tokens_per_second", "cost_per_hour"), measured, strict=True))
    replica = Replica(**{**known[gpu], **{name: value for name, value in given.items() if value > 0}})
    if answer_tokens >= tokens:
        raise InputError(f"{answer_tokens} answer tokens of {tokens} in all", "--tokens counts prompt and answer")
    plan = plan_capacity(Load(rps, tokens - answer_tokens, answer_tokens), replica)
    print(f"{rps:g} requests a second of {tokens - answer_tokens} + {answer_tokens} tokens on {gpu}")
    print(f"  replicas        {plan.replicas}, each {plan.utilization:.0%} busy; at most {plan.max_replicas}")
    print(f"  one replica     {plan.requests_per_second:.2f} requests a second when always busy")
    print(f"  in work         {plan.in_work:.1f} requests at once")
    print(f"  cost            {plan.cost_per_hour:.2f} an hour, {plan.cost_per_thousand:.3f} a thousand requests")
    print(f"  add one when    {plan.waiting_threshold:g} wait or {plan.tokens_threshold:g} tokens/s, a replica")
    print(f"  cool-downs      {plan.scale_up_seconds} s up, {plan.cooldown_seconds} s down")
    if not (measured[0] > 0 and measured[1] > 0):
        print("  throughput from the table, not measured: give --prompt-rate and --answer-rate of your own")
    if out:
        Path(out).write_text(render_patch(plan), encoding="utf-8")
        print(f"patch: {out} (for ScaledObject twin-predictor, beside the component autoscaling)")
