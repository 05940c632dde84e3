"""What a worker takes next: new data first, the past in turns, and less under load."""

from __future__ import annotations

import time

import pytest

from tsconsole.models import DueRollup, Work
from tsconsole.worker.choice import Parallelism, Tried, choose


def due(*works: str) -> list[DueRollup]:
    """`a frontier` and so on; the letter is the rollup."""
    return [DueRollup(ord(text[0]), text[0], _work(text), None) for text in works]


def _work(text: str) -> Work:
    work = text.split()[1]
    assert work == "frontier" or work == "history" or work == "recompute"
    return work


@pytest.mark.parametrize(
    ("waiting", "in_hand", "parallel", "taken"),
    [
        # One place: new data first, then the past in the order in which it is due.
        (["c frontier", "a history", "b history"], [], 1, ["c frontier"]),
        (["a history", "b history"], [], 1, ["a history"]),
        (["c frontier"], ["a history"], 1, []),
        # Of two, one is kept for new data.
        (["a history", "b history"], [], 2, ["a history"]),
        (["b history"], ["a history"], 2, []),
        (["c frontier", "b history"], ["a history"], 2, ["c frontier"]),
        (["c frontier", "d frontier", "a history"], [], 2, ["c frontier", "d frontier"]),
        # Every rollup before one gets a second place.
        (["a history", "b history"], [], 4, ["a history", "b history", "a history"]),
        (["a history", "b history"], ["a history"], 4, ["b history", "a history"]),
        (["a history"], ["a history"], 4, ["a history", "a history"]),
        # A frontier or a recompute in hand cannot be begun once more.
        (["a frontier", "b frontier"], ["a frontier"], 4, ["b frontier"]),
        (["a recompute"], ["a recompute"], 4, []),
        (["a recompute", "a history"], [], 2, ["a recompute"]),
        (["a recompute", "a history"], [], 3, ["a recompute", "a history"]),
        # The limit may have shrunk below what is in hand.
        (["c frontier"], ["a history", "b history"], 1, []),
    ],
)
def test_choose(waiting: list[str], in_hand: list[str], parallel: int, taken: list[str]) -> None:
    assert choose(due(*waiting), due(*in_hand), parallel) == due(*taken)


def test_what_could_not_be_done_is_asked_for_less_and_less() -> None:
    tried = Tried(seldom=0.4)
    [one, other] = due("a frontier", "b frontier")
    assert tried.is_open(one) and tried.seconds_left() == float("inf")
    pauses = []
    for _ in range(6):
        tried.remember(one)
        pauses.append(tried.seconds_left())
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.4, 0.4], abs=0.02)
    assert not tried.is_open(one) and tried.is_open(other)
    # Something was done: what could not be done may be possible now.
    tried.forget(other)
    assert tried.is_open(one)
    tried.remember(one)
    time.sleep(0.41)
    assert tried.is_open(one)


def test_fewer_side_by_side_while_steps_are_slow() -> None:
    load = Parallelism(8)
    assert load.limit == 8
    assert not load.observe(1.0, 0.0)
    limits = []
    for moment, slowdown in enumerate([3.0, 2.0, 1.6, 1.6, 1.3, 1.3, 1.0, None, 0.5, 9.0]):
        load.observe(slowdown, moment * 10.0 + 20.0)
        limits.append(load.limit)
    assert limits == [4, 2, 1, 1, 1, 1, 2, 3, 4, 2]


def test_a_change_is_given_time_to_show() -> None:
    load = Parallelism(8)
    assert load.observe(3.0, 100.0) and load.limit == 4
    assert not load.observe(3.0, 109.0) and load.limit == 4
    assert load.observe(3.0, 110.0) and load.limit == 2
