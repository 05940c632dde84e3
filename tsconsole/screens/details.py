"""Everything about one rollup: definition, ladder, progress, runs, plots, the last error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from tsconsole import operations
from tsconsole.background.operation import Connection
from tsconsole.formatting import ABSENT, one_line, short_number, size, took
from tsconsole.health import STATE, reason
from tsconsole.models import MonitorSnapshot, PartitionStat, RollupDetails, RollupStatus
from tsconsole.presentation.time_axis import axis_text
from tsconsole.screens.base import bindings
from tsconsole.screens.details_text import (
    error_text,
    errors_text,
    ladder_text,
    progress_text,
    runs_text,
    settings_text,
)
from tsconsole.screens.rollup_screen import RollupScreen
from tsconsole.session import Session
from tsconsole.themes import palette
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.run_plot import RunPlot
from tsconsole.widgets.tray import Tray

RUNS = 60
"""How many runs the plots show."""
NARROW = 100
"""The width below which there is one column."""
LISTED = 12
"""How many of them are listed."""


class DetailsScreen(RollupScreen[RollupDetails]):
    """One rollup."""

    place = "details"
    CSS_PATH = "details.tcss"
    BINDINGS = bindings("details")
    AUTO_FOCUS = "#all"

    def __init__(self, session: Session, rollup: RollupStatus) -> None:
        super().__init__(session)
        self._rollup = rollup
        self._details: RollupDetails | None = None

    def compose(self) -> ComposeResult:
        """The rollup's own line, then two columns that become one where it is narrow."""
        yield Header()
        yield Banner()
        yield Line(id="headline")
        with VerticalScroll(id="all"):
            with Horizontal(id="top"):
                with Vertical(id="left"):
                    yield self._frame("ladder", "Ladder")
                    yield self._frame("settings", "Definition")
                with Vertical(id="right"):
                    yield self._frame("progress", "Progress")
                    yield self._frame("pending", "Pending ranges")
                    yield self._frame("errors", "Errors")
                    yield RunPlot("Duration per run", _seconds, id="durations")
            with Container(id="plots"):
                yield RunPlot("Rows read per run", short_number, id="rows")
                yield RunPlot("Lag after each run", _seconds, id="lags")
                yield RunPlot("Late rows per recompute", short_number, id="late")
                yield RunPlot("Size by partition", size, id="sizes", bars=True)
            yield self._frame("runs", "Last runs")
            yield self._frame("error", "Last error")
            yield self._frame("statement", "SQL that creates it again")
        yield Tray()
        yield KeyBar("details")

    def on_mount(self) -> None:
        """Show at once what is known already."""
        self._draw_headline()
        self.follow_theme(self._redraw)

    def on_resize(self) -> None:
        """Fit into the new width; where there is one column, what happens comes before what is."""
        if not self.query("#right"):
            return  # It is being left.
        top, left, right = (self.query_one(name) for name in ("#top", "#left", "#right"))
        if self.size.width < NARROW:
            top.move_child(right, before=left)
        else:
            top.move_child(right, after=left)
        self.draw_soon(self.draw)

    @property
    def address(self) -> dict[str, str]:
        """This rollup, as long as it exists."""
        return {"place": "details", "target": self._rollup.target_table}

    @property
    def subject(self) -> RollupStatus | None:
        """This rollup, whatever is focused."""
        return self._rollup

    async def fetch(self, connection: Connection) -> RollupDetails:
        """Read everything about it, in one round trip."""
        return await operations.rollup_details(connection, self._rollup.target_table, RUNS)

    def show_data(self, data: RollupDetails) -> None:
        """Draw what was read; go back when the rollup is gone."""
        self._remember(data)
        if data.definition is None:
            self.say(f"{self._rollup.target_table} is no rollup any more", "warning")
            self.dismiss(None)
            return
        for rollup in data.ladder:
            if rollup.target_table == self._rollup.target_table:
                self._rollup = rollup
        self._details = data
        self.draw()

    def draw(self) -> None:
        """Draw everything."""
        self._draw_headline()
        data, now = self._details, self.session.now
        if data is None or data.definition is None or now is None:
            return
        colours, room = palette(self.app), self._half()
        target, definition = self._rollup.target_table, data.definition
        begin = definition.history_from or oldest(data.partitions)
        watermark = definition.last_processed_time
        self._write("ladder", ladder_text(data.ladder, target, colours, room))
        self._write("settings", settings_text(definition, colours, room))
        progress = progress_text(self._rollup, data.progress, data.steps, now, colours, room)
        self._write("progress", progress)
        self._write("pending", axis_text(data.pending, begin, watermark, now, room, colours))
        self._write("errors", errors_text(data.errors, now, colours, room))
        self._write("runs", runs_text(data.runs[:LISTED], now, colours, self.size.width - 6))
        self._write("error", error_text(data.error, now, colours))
        self._write("statement", Text(definition.create_statement or ABSENT))
        self._draw_plots(data)

    def action_copy(self) -> None:
        """Copy the SQL that creates the rollup again (OSC 52)."""
        if self._details is not None and self._details.definition is not None:
            self.app.copy_to_clipboard(self._details.definition.create_statement)
            self.say("copied the SQL that creates it again")

    def _draw_plots(self, data: RollupDetails) -> None:
        runs = list(reversed(data.runs))
        timed = [run for run in runs if run.duration is not None]
        parts = [part for part in reversed(data.partitions) if part.state != "premade"]
        values = {
            "durations": [seconds_of(run.duration) for run in timed],
            "rows": [float(run.rows_read or 0) for run in runs],
            "lags": [
                seconds_of(run.end_time - run.window_end)
                for run in runs
                if run.work == "frontier" and run.end_time and run.window_end
            ],
            "late": [
                float((run.rows_written or 0) + (run.rows_deleted or 0))
                for run in runs
                if run.work == "recompute"
            ],
            "sizes": [float(part.total_bytes) for part in parts[-RUNS:]],
        }
        expected = [
            None if run.predicted_duration is None else seconds_of(run.predicted_duration)
            for run in timed
        ]
        for name, shown in values.items():
            plot = self.query_one(f"#{name}", RunPlot)
            plot.display_values(shown, expected if name == "durations" else ())

    def _remember(self, data: RollupDetails) -> None:
        """Put the rollups that were read in their places among all that are known."""
        known = self.session.snapshot
        fresh = {rollup.id: rollup for rollup in data.ladder}
        rollups = [fresh.pop(one.id, one) for one in known.operations] if known else []
        base = known or MonitorSnapshot(data.database_time, (), (), (), None)
        self.session.remember(
            replace(
                base,
                database_time=data.database_time,
                is_standby=data.is_standby,
                operations=(*rollups, *fresh.values()),
                activity=None,
            )
        )

    def _half(self) -> int:
        """The width of the text in a column."""
        width = self.size.width - 1
        return (width if self.has_class("-narrow") else width // 2) - 4

    def _draw_headline(self) -> None:
        rollup, colours = self._rollup, palette(self.app)
        state = STATE[rollup.health_status]
        line = Text.assemble(
            (rollup.target_table, "bold"), "   ",
            (f"{state.glyph} {state.health}", colours.of(state.style)), "   ",
            (one_line(reason(rollup)), colours.of(state.style) or colours.muted),
            no_wrap=True,
        )  # fmt: skip
        self.query_one("#headline", Line).show(line)

    def _redraw(self) -> None:
        for plot in self.query(RunPlot):
            plot.redraw()
        self.draw_soon(self.draw)

    def _frame(self, name: str, title: str) -> Static:
        frame = Static("reading …", id=name, classes="pane text")
        frame.border_title = title
        return frame

    def _write(self, name: str, text: Text) -> None:
        frame = self.query_one(f"#{name}", Static)
        if frame.content != text:
            frame.update(text)


def seconds_of(span: timedelta | None) -> float:
    """A length of time as a number to plot."""
    return span.total_seconds() if span is not None else 0.0


def oldest(partitions: Sequence[PartitionStat]) -> datetime | None:
    """Where the partitions begin."""
    starts = [part.range_start for part in partitions if part.range_start is not None]
    return min(starts, default=None)


def _seconds(value: float) -> str:
    return took(timedelta(seconds=value)) if value else "0"
