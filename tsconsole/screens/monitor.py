"""The first screen: is anything wrong, what, why, and what can be done about it."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable, Input

from tsconsole import jobs, operations
from tsconsole.background import Connection
from tsconsole.health import summarize
from tsconsole.memory import described, restored
from tsconsole.models import ErrorEntry, MonitorSnapshot, RollupStatus
from tsconsole.monitor_view import View, visible
from tsconsole.screens.base import bindings
from tsconsole.screens.rollup_screen import RollupScreen
from tsconsole.session import Session
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.errors_pane import ErrorsPane
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.live_table import LiveTable
from tsconsole.widgets.operations_pane import OperationsPane
from tsconsole.widgets.pane import Pane
from tsconsole.widgets.partitions_pane import PartitionsPane
from tsconsole.widgets.retries_pane import RetriesPane
from tsconsole.widgets.strip import Strip
from tsconsole.widgets.tray import Tray


class MonitorScreen(RollupScreen[MonitorSnapshot]):
    """Four live panes."""

    place = "monitor"
    CSS_PATH = "monitor.tcss"
    BINDINGS = bindings("monitor")
    AUTO_FOCUS = "#operations LiveTable"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.view = _remembered(session)
        self.lower = 2
        """Which of the lower panes is shown where there is room for one only."""
        self._wanted: str | None = None
        """A rollup that was just created: the cursor goes there once it is listed."""

    def compose(self) -> ComposeResult:
        """From what is wrong to what can be done."""
        yield Header()
        yield Banner()
        yield Strip()
        yield OperationsPane(id="operations")
        yield Input(placeholder="part of a name, a state or a reason; !word hides", id="filter")
        with Horizontal(id="lower"):
            yield PartitionsPane(id="partitions")
            yield ErrorsPane(id="errors")
            yield RetriesPane(id="retries")
        yield Tray()
        yield KeyBar("monitor")

    def on_mount(self) -> None:
        """Show the first of the lower panes, and follow the theme."""
        super().on_mount()
        self.query_one("#filter").display = False
        self._show_lower(2)
        self.watch(self.app, "theme", self._redraw, init=False)

    @property
    def panes(self) -> dict[int, Pane]:
        """The panes by the number that jumps to them."""
        return {pane.number: pane for pane in self.query(Pane)}

    @property
    def operations_pane(self) -> OperationsPane:
        """Pane 1."""
        return self.query_one(OperationsPane)

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
        """Everything on the screen, in one round trip; partitions only when they are seen."""
        rollup = self.operations_pane.selected
        wants_partitions = rollup is not None and self.query_one(PartitionsPane).display
        target = rollup.target_table if rollup and wants_partitions else None
        return await operations.monitor_snapshot(
            connection, target, error_limit=self.session.error_limit
        )

    def show_data(self, data: MonitorSnapshot) -> None:
        """Keep the snapshot and draw it."""
        had_target = self.session.snapshot is not None and self.session.snapshot.selected_target
        is_first = self.session.snapshot is None
        self.session.remember(data)
        self.draw()
        if is_first:
            self._go_where_it_was_left(data)
        for rollup in data.operations:
            if rollup.target_table == self._wanted and self.operations_pane.select(rollup):
                self._wanted = None
        if data.operations and not data.selected_target and not had_target:
            self.poller.poke()

    def draw(self) -> None:
        """Draw everything from the newest snapshot."""
        snapshot, now = self.session.snapshot, self.session.now
        if snapshot is None:
            return
        rollups = visible(snapshot.operations, self.view)
        self.query_one(Strip).display_summary(summarize(snapshot.operations, snapshot.retries), now)
        self.operations_pane.display_rollups(rollups, len(snapshot.operations), self.view, now)
        self.query_one(ErrorsPane).display_errors(snapshot.errors, now)
        self.query_one(RetriesPane).display_retries(snapshot.retries, now)
        self._draw_partitions()

    def tick(self) -> None:
        """Carry on the countdowns too."""
        super().tick()
        snapshot, now = self.session.snapshot, self.session.now
        if snapshot is not None and snapshot.retries and self.failure is None:
            self.query_one(Strip).display_summary(
                summarize(snapshot.operations, snapshot.retries), now
            )
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

    @on(Input.Changed, "#filter")
    def narrow(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._change_view(replace(self.view, filter=event.value.strip()))

    @on(Input.Submitted, "#filter")
    def narrowed(self, event: Input.Submitted) -> None:
        """Keep the filter and go back to the rows."""
        event.input.display = False
        self.operations_pane.table.focus()

    def action_filter(self) -> None:
        """Let a filter be typed."""
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_clear(self) -> None:
        """Show every row again."""
        box = self.query_one("#filter", Input)
        box.value, box.display = "", False
        self._change_view(replace(self.view, filter="", problems_only=False))
        if self.focused is None or self.focused is box:
            self.operations_pane.table.focus()

    def action_problems(self) -> None:
        """Show only what needs attention, and back."""
        self._change_view(replace(self.view, problems_only=not self.view.problems_only))

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._change_view(self.view.next_order())

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._change_view(replace(self.view, is_reversed=not self.view.is_reversed))

    def action_pane(self, number: int) -> None:
        """Go to a pane."""
        if number > 1:
            self._show_lower(number)
        table = self.panes[number].table
        if table.display:
            table.focus()

    def action_details(self) -> None:
        """Show everything about the rollup."""
        from tsconsole.screens.details import DetailsScreen

        if self.subject is not None:
            self.app.push_screen(DetailsScreen(self.session, self.subject))

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

    def _redraw(self) -> None:
        self.call_after_refresh(self.draw)

    def _focused_pane(self) -> Pane | None:
        node = self.focused
        return next((n for n in node.ancestors if isinstance(n, Pane)), None) if node else None

    def _change_view(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self.session.memory.put("monitor", described(view))
            self.draw()

    def _show_lower(self, number: int) -> None:
        self.lower = number
        for pane in self.query("#lower Pane"):
            assert isinstance(pane, Pane)
            pane.set_class(pane.number == number, "-shown")
        self.poller.poke()

    def _draw_partitions(self) -> None:
        snapshot, rollup = self.session.snapshot, self.operations_pane.selected
        target = rollup.target_table if rollup else None
        if snapshot is None:
            return
        is_known = snapshot.selected_target == target
        self.query_one(PartitionsPane).display_partitions(
            target, snapshot.partitions if is_known else (), self.session.now
        )


def _remembered(session: Session) -> View:
    """What was shown when this profile was left; everything when that makes no sense any more."""
    view = restored(View(), session.memory.get("monitor"))
    try:
        visible((), view)
        return view if view.words else View()
    except LookupError:
        return View()
