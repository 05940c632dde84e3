"""The first screen: is anything wrong, what, why, and what can be done about it."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable

from tsconsole import operations
from tsconsole.background import consequences, jobs
from tsconsole.background.operation import Connection
from tsconsole.health import summarize
from tsconsole.models import ErrorEntry, MonitorSnapshot, RollupStatus
from tsconsole.presentation.monitor_view import visible
from tsconsole.presentation.once import Once
from tsconsole.screens.base import bindings
from tsconsole.screens.monitor_choices import MonitorChoices
from tsconsole.session import Session
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.errors_pane import ErrorsPane
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.live_table import LiveTable
from tsconsole.widgets.operations_pane import OperationsPane
from tsconsole.widgets.pane import Pane
from tsconsole.widgets.partitions_pane import PartitionsPane
from tsconsole.widgets.quiet_input import QuietInput
from tsconsole.widgets.retries_pane import RetriesPane
from tsconsole.widgets.strip import Strip
from tsconsole.widgets.tray import Tray


class MonitorScreen(MonitorChoices):
    """Four live panes."""

    place = "monitor"
    CSS_PATH = "monitor.tcss"
    BINDINGS = bindings("monitor")
    AUTO_FOCUS = "#operations LiveTable"

    def __init__(self, session: Session, first: MonitorSnapshot | None = None) -> None:
        super().__init__(session)
        self._visible, self._summary = Once(visible), Once(summarize)
        self._first = first
        """What was read before there was a screen."""
        self._wanted: str | None = None
        """A rollup that was just created: the cursor goes there once it is listed."""

    def compose(self) -> ComposeResult:
        """From what is wrong to what can be done."""
        yield Header()
        yield Banner()
        yield Strip()
        yield OperationsPane(id="operations")
        yield QuietInput(placeholder="words that must be there; !word must not", id="filter")
        with Horizontal(id="lower"):
            yield PartitionsPane(id="partitions")
            yield ErrorsPane(id="errors")
            yield RetriesPane(id="retries")
        yield Tray()
        yield KeyBar("monitor")

    def on_mount(self) -> None:
        """Show the first of the lower panes, and follow the theme."""
        self.query_one("#filter").display = False
        self._show_lower(2)
        self.follow_theme(self._redraw)

    @property
    def subject(self) -> RollupStatus | None:
        """The rollup of the row under the cursor of the pane that has the focus."""
        target = None
        pane = self._focused_pane()
        if isinstance(pane, (ErrorsPane, RetriesPane)):
            target = pane.selected.target_table if pane.selected else None
        else:
            return self.operations_pane.selected
        rollups = self.session.snapshot.operations if self.session.snapshot else ()
        return next((rollup for rollup in rollups if rollup.target_table == target), None)

    @property
    def shown_error(self) -> ErrorEntry | None:
        """The error under the cursor when the error log has the focus."""
        pane = self._focused_pane()
        return pane.selected if isinstance(pane, ErrorsPane) else None

    async def fetch(self, connection: Connection) -> MonitorSnapshot:
        """Everything on the screen, in one round trip; what a hidden pane has is not asked for."""
        first, self._first = self._first, None
        if first is not None:
            return first
        rollup = self.operations_pane.selected
        target = rollup.target_table if rollup and self._shows(PartitionsPane) else None
        return await operations.monitor_snapshot(
            connection,
            target,
            error_limit=self.session.error_limit if self._shows(ErrorsPane) else None,
            activity_minutes=self.session.activity.wanted(self.session.clock()),
            before=self.session.snapshot,
        )

    def show_data(self, data: MonitorSnapshot) -> None:
        """Keep the snapshot and draw it."""
        had_target = self.session.snapshot is not None and self.session.snapshot.selected_target
        is_first = self.session.snapshot is None
        self.session.remember(data)
        self.draw()
        if is_first:
            self._go_where_it_was_left(data)
        for rollup in data.operations if self._wanted else ():
            if rollup.target_table == self._wanted and self.operations_pane.select(rollup):
                self._wanted = None
        if data.operations and not data.selected_target and not had_target:
            self.poller.poke()

    def draw(self) -> None:
        """Draw everything from the newest snapshot."""
        snapshot, now = self.session.snapshot, self.session.now
        if snapshot is None:
            return
        rollups = self._visible(snapshot.operations, self.view)
        self._draw_strip()
        if self.marked:
            self.marked &= frozenset(rollup.id for rollup in snapshot.operations)
        self.operations_pane.display_rollups(
            rollups, len(snapshot.operations), self.view, now, self.marked
        )
        if snapshot.errors is not None:
            self.query_one(ErrorsPane).display_errors(snapshot.errors, now)
        self.query_one(RetriesPane).display_retries(snapshot.retries, now)
        self._draw_partitions()

    def tick(self) -> None:
        """Carry on the countdowns too."""
        super().tick()
        snapshot, now = self.session.snapshot, self.session.now
        if snapshot is not None and snapshot.retries and self.failure is None:
            self._draw_strip()
            self.query_one(RetriesPane).display_retries(snapshot.retries, now)

    @on(LiveTable.Selected)
    def follow(self, event: LiveTable.Selected) -> None:
        """Another row: its partitions are wanted, and other actions are possible."""
        event.stop()
        self.refresh_bindings()
        if event.table is self.operations_pane.table:
            self.operations_pane.draw_titles()
            self._draw_partitions()
            if not self.poller.held:
                self.poller.poke()

    def on_descendant_focus(self) -> None:
        """Other rows, other actions."""
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def enter(self, event: DataTable.RowSelected) -> None:
        """Enter on a row: an error is read, everything else shows the rollup."""
        event.stop()
        self.call_later(self.run_action, "error" if self.shown_error is not None else "details")

    def action_create(self) -> None:
        """Open the form for a new rollup."""
        from tsconsole.screens.create import CreateScreen

        def show_it(target: str | None) -> None:
            self._wanted = target

        self.app.push_screen(CreateScreen(self.session), show_it)

    def action_run_all(self) -> None:
        """Run everything, once it is confirmed."""
        count = len(self.session.snapshot.operations) if self.session.snapshot else 0
        question = Text(f"Run all {count} rollups until nothing is left to do?")
        if self.view.is_narrowed:
            question.append("\n\nThose that the filter hides run too.", style="bold")
        self._ask("Run all", question, lambda: self.start("run all rollups", None, jobs.run(None)))

    def action_retry_all(self) -> None:
        """Retry what is due."""
        self.start("retry all due", None, jobs.retry_due)

    def action_maintain_all(self) -> None:
        """Maintain everything, once it is confirmed."""
        question = Text(
            "Maintain all rollups?\n\nPartitions that are older than a rollup's retention "
            "period are dropped with their rows."
        )
        self._ask(
            "Maintain all", question,
            lambda: self.start("maintain all rollups", None, jobs.maintain(None)),
            facts=consequences.of_maintenance(None),
        )  # fmt: skip

    def _go_where_it_was_left(self, data: MonitorSnapshot) -> None:
        from tsconsole.screens.details import DetailsScreen

        address = self.session.memory.get("screen")
        if address.get("place") != "details":
            return
        for rollup in data.operations:
            if rollup.target_table == address.get("target"):
                self.operations_pane.select(rollup)
                self.app.push_screen(DetailsScreen(self.session, rollup))

    def _draw_strip(self) -> None:
        snapshot, session = self.session.snapshot, self.session
        if snapshot is not None:
            summary = self._summary(snapshot.operations, snapshot.retries)
            self.query_one(Strip).display_summary(summary, session.activity, session.now)

    def _shows(self, kind: type[Pane]) -> bool:
        return self.query_one(kind).display and not self.has_class("-zoomed-operations")

    def _redraw(self) -> None:
        self.draw_soon(self.draw)

    def _draw_partitions(self) -> None:
        snapshot, rollup = self.session.snapshot, self.operations_pane.selected
        target = rollup.target_table if rollup else None
        if snapshot is None:
            return
        is_known = snapshot.selected_target == target
        self.query_one(PartitionsPane).display_partitions(
            target, snapshot.partitions if is_known else (), self.session.now
        )
