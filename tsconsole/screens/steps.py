"""Who runs what: every step that runs now, on which range, since when, and by whom."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tsconsole import operations
from tsconsole.actions.registry import Action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Connection
from tsconsole.formatting import age, fit_names
from tsconsole.intervals import short_interval
from tsconsole.models import MonitorSnapshot, RollupStatus, RunningStep
from tsconsole.presentation.step_text import STEP_WORDS, range_words
from tsconsole.screens.base import bindings
from tsconsole.screens.rollup_screen import RollupScreen
from tsconsole.themes import palette
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.live_table import Column, LiveTable
from tsconsole.widgets.pane import Pane
from tsconsole.widgets.tray import Tray


class StepsPane(Pane):
    """The table of steps."""

    title = "Running steps"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._steps: tuple[RunningStep, ...] = ()
        self._now: datetime | None = None

    @property
    def selected(self) -> RunningStep | None:
        """The step under the cursor."""
        key = self.table.selected
        return next((step for step in self._steps if step_key(step) == key), None)

    def display_steps(self, steps: tuple[RunningStep, ...], now: datetime | None) -> None:
        """Show these steps."""
        self._steps, self._now = steps, now
        self.draw()

    def draw(self) -> None:
        """Write the rows, the oldest step first."""
        room = self.size.width - self.table.scrollbar_size_vertical
        now = self._now
        if room <= 0 or now is None:
            return
        ranges = {step_key(step): range_words(step, now) for step in self._steps}
        widths = self._widths(room, max(map(len, ranges.values()), default=10))
        names = fit_names([step.target_table for step in self._steps], widths["target"])
        self.table.lay_out(
            [
                Column(key, key.upper(), width, key in ("pid", "ran"))
                for key, width in widths.items()
            ]
        )
        rows = {}
        for step in self._steps:
            cells = self._cells(step, names[step.target_table], ranges[step_key(step)], now)
            for key, width in widths.items():
                cells[key].truncate(width, overflow="ellipsis")
            rows[step_key(step)] = [cells[key] for key in widths]
        self.table.show(rows)
        self.say("" if rows else spoken("No step runs now. {run} in the list of rollups runs one."))
        self.draw_titles()

    def draw_titles(self) -> None:
        """Say how many there are; below, what the work of the chosen one is."""
        count = len(self._steps)
        rollups = len({step.rollup_id for step in self._steps})
        words = f"{count} of {rollups} rollup{'s' if rollups != 1 else ''}" if count else ""
        below, step = "", self.selected
        if step is not None:
            limit = short_interval(step.max_execution_time)
            below = f"{STEP_WORDS[step.work]}; cancelled after {limit}"
            if step.cancel_obstacle:
                below = f"cannot be cancelled from here: {step.cancel_obstacle}"
        self.set_titles(words, below)

    def _widths(self, room: int, longest_range: int) -> dict[str, int]:
        widths = {"target": 0, "work": 9, "range": longest_range, "ran": 8, "pid": 7, "who": 10}
        names = max((len(step.target_table) for step in self._steps), default=8)
        rest = room - sum(widths.values()) - 2 * len(widths)
        widths["target"] = max(min(names, rest), 12)
        # A range of two dates is cut at its end before a name is cut any further.
        widths["range"] = max(longest_range + min(rest - widths["target"], 0), 11)
        widths["who"] += max(rest - widths["target"], 0)
        return widths

    def _cells(self, step: RunningStep, name: str, words: str, now: datetime) -> dict[str, Text]:
        colours = palette(self.app)
        ran = age(now - step.started_at) if step.started_at else "·"
        who = " · ".join(part for part in (step.role_name, step.application_name) if part)
        return {
            "target": Text(name, style="bold"),
            "work": Text(step.work),
            "range": Text(words, no_wrap=True),
            "ran": Text(ran, justify="right"),
            "pid": Text(str(step.worker_pid), justify="right"),
            "who": Text(who, style=colours.muted, no_wrap=True),
        }


class StepsScreen(RollupScreen[MonitorSnapshot]):
    """The steps that run now; the one under the cursor can be cancelled."""

    place = "steps"
    BINDINGS = bindings("steps")
    AUTO_FOCUS = "#steps LiveTable"

    def compose(self) -> ComposeResult:
        """One pane."""
        yield Header()
        yield Banner()
        yield StepsPane(id="steps")
        yield Tray()
        yield KeyBar("steps")

    @property
    def pane(self) -> StepsPane:
        """The pane with the table."""
        return self.query_one(StepsPane)

    @property
    def subject(self) -> RollupStatus | None:
        """The rollup of the step under the cursor."""
        step, snapshot = self.pane.selected, self.session.snapshot
        if step is None or snapshot is None:
            return None
        return next((r for r in snapshot.operations if r.id == step.rollup_id), None)

    async def fetch(self, connection: Connection) -> MonitorSnapshot:
        """The steps, and the rollups that they are of, in one round trip."""
        return await operations.monitor_snapshot(
            connection, error_limit=None, with_steps=True, before=self.session.snapshot
        )

    def show_data(self, data: MonitorSnapshot) -> None:
        """Draw what was read."""
        self.session.remember(data)
        self.pane.display_steps(data.steps, self.session.now)

    def tick(self) -> None:
        """Carry on the times."""
        super().tick()
        if self.failure is None and self.session.snapshot is not None:
            self.pane.display_steps(self.session.snapshot.steps, self.session.now)

    @on(LiveTable.Selected)
    def follow(self, event: LiveTable.Selected) -> None:
        """Another row, other actions."""
        event.stop()
        self.pane.draw_titles()
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def enter(self, event: DataTable.RowSelected) -> None:
        """Enter shows the rollup."""
        event.stop()
        self.call_later(self.run_action, "details")

    def why_not(self, action: Action) -> str | None:
        """Why the step under the cursor cannot be cancelled."""
        if action.name != "cancel":
            return super().why_not(action)
        step = self.pane.selected
        if step is None:
            return "no step runs"
        if self.session.read_only:
            return "this console was started read-only"
        if self.session.is_lost:
            return "the server is gone"
        return step.cancel_obstacle

    def action_cancel(self) -> None:
        """Cancel the step under the cursor."""
        step = self.pane.selected
        if step is not None:
            self.ask_to_cancel(step.target_table, step.worker_pid)


def step_key(step: RunningStep) -> str:
    """What stays the same while a step runs."""
    return f"{step.rollup_id}/{step.worker_pid}"
