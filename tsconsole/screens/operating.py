"""What a screen does in the background: it starts and cancels work, and says what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TypeVar

from textual import on
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from tsconsole.background.jobs import Works, several
from tsconsole.background.operation import Operation, Severity, Work
from tsconsole.errors import TsconsoleError
from tsconsole.formatting import one_line
from tsconsole.session import Session

ScreenResult = TypeVar("ScreenResult")


class OperatingScreen(Screen[ScreenResult]):
    """A screen that starts operations in the background."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    def say(self, message: str, severity: Severity = "information") -> None:
        """Show a notification; its text is never read as markup."""
        self.notify(one_line(message), severity=severity, markup=False)

    def start(self, verb: str, target: str | None, work: Work) -> None:
        """Do something in the background, on the App: it goes on when this screen is left."""
        background = self.session.background
        if background.is_busy(verb, target):
            self.say(f"{verb} {target or ''} runs already", "warning")
            return
        operation = background.begin(verb, target)
        self.app.run_worker(
            background.perform(operation, work),
            name=worker_name(operation),
            group="operations",
            exclusive=False,
            exit_on_error=False,
        )

    def start_each(
        self, verb: str, works: Works, nouns: str, together: Callable[[Works], Work] = several
    ) -> None:
        """Do something to each of some targets, one after the other, as one operation."""
        if len(works) == 1:
            self.start(verb, *works[0])
        elif works:
            self.start(verb, f"{len(works)} {nouns}", together(works))

    def spawn(self, work: Callable[[], Coroutine[None, None, None]], group: str) -> None:
        """Read something for this screen, in place of what its group was reading; it ends with
        the screen."""
        _: Worker[None] = self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    @on(Worker.StateChanged)
    def worker_failed(self, event: Worker.StateChanged) -> None:
        """An unforeseen fault of a worker is said, not thrown."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            message = error.message if isinstance(error, TsconsoleError) else repr(error)
            self.say(message, "error")

    def cancel_operation(self, operation: Operation) -> None:
        """Cancel what runs in the background; its query ends on the server."""
        for worker in self.app.workers:
            if worker.name == worker_name(operation):
                worker.cancel()


def worker_name(operation: Operation) -> str:
    """The name of the worker that carries out an operation."""
    return f"operation {operation.id}"
