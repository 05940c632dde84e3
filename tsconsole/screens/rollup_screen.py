"""What can be done with a rollup, wherever one is shown: run, retry, pause, verify, drop …"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.registry import Action
from tsconsole.background import consequences, jobs
from tsconsole.background.consequences import Facts
from tsconsole.background.operation import Operation, Work
from tsconsole.models import ErrorEntry, RollupStatus
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.polling_screen import PollingScreen

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
    def table_in_view(self) -> str | None:
        """The rollup under the cursor."""
        return self.subject.target_table if self.subject is not None else None

    nothing_selected = "no rollup is selected"
    """Why there is nothing to act on."""

    @property
    def shown_error(self) -> ErrorEntry | None:
        """The error under the cursor, where there is one."""
        return None

    def why_not(self, action: Action) -> str | None:
        """Why an action cannot be done to this rollup now."""
        if action.needs == "operation" and self._backend() is not None:
            is_alone = self.session.is_lost and not self.session.running
            return "the server is gone" if is_alone else None
        reason = super().why_not(action)
        if reason is not None or action.needs in ("nothing", "operation"):
            return reason
        if action.needs == "error" and self.shown_error is not None:
            return None
        rollup = self.subject
        if rollup is None or not self.subjects:
            return self.nothing_selected
        if action.needs == "retry" and not any(map(is_failing, self.subjects)):
            return f"nothing of {rollup.target_table} is failing"
        if action.needs == "error" and rollup.latest_error is None:
            return f"no error of {rollup.target_table} is in the log"
        return None

    def operation_changed(self, operation: Operation) -> None:
        """Look at once at what an operation has changed."""
        super().operation_changed(operation)
        if not operation.is_running:
            self.poller.poke()

    @property
    def subjects(self) -> Sequence[RollupStatus]:
        """The rollups that an action is done to: those that are marked, else the subject."""
        return [self.subject] if self.subject is not None else []

    def action_run(self) -> None:
        """Run the rollups until nothing is left to do."""
        self._each("run", self.subjects, jobs.run, jobs.bottom_up)

    def action_retry(self) -> None:
        """Try again now what failed."""
        failing = [rollup for rollup in self.subjects if is_failing(rollup)]
        self._each("retry", failing, jobs.retry, jobs.bottom_up)

    def action_pause(self) -> None:
        """Pause what runs; when all are paused, let them go on."""
        active = [rollup for rollup in self.subjects if rollup.health_status != "PAUSED"]
        if active:
            self._each("pause", active, lambda target: jobs.pause(target, False))
        else:
            self._each("resume", self.subjects, lambda target: jobs.pause(target, True))

    def action_maintain(self) -> None:
        """Maintain the rollups; ask when rows would go, or could."""
        rollups = list(self.subjects)
        if not rollups:
            return
        target = rollups[0].target_table
        snapshot = self.session.snapshot
        parts = snapshot.partitions if snapshot and snapshot.selected_target == target else ()
        if len(rollups) == 1 and not any(part.state == "expired" for part in parts):
            self._each("maintain", rollups, jobs.maintain)
            return
        question = named("Maintain", rollups)
        question.append("\n\nPartitions older than their retention period are dropped.")
        facts = consequences.of_maintenance([rollup.target_table for rollup in rollups])
        then = partial(self._each, "maintain", rollups, jobs.maintain)
        self._ask("Maintain", question, then, facts=facts)

    def action_verify(self) -> None:
        """Compare the rollups with their sources, over a range that is asked for."""
        rollups, now = list(self.subjects), self.session.now
        if not rollups or now is None:
            return
        when = now

        def verify(choice: int | None) -> None:
            if choice is not None:
                back = VERIFY_RANGES[choice][1]
                self._each("verify", rollups, lambda target: jobs.verify(target, back, when))

        who = rollups[0].target_table if len(rollups) == 1 else f"{len(rollups)} rollups"
        question = Text.assemble("Compare ", (who, "bold"), " with GROUP BY over the source, for")
        words = [words for words, _ in VERIFY_RANGES]
        self.app.push_screen(ChooseScreen("Verify", question, words, 1), verify)

    def action_drop(self) -> None:
        """Drop the rollups; what is dropped has to be typed."""
        rollups = list(self.subjects)
        if not rollups:
            return
        dropped = {rollup.target_table for rollup in rollups}
        question = named("Drop", rollups)
        question.append(
            "\n\nAll rows and partitions go, the configuration and what is pending. "
            f"{', '.join(sorted({r.source_table for r in rollups} - dropped))} stays as it is. "
            "This cannot be undone."
        )
        readers = [name for target in dropped for name in self._readers(target)]
        if left := sorted(set(readers) - dropped):
            question.append(f"\n\nRead from it: {', '.join(left)}.", style="bold")
        typed = rollups[0].target_table if len(rollups) == 1 else f"drop {len(rollups)}"
        facts = consequences.of_drop(sorted(dropped))
        drop = partial(self._each, "drop", rollups, jobs.drop, jobs.top_down)
        self._ask("Drop", question, drop, typed, facts)

    def action_cancel(self) -> None:
        """Cancel our own operation, else the step that some other backend runs."""
        running = self.session.running
        target = self.subject.target_table if self.subject else None
        if running:
            mine = [operation for operation in running if operation.target == target]
            self._cancel_one(mine or list(running))
            return
        pid = self._backend()
        if pid is not None and target is not None:
            self.ask_to_cancel(target, pid)

    def ask_to_cancel(self, target: str, pid: int) -> None:
        """Ask what shall become of a step that some other backend runs, then cancel it."""

        def cancel(choice: int | None) -> None:
            if choice is not None:
                work = jobs.cancel_step(target, pid, and_pause=choice == 1)
                self.start("cancel", f"step of {target}", work)

        question = Text.assemble(
            "Cancel the step of ", (target, "bold"), f" that backend {pid} runs?\n\n"
            "A worker or another console started it. What it did so far is undone; steps that "
            "ended before it stay.",
        )  # fmt: skip
        answers = [
            "cancel it: it is logged as a failure, and tried again after a wait",
            "cancel it and pause the rollup: nothing runs until you resume it",
        ]
        self.app.push_screen(ChooseScreen("Cancel a step", question, answers), cancel)

    def action_steps(self) -> None:
        """Show who runs what."""
        from tsconsole.screens.steps import StepsScreen

        self.app.push_screen(StepsScreen(self.session))

    def action_explorer(self) -> None:
        """Plot the data of the rollup."""
        from tsconsole.screens.explorer import ExplorerScreen

        if self.subject is not None:
            self.app.push_screen(ExplorerScreen(self.session, self.subject.target_table))

    def action_details(self) -> None:
        """Show everything about the rollup."""
        from tsconsole.screens.details import DetailsScreen

        if self.subject is not None:
            self.app.push_screen(DetailsScreen(self.session, self.subject))

    def _cancel_one(self, running: Sequence[Operation]) -> None:
        """Cancel an operation; when there are several, ask which."""
        if len(running) == 1:
            self.cancel_operation(running[0])
            return

        def cancel(choice: int | None) -> None:
            if choice is not None:
                self.cancel_operation(running[choice])

        names = [f"{op.title}   {op.note}".rstrip() for op in running]
        question = Text("Cancel which operation? What it finished stays.")
        self.app.push_screen(ChooseScreen("Cancel", question, names, len(names) - 1), cancel)

    async def action_error(self) -> None:
        """Show the error in full."""
        error = self.shown_error
        if error is None and self.subject is not None:
            error = await self._last_error(self.subject.target_table)
        if error is not None:
            from tsconsole.screens.failure import FailureScreen

            self.app.push_screen(FailureScreen(self.session, error))

    async def _last_error(self, target: str) -> ErrorEntry | None:
        snapshot = self.session.snapshot
        for error in (snapshot.errors if snapshot else None) or ():
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

    def _each(
        self,
        verb: str,
        rollups: Sequence[RollupStatus],
        work_of: Callable[[str], Work],
        together: Callable[[jobs.Works], Work] = jobs.several,
    ) -> None:
        """Do something to each of the rollups, one after the other, in the background."""
        targets = [rollup.target_table for rollup in rollups]
        works = [(target, work_of(target)) for target in targets]
        self.start_each(verb, works, "rollups", together)

    def _ask(
        self,
        verb: str,
        question: Text,
        then: Callable[[], None],
        typed: str | None = None,
        facts: Facts | None = None,
    ) -> None:
        """Ask first; what the action would take is read while the question is seen."""

        async def read(facts: Facts) -> str:
            async with self.session.connect() as connection:
                return await facts(connection)

        screen = ConfirmScreen(verb, question, verb, typed, facts and partial(read, facts))
        self.app.push_screen(screen, lambda yes: then() if yes else None)


def is_failing(rollup: RollupStatus) -> bool:
    """Whether some work of a rollup has failed and is not done yet."""
    return rollup.retry_count > 0 or rollup.status in ("retrying", "failed")


def named(verb: str, rollups: Sequence[RollupStatus], most: int = 8) -> Text:
    """A question that names what an action would be done to."""
    if len(rollups) == 1:
        return Text.assemble(f"{verb} ", (rollups[0].target_table, "bold"), "?")
    names = "\n".join(rollup.target_table for rollup in rollups[:most])
    more = f"\n… and {len(rollups) - most} more" if len(rollups) > most else ""
    return Text.assemble(f"{verb} ", (f"{len(rollups)} rollups", "bold"), f"?\n\n{names}{more}")
