"""Operations that run while the console is used: each with progress, a result, and cancel.

This knows no widgets: whoever shows operations is told of each change. Cancelling the task that
performs an operation cancels its query on the server.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Literal

import psycopg

from tsconsole.errors import TsconsoleError

Connection = psycopg.AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]
Report = Callable[[str], None]
Severity = Literal["information", "warning", "error"]

KEPT = 200
"""How many operations the log of the session keeps."""


@dataclass(frozen=True)
class Result:
    """How an operation ended."""

    message: str
    """One sentence."""
    severity: Severity = "information"
    text: str | None = None
    """Everything there is to say, when a sentence is too short for it."""


Work = Callable[[Connection, Report], Awaitable[Result]]


@dataclass(frozen=True)
class Operation:
    """Something the console does in the background."""

    id: int
    verb: str
    target: str | None
    began_at: datetime
    began: float
    ended: float | None = None
    outcome: Literal["running", "done", "failed", "cancelled"] = "running"
    note: str = ""
    result: Result | None = None

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"{self.verb} {self.target}" if self.target else self.verb

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.outcome == "running"


class Background:
    """Performs operations and remembers them."""

    def __init__(
        self,
        connect: Connect,
        on_change: Callable[[Operation], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._on_change = on_change
        self._clock = clock
        self._ids = itertools.count(1)
        self.operations: dict[int, Operation] = {}

    @property
    def running(self) -> tuple[Operation, ...]:
        """What runs now, the latest last."""
        return tuple(op for op in self.operations.values() if op.is_running)

    def is_busy(self, verb: str, target: str | None) -> bool:
        """Whether the same thing is being done already."""
        return any(op.verb == verb and op.target == target for op in self.running)

    def begin(self, verb: str, target: str | None) -> Operation:
        """Write an operation down; `perform` carries it out."""
        operation = Operation(
            next(self._ids), verb, target, datetime.now(timezone.utc), self._clock()
        )
        self._forget_oldest()
        self._change(operation)
        return operation

    async def perform(self, operation: Operation, work: Work) -> Operation:
        """Carry an operation out on a connection of its own. It raises only when cancelled."""

        def report(note: str) -> None:
            self._change(replace(self.operations[operation.id], note=note))

        try:
            async with self._connect() as connection:
                result = await work(connection, report)
        except asyncio.CancelledError:
            self._end(
                operation, "cancelled", Result("cancelled; what was finished stays", "warning")
            )
            raise
        except TsconsoleError as error:
            text = "\n\n".join(part for part in (error.message, error.hint) if part)
            return self._end(operation, "failed", Result(error.message, "error", text))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            return self._end(operation, "failed", Result(message, "error"))
        outcome: Literal["done", "failed"] = "failed" if result.severity == "error" else "done"
        return self._end(operation, outcome, result)

    def _end(
        self, operation: Operation, outcome: Literal["done", "failed", "cancelled"], result: Result
    ) -> Operation:
        ended = replace(
            self.operations[operation.id], outcome=outcome, result=result, ended=self._clock()
        )
        self._change(ended)
        return ended

    def _change(self, operation: Operation) -> None:
        self.operations[operation.id] = operation
        self._on_change(operation)

    def _forget_oldest(self) -> None:
        for old in list(self.operations.values())[: max(len(self.operations) - KEPT, 0)]:
            if not old.is_running:
                del self.operations[old.id]
