"""A screen of one topic: a grid, perhaps others below it, and the same keys everywhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable, Input

from tsconsole.actions.action import Action
from tsconsole.background.operation import Operation
from tsconsole.presentation.marks import hidden_marks
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.polling_screen import PollingScreen
from tsconsole.session import Session
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.grid import Grid
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.live_table import LiveTable
from tsconsole.widgets.quiet_input import QuietInput
from tsconsole.widgets.tray import Tray

Data = TypeVar("Data")

LEAST_INTERVAL = 5.0
"""Seconds between two looks: what these screens show does not change every second."""


class TableScreen(PollingScreen[Data]):
    """The topic's grid above, its lower grids beside each other."""

    CSS_PATH = "table_screen.tcss"

    def __init__(self, session: Session, table_name: str | None = None) -> None:
        super().__init__(session)
        self.poller.interval = self.pace
        self.table_name = table_name
        """The table that is looked at, for screens that look at one."""
        self.data: Data | None = None
        self._fetched_at: float | None = None
        self._filtered: Grid[Any] | None = None

    @abstractmethod
    def grids(self) -> list[Grid[Any]]:
        """Make the grids: the topic's own first."""

    @abstractmethod
    def draw(self) -> None:
        """Draw everything from what was read last."""

    def compose(self) -> ComposeResult:
        """Header, grids, what is being typed, keys."""
        first, *lower = self.grids()
        first.add_class("main")
        yield Header()
        yield Banner()
        yield first
        yield QuietInput(placeholder="words that must be there; !word must not", id="filter")
        if lower:
            with Horizontal(id="lower"):
                yield from lower
        yield Tray()
        yield KeyBar(self.place)

    def on_mount(self) -> None:
        """Begin to poll; follow the theme."""
        self.query_one("#filter").display = False
        self.follow_theme(self._redraw)

    @property
    def pace(self) -> float:
        """Seconds from one poll to the next: not too often."""
        return max(self.session.interval, LEAST_INTERVAL)

    @property
    def table_in_view(self) -> str | None:
        """The table that is looked at."""
        return self.table_name

    @property
    def main(self) -> Grid[Any]:
        """The topic's grid."""
        return self.query_one(".main", Grid)

    @property
    def focused_grid(self) -> Grid[Any]:
        """The grid that has the focus, else the topic's."""
        node = self.focused
        found = next((n for n in node.ancestors if isinstance(n, Grid)), None) if node else None
        return found or self.main

    def show_data(self, data: Data) -> None:
        """Keep it and draw it."""
        self.data, self._fetched_at = data, self.session.clock()
        self.session.is_lost = False
        self.draw()

    @property
    def seconds_old(self) -> float | None:
        """The age of what is shown."""
        return None if self._fetched_at is None else self.session.clock() - self._fetched_at

    def operation_changed(self, operation: Operation) -> None:
        """Look at once at what an operation has changed."""
        super().operation_changed(operation)
        if not operation.is_running:
            self.poller.poke()

    @on(LiveTable.Selected)
    def follow(self, event: LiveTable.Selected) -> None:
        """Another row: other actions are possible, and another row is described."""
        event.stop()
        self.refresh_bindings()
        self.selection_changed()

    def selection_changed(self) -> None:
        """Draw what belongs to the row under the cursor."""

    @on(DataTable.RowSelected)
    def enter(self, event: DataTable.RowSelected) -> None:
        """Enter on a row: everything about it."""
        event.stop()
        self.call_later(self.run_action, "open")

    @on(Input.Changed, "#filter")
    def narrow(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if self._filtered is not None:
            self._filtered.filter = event.value.strip()
            self._filtered.draw()

    @on(Input.Submitted, "#filter")
    def narrowed(self) -> None:
        """Keep the filter and go back to the rows."""
        grid = self._close_filter()
        grid.table.focus()

    def action_filter(self) -> None:
        """Let a filter for the focused grid be typed."""
        box = self.query_one("#filter", Input)
        grid = self.focused_grid
        self._filtered = None
        box.value = grid.filter
        self._filtered = grid
        box.display = True
        box.focus()

    def action_problems(self) -> None:
        """Show only what needs attention, and back."""
        grid = self.focused_grid
        grid.problems_only = not grid.problems_only
        grid.draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.focused_grid.next_order()

    def action_sort_by(self, column: str) -> None:
        """Sort by a column; again: the other way round."""
        self.main.sort_by(column)

    def action_zoom(self) -> None:
        """Give the focused grid all the room, or take it back."""
        wanted = None if self.has_class("-zoomed") else self.focused_grid
        self.set_class(wanted is not None, "-zoomed")
        for grid in self.query(Grid):
            grid.set_class(grid is wanted, "-zoomed")
        for lower in self.query("#lower"):
            lower.display = wanted is not self.main

    def why_not(self, action: Action) -> str | None:
        """Marks need a row that can be marked."""
        reason = super().why_not(action)
        if reason is None and action.name in ("mark", "mark_all"):
            if not self.focused_grid.can_be_marked:
                return "nothing is done to several of these at once"
            if not self.focused_grid.shown:
                return f"there is no {self.focused_grid.noun}"
        return reason

    def nothing_chosen(self, grid: Grid[Any]) -> str | None:
        """Why an action has no row to act on; None when it has."""
        if grid.chosen:
            return None
        if grid.marked:
            return hidden_marks(len(grid.marked), grid.nouns)
        return f"no {grid.noun} is selected"

    def action_mark(self) -> None:
        """Mark the row under the cursor, or no longer."""
        self.focused_grid.toggle_mark()
        self.refresh_bindings()

    def action_mark_all(self) -> None:
        """Mark every row that is shown, or none."""
        self.focused_grid.toggle_all_marks()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Take back the filter, then the marks, then the zoom, then the screen."""
        was_typing = self.query_one("#filter").display
        grid = self._close_filter() if was_typing else self.focused_grid
        if was_typing:
            grid.widen()
            grid.table.focus()
        elif grid.widen():
            grid.table.focus()
        elif grid.unmark():
            self.refresh_bindings()
        elif self.has_class("-zoomed"):
            self.action_zoom()
        else:
            super().action_back()

    def action_cancel(self) -> None:
        """Cancel the latest of our operations."""
        running = self.session.running
        if running:
            self.cancel_operation(running[-1])

    def ask(
        self, verb: str, question: Text, then: Callable[[], None], typed: str | None = None
    ) -> None:
        """Do something once it is confirmed."""
        self.app.push_screen(
            ConfirmScreen(verb, question, verb, typed), lambda yes: then() if yes else None
        )

    def _redraw(self) -> None:
        self.draw_soon(self.draw)

    def _close_filter(self) -> Grid[Any]:
        grid = self._filtered or self.focused_grid
        self._filtered = None
        self.query_one("#filter").display = False
        return grid
