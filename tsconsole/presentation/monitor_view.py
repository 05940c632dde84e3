"""Which rollups the monitor shows, and in which order: pure functions of rows and choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from tsconsole.health import worst_first
from tsconsole.models import Health, RollupStatus
from tsconsole.presentation.filtering import hidden_words, passes

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
    Order("watermark", "oldest watermark first", "newest watermark first",
          lambda r: (r.last_processed_time or _BEGINNING, r.target_table)),
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """What the operator chose to see."""

    order: int = 0
    is_reversed: bool = False
    filter: str = ""
    problems_only: bool = False
    health: Health | None = None
    """Show only rollups in this state."""

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
        return bool(self.filter) or self.problems_only or self.health is not None

    def hidden_words(self, hidden: int) -> str:
        """How many rollups are hidden, and by what."""
        reasons = ["problems only"] * self.problems_only
        reasons += [f"{self.health} only"] * (self.health is not None)
        reasons += [f"filter “{self.filter}”"] * bool(self.filter)
        return hidden_words(hidden, reasons)

    def widened(self) -> View:
        """Everything is shown, in the same order."""
        return replace(self, filter="", problems_only=False, health=None)

    def sorted_by_column(self, column: str) -> View:
        """Sort by a column, or the other way round when it is sorted by it already."""
        if self.sorted_by.column == column:
            return replace(self, is_reversed=not self.is_reversed)
        order = next(i for i, order in enumerate(ORDERS) if order.column == column)
        return replace(self, order=order, is_reversed=False)

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
    if view.health is not None and rollup.health_status != view.health:
        return False
    text = f"{rollup.target_table} {rollup.source_table} {rollup.health_status}"
    return passes(f"{text} {rollup.health_reason}", view.filter)
