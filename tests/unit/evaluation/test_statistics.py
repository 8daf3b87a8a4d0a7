import math

import numpy as np
import pytest

from llm_twin.evaluation.statistics import (
    compare_pairs,
    correct_holm,
    mean_interval,
    prompts_needed,
    welch_interval,
)


def values(data):
    return {f"p{number}": float(value) for number, value in enumerate(data)}


def test_interval_is_students():
    interval = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert interval.mean == 2.5 and interval.median == 2.5
    assert interval.high - interval.mean == pytest.approx(3.182446 * 1.2909944 / 2, rel=1e-6)
    assert mean_interval([3.0]).low is None


def test_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(1)
    covered = sum(
        interval.low <= 5 <= interval.high
        for interval in (mean_interval(draw.normal(5, 3, 20).tolist()) for _ in range(600))
    )
    assert 0.93 <= covered / 600 <= 0.97


def test_a_fifth_of_better_answers_is_told_apart():
    draw = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        scores = draw.normal(50, 30, 100)
        better = scores + np.where(draw.random(100) < 0.2, np.abs(draw.normal(40, 10, 100)), 0)
        [difference] = compare_pairs({"a": values(scores), "b": values(better)})
        found += difference.different and difference.difference.mean > 0
    assert found >= 99


def test_identical_models_are_called_different_at_most_five_times_in_a_hundred():
    draw = np.random.default_rng(3)
    called = 0
    for _ in range(400):
        skill = draw.normal(50, 30, 100)  # of the prompt; each model then adds its own sampling
        one, other = skill + draw.normal(0, 20, 100), skill + draw.normal(0, 20, 100)
        called += compare_pairs({"a": values(one), "b": values(other)})[0].different
    assert called <= 20


def test_many_pairs_share_one_chance_of_a_false_difference():
    draw = np.random.default_rng(4)
    called = 0
    for _ in range(100):
        models = {name: values(draw.normal(0, 1, 50)) for name in "abcde"}
        called += any(one.different for one in compare_pairs(models))
    assert called <= 8


def test_equal_answers_are_no_difference_and_the_same_twice():
    scores = {"a": values([1, 2, 3]), "b": values([1, 2, 3])}
    [difference] = compare_pairs(scores)
    assert not difference.different and difference.p_value == 1.0 and difference.effect_size == 0
    draw = values(np.random.default_rng(5).normal(0, 1, 30))
    assert compare_pairs({"a": values(range(30)), "b": draw}) == compare_pairs({"a": values(range(30)), "b": draw})


def test_holm_and_power_and_welch_are_those_of_the_books():
    assert correct_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert prompts_needed(1.0, 0.5) == 32
    with pytest.raises(ValueError):
        prompts_needed(1.0, 0)
    apart, low, high = welch_interval([1, 2, 3, 4], [2, 3, 4, 9])
    assert apart == 2 and low == pytest.approx(2 - (high - 2)) and math.isclose(high, 6.535, abs_tol=0.2)
