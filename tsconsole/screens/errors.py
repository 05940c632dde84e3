"""Errors and retries: what failed, how often, since when; acknowledge, explain, try again."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.background import jobs
from tsconsole.background.operation import Connection
from tsconsole.formatting import ABSENT, coming, fit_names, one_line, when
from tsconsole.health import gave_up_words
from tsconsole.models import ErrorGroup, Failures, LoggedError, RetryEntry
from tsconsole.screens.base import bindings
from tsconsole.screens.failure import show_failure
from tsconsole.screens.table_screen import TableScreen
from tsconsole.session import Session
from tsconsole.widgets.grid import NEVER, Field, Grid, Look, words


class ErrorsScreen(TableScreen[Failures]):
    """The errors above, the retry queue below."""

    place = "errors"
    BINDINGS = bindings("errors")

    def __init__(self, session: Session, table_name: str | None = None) -> None:
        super().__init__(session, table_name)
        self.one_by_one = False

    def grids(self) -> list[Grid[Any]]:
        """The errors, and what is retried."""
        return [
            Grid(
                id="errors",
                number=0,
                title="Errors",
                fields=ERROR_FIELDS,
                key=self._error_key,
                text=lambda e: f"{e.target_table} {e.sql_state} {e.error_message}",
                is_problem=lambda error: error.unseen > 0,
                noun="error",
                words="reading …",
                can_be_marked=True,
            ),
            Grid(
                id="queue",
                number=0,
                title="Retries",
                fields=RETRY_FIELDS,
                key=lambda entry: f"{entry.rollup_id}/{entry.work}",
                text=lambda entry: f"{entry.target_table} {entry.work} {entry.error_message}",
                is_problem=lambda entry: entry.gave_up_at is not None,
                noun="task",
                words="reading …",
                can_be_marked=True,
            ),
        ]

    async def fetch(self, connection: Connection) -> Failures:
        """The errors and the retry queue, in one round trip."""
        return await operations.failures(connection, one_by_one=self.one_by_one)

    @property
    def queue(self) -> Grid[Any]:
        """The retry queue."""
        return self.query_one("#queue", Grid)

    def draw(self) -> None:
        """Draw both grids."""
        data, now = self.data, self._now
        if data is None or now is None:
            return
        errors = self.main
        errors.words = "No errors: nothing has failed."
        errors.about = "one by one" if data.tail else ""
        errors.display_rows(data.groups or tuple(map(as_group, data.tail)), now)
        self.queue.words = "Nothing waits for a retry."
        self.queue.about = gave_up_words(data.retries)
        self.queue.display_rows(data.retries, now)
        self.selection_changed()

    def tick(self) -> None:
        """Carry on the countdowns."""
        super().tick()
        if self.data is not None and self.data.retries and self._now and self.failure is None:
            self.queue.display_rows(self.data.retries, self._now)

    def selection_changed(self) -> None:
        """Say in full what the row under the cursor says."""
        error = self.main.selected
        self.main.below = one_line(error.error_message) if error is not None else ""
        self.main.draw_titles()

    @property
    def explained(self) -> str:
        """The whole screen, not the monitor's pane of errors."""
        return "errors_screen"

    @property
    def table_in_view(self) -> str | None:
        """The rollup under the cursor."""
        row = self.focused_grid.selected
        return row.target_table if row is not None else None

    def why_not(self, action: Action) -> str | None:
        """What needs an error or a retry."""
        reason = super().why_not(action)
        if reason is not None:
            return reason
        if action.name == "open" and self._error_id(self.focused_grid.selected) is None:
            return "no error is selected"
        if action.name == "acknowledge" and not self._error_ids():
            return self.nothing_chosen(self.focused_grid) or "no error is selected"
        if action.name == "acknowledge" and not self._unseen():
            return "it is acknowledged already"
        if action.name in ("retry", "retry_all", "retry_failing") and not self._retries():
            return "nothing is failing"
        if action.name == "retry" and not self._chosen():
            nothing = f"nothing of {self.table_in_view} is failing"
            return self.nothing_chosen(self.focused_grid) or nothing
        return None

    async def action_open(self) -> None:
        """Show the error in full."""
        error_id = self._error_id(self.focused_grid.selected)
        if error_id is not None:
            await show_failure(self, error_id)

    def action_group(self) -> None:
        """Show each error by itself, the newest first, or those that say the same as one."""
        self.one_by_one = not self.one_by_one
        self.poller.poke()

    def action_acknowledge(self) -> None:
        """Acknowledge the chosen errors, each with the earlier ones like it."""
        works = [(f"error {one}", jobs.acknowledge(one)) for one in self._error_ids()]
        self.start_each("acknowledge", works, "errors")

    def action_acknowledge_all(self) -> None:
        """Acknowledge every error, once it is confirmed."""
        question = Text("Acknowledge every error of every rollup?\n\nThey stay in the log.")
        self.ask("Acknowledge", question, lambda: self.start(
            "acknowledge", "every error", jobs.acknowledge(None)))  # fmt: skip

    def action_retry(self) -> None:
        """Try again the chosen rollups: what is marked, else the one under the cursor."""
        self._retry(self._chosen())

    def action_retry_all(self) -> None:
        """Try again everything whose waiting time is over."""
        self.start("retry all due", None, jobs.retry_due)

    def action_retry_failing(self) -> None:
        """Try again everything that is failing, once it is confirmed."""
        targets = sorted({entry.target_table for entry in self._retries()})
        names = "\n".join(targets[:12]) + ("\n…" if len(targets) > 12 else "")
        question = Text(f"Try again, without waiting:\n\n{names}")
        self.ask("Retry", question, lambda: self._retry(targets))

    def _retry(self, targets: list[str]) -> None:
        works = [(target, jobs.retry(target)) for target in targets]
        self.start_each("retry", works, "rollups", jobs.bottom_up)

    def _chosen(self) -> list[str]:
        """The rollups that retry acts on: of the rows that are chosen where the cursor is."""
        failing = {entry.target_table for entry in self._retries()}
        return sorted(failing & {row.target_table for row in self.focused_grid.chosen})

    def _retries(self) -> tuple[RetryEntry, ...]:
        return self.data.retries if self.data is not None else ()

    def _unseen(self) -> bool:
        grid = self.focused_grid
        return grid is not self.main or any(error.unseen > 0 for error in grid.chosen)

    def _error_ids(self) -> list[int]:
        """The errors that are chosen where the cursor is, each once."""
        found = (self._error_id(row) for row in self.focused_grid.chosen)
        return list(dict.fromkeys(one for one in found if one is not None))

    def _error_id(self, row: RetryEntry | ErrorGroup | None) -> int | None:
        if isinstance(row, RetryEntry):
            return row.error_id
        return row.last_id if row is not None else None

    def _error_key(self, error: ErrorGroup) -> str:
        if self.data is not None and self.data.tail:
            return str(error.last_id)
        return f"{error.target_table}/{error.sql_state}/{error.error_message}"

    @property
    def _now(self) -> datetime | None:
        """The server's clock, carried on since it was read."""
        if self.data is None or self.seconds_old is None:
            return None
        return self.data.database_time + timedelta(seconds=self.seconds_old)


