"""Waiting until there may be something to do: a notification, an ended step, or the time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

CHANNEL = "tsconsole"


class Wakeup:
    """An event that a notification of the server sets, too."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self, *_: object) -> None:
        """Wake whoever waits, now or at the next wait."""
        self._event.set()

    def clear(self) -> None:
        """Forget what came up to now: whoever calls is about to look anyway."""
        self._event.clear()

    async def listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Have the server wake us when work is queued."""
        # A pooler in between may not know LISTEN; polling finds the work, too.
        with suppress(psycopg.Error):
            await connection.execute(f"listen {CHANNEL}")
            # Notifications that arrive while a query runs.
            connection.add_notify_handler(self.set)

    async def wait(self, connection: psycopg.AsyncConnection[Any], seconds: float) -> None:
        """Return when woken, when the server sends something, or after so many seconds."""
        with _watching(connection, self.set), suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait without a connection."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)


@contextmanager
def _watching(connection: psycopg.AsyncConnection[Any], call: Any) -> Iterator[None]:
    """Call it when the idle connection's socket has something: a notification, or its end."""
    loop, socket = asyncio.get_running_loop(), connection.fileno()
    loop.add_reader(socket, call)
    try:
        yield
    finally:
        loop.remove_reader(socket)
