"""Which of the due work a worker begins now, and how much of it side by side."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence

from tsconsole.database import Backoff
from tsconsole.models import DueRollup

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a server, or of a rollup, that does not answer."""


def choose(
    due: Sequence[DueRollup], in_hand: Collection[DueRollup], parallel: int
) -> list[DueRollup]:
    """What to begin beside the work in hand, in the order of urgency in which due is.

    Every due frontier, as far as there is room. Of the past so much that with two or more side
    by side one place is left for the next frontier; every rollup once before a backfill gets a
    second place.
    """
    free = parallel - len(in_hand)
    frontiers = [one for one in due if one.work == "frontier" and not _holds(in_hand, one)]
    chosen = frontiers[: max(free, 0)]
    past_in_hand = [one for one in in_hand if one.work != "frontier"]
    room = min(free - len(chosen), max(parallel - 1, 1) - len(past_in_hand))
    past = [one for one in due if one.work != "frontier"]
    chosen += _first_of_each(past, past_in_hand)[: max(room, 0)]
    # A backfill is claimed range by range: any number can share it.
    histories = itertools.cycle(one for one in past if one.work == "history")
    room -= sum(one.work != "frontier" for one in chosen)
    return chosen + list(itertools.islice(histories, max(room, 0)))


def _holds(in_hand: Collection[DueRollup], one: DueRollup) -> bool:
    return any((held.rollup_id, held.work) == (one.rollup_id, one.work) for held in in_hand)


def _first_of_each(past: Sequence[DueRollup], in_hand: Collection[DueRollup]) -> list[DueRollup]:
    taken = {held.rollup_id for held in in_hand}
    first = []
    for one in past:
        if one.rollup_id not in taken:
            taken.add(one.rollup_id)
            first.append(one)
    return first


class Refusals:
    """Which rollups refused to be stepped, and until when they are left alone."""

    def __init__(self) -> None:
        self._backoff: dict[str, Backoff] = {}
        self._until: dict[str, float] = {}

    def must_wait(self, target: str) -> bool:
        """Whether it is too early to ask this rollup again."""
        return time.monotonic() < self._until.get(target, 0.0)

    def remember(self, target: str) -> None:
        """Leave it alone, for longer every time."""
        backoff = self._backoff.setdefault(target, Backoff(limit=LONGEST_PAUSE))
        self._until[target] = time.monotonic() + backoff.next_delay()

    def forget(self, target: str) -> None:
        """It answered."""
        self._backoff.pop(target, None)
        self._until.pop(target, None)


class Tried:
    """Work that was due and could not be done: held elsewhere, or waiting for a transaction.

    It is asked for again soon, and less and less often.
    """

    SOON = 0.05

    def __init__(self, seldom: float) -> None:
        self._seldom = seldom
        self._pauses: dict[tuple[int, str], float] = {}
        self._until: dict[tuple[int, str], float] = {}

    def remember(self, one: DueRollup) -> None:
        """Do not ask for it at once."""
        key = one.rollup_id, one.work
        pause = min(self._pauses.get(key, self.SOON), self._seldom)
        self._pauses[key] = pause * 2
        self._until[key] = time.monotonic() + pause

    def is_open(self, one: DueRollup) -> bool:
        """Whether it may be asked for."""
        return time.monotonic() >= self._until.get((one.rollup_id, one.work), 0.0)

    def seconds_left(self) -> float:
        """How long nothing of it may be asked for; no limit when there is nothing."""
        now = time.monotonic()
        left = [until - now for until in self._until.values() if until > now]
        return min(left, default=float("inf"))

    def forget(self, one: DueRollup) -> None:
        """It could be done."""
        self._pauses.pop((one.rollup_id, one.work), None)
        self._until.clear()


class Parallelism:
    """How many steps run side by side: fewer while they take longer than predicted.

    Halved when steps are slow, one more for each time that they were not: as TCP does it.
    """

    SLOW = 1.5
    FAST = 1.2
    PAUSE = 10.0
    """Seconds between two changes, so that the steps of one can be seen before the next."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.limit = jobs
        self._changed_at = float("-inf")

    def observe(self, slowdown: float | None, now: float) -> bool:
        """Take in how many times their predicted time steps took lately; whether that changed it.

        None: there were too few steps to say.
        """
        if now - self._changed_at < self.PAUSE:
            return False
        before = self.limit
        if slowdown is not None and slowdown > self.SLOW:
            self.limit = max(1, self.limit // 2)
        elif slowdown is None or slowdown < self.FAST:
            self.limit = min(self.jobs, self.limit + 1)
        if self.limit == before:
            return False
        self._changed_at = now
        return True