def as_group(error: LoggedError) -> ErrorGroup:
    """One entry of the log, in the form of a group of one."""
    return ErrorGroup(
        error.target_table, error.sql_state, error.error_message, 1, error.error_timestamp,
        error.error_timestamp, error.id, int(error.acknowledged_at is None),
    )  # fmt: skip


@lru_cache(8)
def _fitted(names: tuple[str, ...], width: int) -> dict[str, str]:
    return fit_names(names, width)


def _name(name: str | None, look: Look) -> str:
    """A name, shortened where it does not fit, and still another than those beside it."""
    names = tuple(dict.fromkeys(row.target_table or "" for row in look.rows))
    return _fitted(names, look.width).get(name or "", name or "")


def _quiet(error: ErrorGroup, look: Look, style: str = "") -> str:
    return style if error.unseen else look.colours.muted


def _next(entry: RetryEntry, look: Look) -> Text:
    if entry.gave_up_at is not None:
        return Text("gave up", style=f"bold {look.colours.error}")
    if entry.next_retry_time is None:
        return Text(ABSENT)
    return Text(coming(entry.next_retry_time - look.now))


ERROR_FIELDS: list[Field[ErrorGroup]] = [
    Field("last", "LAST", 11,
          lambda e, look: Text(when(e.last_time, look.now), _quiet(e, look)), lambda e: e.last_id),
    Field("first", "FIRST", 11,
          lambda e, look: Text(when(e.first_time, look.now), look.colours.muted),
          lambda e: e.first_time, from_room=110),
    Field("count", "TIMES", 6, lambda e, look: Text(f"×{e.errors}", _quiet(e, look)),
          lambda e: -e.errors, right=True),
    Field("new", "NEW", 4,
          lambda e, look: Text(str(e.unseen) if e.unseen else ABSENT,
                               look.colours.warning if e.unseen else look.colours.muted),
          lambda e: -e.unseen, right=True),
    Field("target", "ROLLUP", 24,
          lambda e, look: Text(_name(e.target_table, look), _quiet(e, look, "bold")),
          lambda e: e.target_table or ""),
    Field("state", "STATE", 6, lambda e, look: Text(e.sql_state or "", look.colours.muted),
          lambda e: e.sql_state or "", from_room=90),
    Field("error", "ERROR", 0,
          lambda e, look: words(one_line(e.error_message), look, _quiet(e, look)),
          lambda e: e.error_message),
]  # fmt: skip

RETRY_FIELDS: list[Field[RetryEntry]] = [
    Field("target", "ROLLUP", 24, lambda r, look: Text(_name(r.target_table, look), "bold"),
          lambda r: r.target_table),
    Field("work", "WORK", 9, lambda r, look: Text(r.work)),
    Field("tries", "TRY", 6, lambda r, look: Text(f"{r.retry_count}/{r.max_retries}"),
          lambda r: -r.retry_count, right=True),
    Field("next", "NEXT", 10, _next, lambda r: r.next_retry_time or NEVER),
    Field("error", "ERROR", 0,
          lambda r, look: words(one_line(r.error_message), look, look.colours.muted),
          from_room=70),
]  # fmt: skip
