"""Why it failed: an error in full, the query that was attempted, and its plan on request."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.widgets import Static

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.background import jobs
from tsconsole.errors import OperationError
from tsconsole.models import ErrorEntry
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.screens.reader import ReaderScreen, Section, error_sections
from tsconsole.session import Session


class FailureScreen(ReaderScreen):
    """Everything that the log knows about an error."""

    place = "failure"
    BINDINGS = bindings("failure")

    def __init__(self, session: Session, error: ErrorEntry) -> None:
        title = f"Error of {error.target_table or error.source_table or 'unknown'}"
        super().__init__(session, title, error_sections(error))
        self.error = error
        self._is_explained = False

    def why_not(self, action: Action) -> str | None:
        """Why the query cannot be explained."""
        reason = super().why_not(action)
        if reason is None and action.name == "plan":
            if not self.error.attempted_query:
                return "no query was attempted"
            if self._is_explained:
                return "its plan is below"
        return reason

    def action_plan(self) -> None:
        """Show how the server would run the attempted query now (EXPLAIN); it reads no rows."""
        self.spawn(self._explain, "plan")

    def action_acknowledge(self) -> None:
        """Acknowledge it and the earlier ones that say the same."""
        number = self.error.id
        self.start("acknowledge", f"error {number}", jobs.acknowledge(number))

    async def _explain(self) -> None:
        try:
            async with self.session.connect() as connection:
                plan = await operations.explain_error(connection, self.error.id)
        except OperationError as error:
            plan = "\n".join(part for part in (error.message, error.hint) if part)
        self._is_explained = True
        section = Section("Its plan, as the server would make it now", plan, "code")
        self.add_section(section)
        text = self.query_one("#text", VerticalScroll)
        body = text.query(Static).last()
        self.call_after_refresh(text.scroll_to_widget, body, animate=False, top=True)
        self.refresh_bindings()


async def show_failure(screen: ConsoleScreen[None], error_id: int) -> None:
    """Read an error in full, and show it."""
    try:
        async with screen.session.connect() as connection:
            error = await operations.get_error(connection, error_id)
    except OperationError as failure:
        screen.say(failure.message, "error")
        return
    if error is None:
        screen.say("it is not in the log any more", "warning")
    else:
        screen.app.push_screen(FailureScreen(screen.session, error))
