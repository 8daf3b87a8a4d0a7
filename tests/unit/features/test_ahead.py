"""Reading ahead: the same items, errors in their place, no more than asked for made at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from llm_twin.features.ahead import map_ahead, read_ahead


def test_items_come_in_order_from_another_thread() -> None:
    makers = set()

    def make() -> Iterator[int]:
        for number in range(50):
            makers.add(threading.get_ident())
            yield number

    assert list(read_ahead(make())) == list(range(50))
    assert len(makers) == 1
    assert threading.get_ident() not in makers


def test_errors_come_where_their_item_would_have() -> None:
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in read_ahead(make()):
            seen.append(item)
    assert seen == [1, 2]


def test_no_more_is_made_than_asked_for_and_leaving_early_ends_it() -> None:
    made = []

    def make() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    stream = read_ahead(make(), depth=3)
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert len(made) <= 4
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


def test_mapped_items_keep_their_order_and_some_are_worked_on_at_once() -> None:
    both = threading.Barrier(2, timeout=20)

    def work(number: int) -> int:
        if number < 2:
            both.wait()  # ends only if the first two are worked on side by side
        return number * number

    assert list(map_ahead(work, range(20))) == [(number, number * number) for number in range(20)]


def test_an_error_of_the_mapped_work_is_raised_in_its_place() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    seen = []
    with pytest.raises(ValueError, match="three"):
        for _, value in map_ahead(work, range(10)):
            seen.append(value)
    assert seen == [0, 1, 2]
