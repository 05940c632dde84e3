"""Everything about one rollup: definition, ladder, progress, runs, plots, the last error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from tsconsole import operations
from tsconsole.background import Connection
from tsconsole.formatting import ABSENT, one_line, short_number, took
from tsconsole.health import STATE
from tsconsole.models import (
    ErrorEntry,
    MonitorSnapshot,
    Progress,
    RefreshRun,
    RollupDefinition,
    RollupStatus,
)
from tsconsole.screens.base import bindings
from tsconsole.screens.details_text import (
    error_text,
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
LISTED = 12
"""How many of them are listed."""


@dataclass(frozen=True)
class Details:
    """What the screen shows."""

    snapshot: MonitorSnapshot
    definition: RollupDefinition | None
    progress: Progress | None
    runs: tuple[RefreshRun, ...]
    error: ErrorEntry | None


class DetailsScreen(RollupScreen[Details]):
    """One rollup."""

    place = "details"
    CSS_PATH = "details.tcss"
    BINDINGS = bindings("details")
    AUTO_FOCUS = "#all"

    def __init__(self, session: Session, rollup: RollupStatus) -> None:
        super().__init__(session)
        self._rollup = rollup
        self._details: Details | None = None

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
                    yield RunPlot("Duration per run", _seconds, id="durations")
                    yield RunPlot("Rows read per run", short_number, id="rows")
            yield self._frame("runs", "Last runs")
            yield self._frame("error", "Last error")
            yield self._frame("statement", "SQL that creates it again")
        yield Tray()
        yield KeyBar("details")

    def on_mount(self) -> None:
        """Show at once what is known already."""
        super().on_mount()
        self._draw_headline()
        self.watch(self.app, "theme", self._redraw, init=False)

    def on_resize(self) -> None:
        """Fit into the new width."""
        self.call_after_refresh(self.draw)

    @property
    def address(self) -> dict[str, str]:
        """This rollup, as long as it exists."""
        return {"place": "details", "target": self._rollup.target_table}

    @property
    def subject(self) -> RollupStatus | None:
        """This rollup, whatever is focused."""
        return self._rollup

    async def fetch(self, connection: Connection) -> Details:
        """Read everything about it."""
        target = self._rollup.target_table
        snapshot = await operations.monitor_snapshot(connection, target, with_steps=True)
        if all(rollup.target_table != target for rollup in snapshot.operations):
            return Details(snapshot, None, None, (), None)
        errors = await operations.list_errors(connection, 1, target)
        return Details(
            snapshot,
            await operations.definition(connection, target),
            await operations.progress(connection, target),
            tuple(await operations.list_runs(connection, target, RUNS)),
            errors[0] if errors else None,
        )

    def show_data(self, data: Details) -> None:
        """Draw what was read; go back when the rollup is gone."""
        self.session.remember(data.snapshot)
        if data.definition is None:
            self.say(f"{self._rollup.target_table} is no rollup any more", "warning")
            self.dismiss(None)
            return
        for rollup in data.snapshot.operations:
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
        colours = palette(self.app)
        rollups, target = data.snapshot.operations, self._rollup.target_table
        self._write("ladder", ladder_text(rollups, target, colours, self._half()))
        self._write("settings", settings_text(data.definition, colours, self._half()))
        steps = [step for step in data.snapshot.steps if step.target_table == target]
        progress = progress_text(self._rollup, data.progress, steps, now, colours)
        self._write("progress", progress)
        self._write("runs", runs_text(data.runs[:LISTED], now, colours, self.size.width - 6))
        self._write("error", error_text(data.error, now, colours))
        self._write("statement", Text(data.definition.create_statement or ABSENT))
        runs = list(reversed(data.runs))
        durations = [run.duration.total_seconds() for run in runs if run.duration is not None]
        rows = [float(run.rows_read or 0) for run in runs]
        for name, values in (("durations", durations), ("rows", rows)):
            plot = self.query_one(f"#{name}", RunPlot)
            plot.display = len(values) > 1
            plot.display_values(values)

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
            (one_line(rollup.health_reason), colours.of(state.style) or colours.muted),
            no_wrap=True,
        )  # fmt: skip
        self.query_one("#headline", Line).show(line)

    def _redraw(self) -> None:
        for plot in self.query(RunPlot):
            plot.redraw()
        self.call_after_refresh(self.draw)

    def _frame(self, name: str, title: str) -> Static:
        frame = Static("reading …", id=name, classes="pane text")
        frame.border_title = title
        return frame

    def _write(self, name: str, text: Text) -> None:
        frame = self.query_one(f"#{name}", Static)
        if frame.content != text:
            frame.update(text)


def _seconds(value: float) -> str:
    return took(timedelta(seconds=value))
