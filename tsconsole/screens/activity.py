"""The last hour: what all rollups did, minute by minute, and what each of them did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from tsconsole import operations
from tsconsole.background.operation import Connection
from tsconsole.formatting import age, short_number, sparkline, took
from tsconsole.models import RollupActivity
from tsconsole.presentation import activity
from tsconsole.screens.base import bindings
from tsconsole.screens.table_screen import TableScreen
from tsconsole.session import Session
from tsconsole.themes import palette
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.grid import Field, Grid, Look, named

SLOWEST_PACE = 10.0
"""Seconds between two looks: an hour's log is read each time."""

LINES: tuple[tuple[str, activity.Figure, Callable[[float], str]], ...] = (
    ("rows/s", activity.rows_read, lambda value: short_number(value / 60)),
    ("late rows", activity.late_rows, short_number),
    ("errors", activity.errors, short_number),
    ("delay", activity.delay, lambda value: age(timedelta(seconds=value))),
)


@dataclass(frozen=True)
class ActivityData:
    """What the screen shows besides the session's last hour."""

    now: datetime
    rollups: tuple[RollupActivity, ...]


class ActivityScreen(TableScreen[ActivityData]):
    """Lines above, a row for each rollup below."""

    place = "activity"
    BINDINGS = bindings("activity")

    def __init__(
        self, session: Session, table_name: str | None = None, order: str = "read"
    ) -> None:
        super().__init__(session, table_name)
        self._order = order

    @property
    def pace(self) -> float:
        """Seconds from one poll to the next."""
        return max(self.session.interval, SLOWEST_PACE)

    def compose(self) -> ComposeResult:
        """The lines stand above the grid."""
        for widget in super().compose():
            yield widget
            if isinstance(widget, Banner):
                yield Static("", id="plots")

    def grids(self) -> list[Grid[Any]]:
        """One grid."""
        grid: Grid[RollupActivity] = Grid(
            id="rollups",
            number=9,
            title="The last hour",
            fields=FIELDS,
            key=lambda rollup: rollup.target_table,
            text=lambda rollup: rollup.target_table,
            is_problem=lambda rollup: rollup.errors > 0,
            noun="rollup",
            words="reading …",
        )
        grid.sorted_by = self._order
        return [grid]

    def on_resize(self) -> None:
        """Fit the lines into the new width."""
        self.draw_soon(self.draw)

    async def fetch(self, connection: Connection) -> ActivityData:
        """Read what is new of the hour, and what each rollup did in it."""
        minutes = self.session.activity.wanted(self.session.clock())
        now = self.session.now or datetime.now(timezone.utc)
        hour, rollups = await operations.hour_overview(connection, minutes)
        if hour is not None:
            self.session.activity.add(hour, now, self.session.clock())
        return ActivityData(now, tuple(rollups))

    def draw(self) -> None:
        """Draw the lines and the rows."""
        if self.data is None:
            return
        self.query_one("#plots", Static).update(self._plots(self.data.now))
        self.main.words = "Nothing has run in the last hour."
        self.main.display_rows(self.data.rollups, self.data.now)

    @property
    def table_in_view(self) -> str | None:
        """The rollup under the cursor."""
        rollup = self.main.selected
        return rollup.target_table if rollup is not None else None

    def action_open(self) -> None:
        """Everything about the rollup under the cursor."""
        if self.table_in_view is not None:
            self.go_to_rollup(self.table_in_view)

    def _plots(self, now: datetime) -> Text:
        colours = palette(self.app)
        columns = 60 if self.size.width >= 100 else 30
        lines = []
        for title, figure, words in LINES:
            series = self.session.activity.series(figure, columns, now)
            line = Text.assemble((f"{title:10}", colours.muted), (sparkline(series), colours.bar))
            line.append(f"  now {words(series[-1])}, most {words(max(series))}")
            lines.append(line)
        ends = f"{'by minute':10}{'1 h ago':{columns - 3}}now"
        return Text("\n").join([*lines, Text(ends, style=colours.muted)])


def _count(value: int, look: Look) -> Text:
    return Text(short_number(value) if value else "·", style="" if value else look.colours.muted)


def _errors(rollup: RollupActivity, look: Look) -> Text:
    style = f"bold {look.colours.error}" if rollup.errors else look.colours.muted
    return Text(f"✗ {rollup.errors}" if rollup.errors else "·", style=style)


FIELDS: tuple[Field[RollupActivity], ...] = (
    Field("target", "ROLLUP", 0, lambda r, look: named(r.target_table, look, "bold"),
          lambda r: r.target_table, name=lambda r: r.target_table),
    Field("steps", "STEPS", 7, lambda r, look: _count(r.steps, look), lambda r: -r.steps,
          right=True),
    Field("read", "READ", 8, lambda r, look: _count(r.rows_read, look), lambda r: -r.rows_read,
          right=True),
    Field("written", "WRITTEN", 8, lambda r, look: _count(r.rows_written, look),
          lambda r: -r.rows_written, right=True, from_room=90),
    Field("late", "LATE", 7, lambda r, look: _count(r.late_rows, look), lambda r: -r.late_rows,
          right=True),
    Field("errors", "ERRORS", 8, _errors, lambda r: -r.errors, right=True),
    Field("took", "TOOK", 7, lambda r, look: Text(took(r.avg_duration)),
          lambda r: -(r.avg_duration or timedelta()), right=True, from_room=90),
    Field("slowest", "SLOWEST", 8, lambda r, look: Text(took(r.max_duration)),
          lambda r: -(r.max_duration or timedelta()), right=True, from_room=90),
    Field("delay", "DELAY", 9, lambda r, look: Text(age(r.delay)),
          lambda r: -(r.delay or timedelta()), right=True),
)  # fmt: skip
