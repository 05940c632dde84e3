"""Which rollups the monitor shows, and in which order: pure functions of rows and choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from tsconsole.health import worst_first
from tsconsole.models import RollupStatus

PROBLEMS = frozenset({"ALERT", "WARNING"})
_BEGINNING = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Order:
    """A way to sort the rollups."""

    column: str
    """The key of the column that carries the arrow."""
    words: str
    """What is first when the order is not reversed."""
    reversed_words: str
    key: Callable[[RollupStatus], object]


def _largest(value: Callable[[RollupStatus], float]) -> Callable[[RollupStatus], object]:
    return lambda rollup: (-value(rollup), rollup.target_table)


ORDERS: tuple[Order, ...] = (
    Order("state", "worst first", "best first", worst_first),
    Order("target", "by name", "by name, z first", lambda r: r.target_table),
    Order(
        "lag", "most lag first", "least lag first",
        _largest(lambda r: (r.lag or timedelta(-1)).total_seconds()),
    ),
    Order("pending", "most pending first", "least pending first",
          _largest(lambda r: r.pending_ranges)),
    Order("rows", "most rows first", "fewest rows first",
          _largest(lambda r: r.last_processed_rows or -1)),
    Order("took", "slowest first", "fastest first",
          _largest(lambda r: (r.last_duration or timedelta(-1)).total_seconds())),
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """What the operator chose to see."""

    order: int = 0
    is_reversed: bool = False
    filter: str = ""
    problems_only: bool = False

    @property
    def sorted_by(self) -> Order:
        """The order in use."""
        return ORDERS[self.order]

    @property
    def words(self) -> str:
        """The order in words."""
        return self.sorted_by.reversed_words if self.is_reversed else self.sorted_by.words

    @property
    def is_narrowed(self) -> bool:
        """Whether rows may be hidden."""
        return bool(self.filter) or self.problems_only

    def next_order(self) -> View:
        """Sort by the next column."""
        return replace(self, order=(self.order + 1) % len(ORDERS), is_reversed=False)


def visible(rollups: Iterable[RollupStatus], view: View) -> list[RollupStatus]:
    """The rollups to show, in order."""
    shown = [rollup for rollup in rollups if _is_wanted(rollup, view)]
    return sorted(shown, key=view.sorted_by.key, reverse=view.is_reversed)  # type: ignore[arg-type]


def _is_wanted(rollup: RollupStatus, view: View) -> bool:
    if view.problems_only and rollup.health_status not in PROBLEMS:
        return False
    text = f"{rollup.target_table} {rollup.source_table} {rollup.health_status}"
    return _passes(f"{text} {rollup.health_reason}", view.filter)


def _passes(text: str, wanted: str) -> bool:
    """Whether a text has every word of the filter; a word after ! must be missing."""
    lowered = text.lower()
    for word in wanted.lower().split():
        if word.startswith("!") and len(word) > 1:
            if word[1:] in lowered:
                return False
        elif word not in lowered:
            return False
    return True
