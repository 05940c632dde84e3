"""What the operator chooses to see on the monitor, and to act on: filter, order, marks, zoom."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from textual import on
from textual.widgets import Input

from tsconsole.health import STATES
from tsconsole.memory import described, restored
from tsconsole.models import MonitorSnapshot, RollupStatus
from tsconsole.presentation.marks import all_marked, hidden_marks
from tsconsole.presentation.monitor_view import View, visible
from tsconsole.screens.rollup_screen import RollupScreen
from tsconsole.session import Session
from tsconsole.widgets.operations_pane import OperationsPane
from tsconsole.widgets.pane import Pane
from tsconsole.widgets.strip import Strip


class MonitorChoices(RollupScreen[MonitorSnapshot]):
    """Panes with a filter each; rollups that are sorted, marked, and hidden."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.view = _remembered(session)
        self.lower = 2
        """Which of the lower panes is shown where there is room for one only."""
        self.marked: frozenset[int] = frozenset()
        """The marked rollups, by their ids."""
        self._filtered: Pane | None = None
        """The pane whose filter is being typed."""

    @abstractmethod
    def draw(self) -> None:
        """Draw everything from the newest snapshot."""

    def on_mount(self) -> None:
        """The filter that was left the last time is this time's."""
        self.operations_pane.filter = self.view.filter

    @property
    def panes(self) -> dict[int, Pane]:
        """The panes by the number that jumps to them."""
        return {pane.number: pane for pane in self.query(Pane)}

    @property
    def operations_pane(self) -> OperationsPane:
        """Pane 1."""
        return self.query_one(OperationsPane)

    @property
    def subjects(self) -> Sequence[RollupStatus]:
        """The marked rollups that no filter hides, when the rollups have the focus."""
        pane = self._focused_pane()
        if not self.marked or not isinstance(pane, (OperationsPane, type(None))):
            return super().subjects
        return [r for r in self.operations_pane.shown if r.id in self.marked]

    @property
    def nothing_selected(self) -> str:  # type: ignore[override]
        """Why there is nothing to act on."""
        if self.marked and self.subject is not None:
            return hidden_marks(len(self.marked), "rollups")
        return "no rollup is selected"

    @property
    def explained(self) -> str:
        """What F1 explains: the focused pane."""
        if isinstance(self.focused, Strip):
            return "strip"
        pane = self._focused_pane()
        return {2: "partitions_pane", 3: "errors", 4: "retries"}.get(
            pane.number if pane else 1, "operations"
        )

    @on(Strip.Chosen)
    def drill_in(self, event: Strip.Chosen) -> None:
        """Show what is behind a figure of the strip."""
        event.stop()
        if event.key in ("failing", "retry"):
            self.action_pane(4)
            return
        if event.key in ("rows", "late"):
            from tsconsole.screens.activity import ActivityScreen

            order = {"rows": "read"}.get(event.key, event.key)
            self.app.push_screen(ActivityScreen(self.session, order=order))
            return
        health = next((state.health for state in STATES if state.health == event.key), None)
        if health is not None:
            is_shown = self.view.health == health
            self._change_view(replace(self.view, health=None if is_shown else health))
        else:
            view = self.view.sorted_by_column(event.key)
            self._change_view(replace(view, is_reversed=False))
        self.action_pane(1)

    @on(Input.Changed, "#filter")
    def narrow(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if self._filtered is not None:
            self._set_filter(self._filtered, event.value.strip())

    @on(Input.Submitted, "#filter")
    def narrowed(self) -> None:
        """Keep the filter and go back to the rows."""
        pane = self._filtered or self.operations_pane
        self._close_filter()
        pane.table.focus()

    def action_filter(self) -> None:
        """Let a filter for the focused pane be typed."""
        box = self.query_one("#filter", Input)
        pane = self._focused_pane() or self.operations_pane
        self._filtered = None
        box.value = pane.filter
        self._filtered = pane
        box.display = True
        box.focus()

    def action_clear(self) -> None:
        """Take back what narrows the view: the filter first, then the marks, then the zoom."""
        pane = self._filtered or self._focused_pane() or self.operations_pane
        was_typing = self.query_one("#filter").display
        self._close_filter()
        if was_typing or pane.filter:
            self._set_filter(pane, "")
        elif self.view.is_narrowed:
            self._change_view(self.view.widened())
        elif self.operations_pane.filter:
            self._set_filter(self.operations_pane, "")
        elif self.marked:
            self._mark(frozenset())
        elif self.has_class("-zoomed"):
            self._zoom(None)
        if was_typing or self.focused is None:
            pane.table.focus()

    def action_problems(self) -> None:
        """Show only what needs attention, and back."""
        self._change_view(replace(self.view, problems_only=not self.view.problems_only))

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._change_view(self.view.next_order())

    def action_sort_by(self, column: str) -> None:
        """Sort by a column; again: the other way round."""
        self._change_view(self.view.sorted_by_column(column))

    def action_mark(self) -> None:
        """Mark the rollup under the cursor, or no longer, and go on to the next."""
        rollup = self.subject
        if rollup is not None:
            self._mark(self.marked ^ {rollup.id})
            if isinstance(self._focused_pane(), OperationsPane):
                self.operations_pane.table.go_down()

    def action_mark_all(self) -> None:
        """Mark every rollup that is shown; none when all of them are marked."""
        self._mark(all_marked(self.marked, [one.id for one in self.operations_pane.shown]))

    def action_zoom(self) -> None:
        """Give the focused pane all the room, or take it back."""
        is_zoomed = self.has_class("-zoomed")
        self._zoom(None if is_zoomed else self._focused_pane() or self.operations_pane)

    def action_strip(self) -> None:
        """Go to the strip of figures."""
        self.query_one(Strip).focus()

    def action_pane(self, number: int) -> None:
        """Go to a pane."""
        pane = self.panes[number]
        if number > 1:
            self._show_lower(number)
        if self.has_class("-zoomed"):
            self._zoom(pane)
        if pane.table.display:
            pane.table.focus()

    def _mark(self, marked: frozenset[int]) -> None:
        self.marked = marked
        self.draw()
        self.refresh_bindings()

    def _zoom(self, wanted: Pane | None) -> None:
        self.set_class(wanted is not None, "-zoomed")
        self.set_class(isinstance(wanted, OperationsPane), "-zoomed-operations")
        for pane in self.panes.values():
            pane.set_class(pane is wanted, "-zoomed")
        self.poller.poke()

    def _set_filter(self, pane: Pane, words: str) -> None:
        pane.filter = words
        if isinstance(pane, OperationsPane):
            self._change_view(replace(self.view, filter=words))
        else:
            pane.draw()
        self.refresh_bindings()

    def _close_filter(self) -> None:
        self._filtered = None
        self.query_one("#filter").display = False

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


def _remembered(session: Session) -> View:
    """What was shown when this profile was left; everything when that makes no sense any more."""
    view = restored(View(), session.memory.get("monitor"))
    try:
        visible((), view)
        return view if view.words else View()
    except LookupError:
        return View()
