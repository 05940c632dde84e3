"""Every statement that this program sent, with how long it took. It knows no widgets.

A statement that is sent again and again (a poll) is one entry with a count; what an operation sends
is an entry each time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import psycopg
from psycopg import sql

KEPT = 500
"""Entries that are kept."""
_FRAMES = frozenset({"begin read only", "set local search_path = pg_catalog, pg_temp", "commit"})
"""What stands around each query of a poll: noise in a log."""


@dataclass(frozen=True)
class Statement:
    """One statement, or a poll that was sent many times."""

    id: int
    text: str
    parameters: str
    sent_at: datetime
    """When it was sent last."""
    is_poll: bool
    count: int = 1
    seconds: float | None = None
    """From sending it to its last row; inside a pipeline that is the whole round trip."""
    slowest: float = 0.0
    rows: int | None = None
    error: str | None = None


class StatementLog:
    """The statements of this session, the latest last."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._entries: OrderedDict[object, Statement] = OrderedDict()
        self._next = 1

    def __iter__(self) -> Iterator[Statement]:
        return iter(tuple(self._entries.values()))

    def begin(self, text: str, parameters: object, is_poll: bool) -> object:
        """Note that a statement is sent; returns what `end` wants."""
        key: object = text if is_poll else self._next
        known = self._entries.pop(key, None)
        entry = known or Statement(self._next, text, "", _now(), is_poll, 0)
        self._entries[key] = replace(
            entry, parameters=_shown(parameters), sent_at=_now(), count=entry.count + 1,
            seconds=None, error=None,
        )  # fmt: skip
        self._next += 1
        if len(self._entries) > KEPT:
            self._entries.popitem(last=False)
        return key

    def end(self, key: object, seconds: float, rows: int | None, error: str | None = None) -> None:
        """Note how it went."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = replace(
                entry, seconds=seconds, slowest=max(entry.slowest, seconds), rows=rows, error=error
            )


def logging_cursor(log: StatementLog, is_poll: bool) -> type[psycopg.AsyncCursor[Any]]:
    """A cursor that writes what it executes into a log."""

    class LoggedCursor(psycopg.AsyncCursor[Any]):
        """Notes each statement; one in a pipeline ends when its rows are asked for."""

        _noted: tuple[object, float] | None = None

        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            text = _text(query, self.connection)
            if not text or text in _FRAMES:
                return await super().execute(query, params, **options)
            self._noted = (log.begin(text, params, is_poll), log.clock())
            try:
                await super().execute(query, params, **options)
            except BaseException as error:
                self._end(error=str(error).strip() or type(error).__name__)
                raise
            if self.pgresult is not None:
                self._end()
            return self

        async def fetchone(self) -> Any:
            row = await super().fetchone()
            self._end()
            return row

        async def fetchall(self) -> Any:
            rows = await super().fetchall()
            self._end()
            return rows

        def _end(self, error: str | None = None) -> None:
            if self._noted is not None:
                (key, began), self._noted = self._noted, None
                rows = self.rowcount if error is None and self.rowcount >= 0 else None
                log.end(key, log.clock() - began, rows, error)

    return LoggedCursor


def _text(query: Any, connection: Any) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    return query.decode(errors="replace") if isinstance(query, bytes) else str(query)


def _shown(parameters: object) -> str:
    if not parameters:
        return ""
    text = repr(parameters)
    return text if len(text) <= 2000 else text[:2000] + "…"


def _now() -> datetime:
    return datetime.now(timezone.utc)
