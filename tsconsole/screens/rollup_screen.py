"""What can be done with a rollup, wherever one is shown: run, retry, pause, verify, drop …"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from rich.text import Text

from tsconsole import jobs, operations
from tsconsole.actions import Action
from tsconsole.background import Operation
from tsconsole.formatting import size
from tsconsole.models import ErrorEntry, RollupStatus
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.polling_screen import PollingScreen
from tsconsole.screens.reader import ReaderScreen, error_sections

Data = TypeVar("Data")

VERIFY_RANGES: tuple[tuple[str, timedelta | None], ...] = (
    ("the last hour", timedelta(hours=1)),
    ("the last day", timedelta(days=1)),
    ("the last 7 days", timedelta(days=7)),
    ("everything it covers (reads the whole source)", None),
)


class RollupScreen(PollingScreen[Data]):
    """A screen with a rollup under the cursor."""

    @property
    @abstractmethod
    def subject(self) -> RollupStatus | None:
        """The rollup that actions act on."""

    @property
    def shown_error(self) -> ErrorEntry | None:
        """The error under the cursor, where there is one."""
        return None

    def why_not(self, action: Action) -> str | None:
        """Why an action cannot be done to this rollup now."""
        if action.needs == "operation" and self._backend() is not None:
            return None
        reason = super().why_not(action)
        if reason is not None or action.needs in ("nothing", "operation"):
            return reason
        if action.needs == "error" and self.shown_error is not None:
            return None
        rollup = self.subject
        if rollup is None:
            return "no rollup is selected"
        if action.needs == "retry" and not is_failing(rollup):
            return f"nothing of {rollup.target_table} is failing"
        if action.needs == "error" and rollup.latest_error is None:
            return f"no error of {rollup.target_table} is in the log"
        return None

    def operation_changed(self, operation: Operation) -> None:
        """Look at once at what an operation has changed."""
        super().operation_changed(operation)
        if not operation.is_running:
            self.poller.poke()

    def action_run(self) -> None:
        """Run the rollup until nothing is left to do."""
        if self.subject is not None:
            self.start("run", self.subject.target_table, jobs.run(self.subject.target_table))

    def action_retry(self) -> None:
        """Try again now what failed."""
        if self.subject is not None:
            self.start("retry", self.subject.target_table, jobs.retry(self.subject.target_table))

    def action_pause(self) -> None:
        """Pause the rollup, or let it go on."""
        rollup = self.subject
        if rollup is not None:
            is_paused = rollup.health_status == "PAUSED"
            verb = "resume" if is_paused else "pause"
            self.start(verb, rollup.target_table, jobs.pause(rollup.target_table, is_paused))

    def action_maintain(self) -> None:
        """Maintain the rollup; ask when rows would go."""
        rollup = self.subject
        if rollup is None:
            return
        target = rollup.target_table
        snapshot = self.session.snapshot
        parts = snapshot.partitions if snapshot and snapshot.selected_target == target else ()
        expired = [part for part in parts if part.state == "expired"]
        if not expired:
            self.start("maintain", target, jobs.maintain(target))
            return
        room = size(sum(part.total_bytes for part in expired))
        question = Text.assemble(
            "Maintain ", (target, "bold"), "?\n\n",
            f"It drops {len(expired)} expired partitions with their rows, {room}:\n",
            ", ".join(part.partition_name for part in expired[:6]),
            " …" if len(expired) > 6 else "",
        )  # fmt: skip
        self._ask(
            "Maintain", question, lambda: self.start("maintain", target, jobs.maintain(target))
        )

    def action_verify(self) -> None:
        """Compare the rollup with its source, over a range that is asked for."""
        rollup, now = self.subject, self.session.now
        if rollup is None or now is None:
            return
        target = rollup.target_table

        def verify(choice: int | None) -> None:
            if choice is not None:
                back = VERIFY_RANGES[choice][1]
                self.start("verify", target, jobs.verify(target, back, now))

        question = Text.assemble(
            "Compare ", (target, "bold"), " with GROUP BY over its source, for"
        )
        words = [words for words, _ in VERIFY_RANGES]
        self.app.push_screen(ChooseScreen("Verify", question, words, 1), verify)

    def action_drop(self) -> None:
        """Drop the rollup; its name has to be typed."""
        rollup = self.subject
        if rollup is None:
            return
        target = rollup.target_table
        question = Text.assemble(
            "Drop ", (target, "bold"), " with all its rows and partitions, its configuration "
            f"and what is pending?\n\nThe source {rollup.source_table} stays as it is. "
            "This cannot be undone.",
        )  # fmt: skip
        readers = self._readers(target)
        if readers:
            question.append(f"\n\nRead from it: {', '.join(readers)}.", style="bold")
        self._ask("Drop", question, lambda: self.start("drop", target, jobs.drop(target)), target)

    def action_cancel(self) -> None:
        """Cancel our own operation, else the step that some other backend runs."""
        running = self.session.running
        target = self.subject.target_table if self.subject else None
        if running:
            mine = [operation for operation in running if operation.target == target]
            self.cancel_operation((mine or list(running))[-1])
            return
        pid = self._backend()
        if pid is None or target is None:
            return
        question = Text.assemble(
            "Cancel the step of ", (target, "bold"), f" that backend {pid} runs?\n\n"
            "It is not ours: a worker or another console started it. What it finished stays; "
            "the step is tried again later.",
        )  # fmt: skip
        self._ask("Cancel the step", question, lambda: self.start(
            "cancel", f"backend {pid}", jobs.cancel_backend(pid)))  # fmt: skip

    async def action_error(self) -> None:
        """Show the error in full."""
        error = self.shown_error
        if error is None and self.subject is not None:
            error = await self._last_error(self.subject.target_table)
        if error is not None:
            title = f"Error of {error.target_table or error.source_table or 'unknown'}"
            self.app.push_screen(ReaderScreen(self.session, title, error_sections(error)))

    async def _last_error(self, target: str) -> ErrorEntry | None:
        snapshot = self.session.snapshot
        for error in snapshot.errors if snapshot else ():
            if error.target_table == target:
                return error
        try:
            async with self.session.connect() as connection:
                found = await operations.list_errors(connection, 1, target)
        except operations.OperationError as error:
            self.say(error.message, "error")
            return None
        if not found:
            self.say(f"no error of {target} is in the log any more", "warning")
        return found[0] if found else None

    def _readers(self, target: str) -> list[str]:
        snapshot = self.session.snapshot
        rollups = snapshot.operations if snapshot else ()
        return [rollup.target_table for rollup in rollups if rollup.source_table == target]

    def _backend(self) -> int | None:
        rollup = self.subject
        if rollup is None or self.session.read_only or rollup.health_status != "RUNNING":
            return None
        return rollup.worker_pid

    def _ask(
        self, verb: str, question: Text, then: Callable[[], None], typed: str | None = None
    ) -> None:
        self.app.push_screen(
            ConfirmScreen(verb, question, verb, typed), lambda yes: then() if yes else None
        )


def is_failing(rollup: RollupStatus) -> bool:
    """Whether some work of a rollup has failed and is not done yet."""
    return rollup.retry_count > 0 or rollup.status in ("retrying", "failed")
