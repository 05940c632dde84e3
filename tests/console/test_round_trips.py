"""One poll of a screen is one round trip to the server, as libpq itself writes it down."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tsconsole.screens
from console.conftest import MakeConsole
from console.operator import PLACES, Operator, at_rollups
from tsconsole.screens.explorer import ExplorerScreen
from tsconsole.screens.polling_screen import PollingScreen
from tsconsole.session import Session

ANSWERED = re.compile(r"^F\t\d+\t(?:Sync|Query|Flush)\b.*(?:\nF\t\d+\tFlush)?", re.M)
"""What a client sends and then waits for an answer; psycopg sends a Flush right after a Sync."""


class Traced:
    """Connects as the session does, and counts what each poll sends and waits for."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._connect, self._folder = session.connect, folder
        self.polls: list[int] = []
        session.connect = self.connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        path = self._folder / f"trace-{len(self.polls)}"
        async with self._connect() as connection:
            with path.open("wb") as file:
                connection.pgconn.trace(file.fileno())
                connection.pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)
                try:
                    yield connection
                finally:
                    connection.pgconn.untrace()
        self.polls.append(len(ANSWERED.findall(path.read_text(errors="replace"))))


def test_every_polling_screen_is_counted() -> None:
    for module in pkgutil.iter_modules(tsconsole.screens.__path__, "tsconsole.screens."):
        importlib.import_module(module.name)
    kinds, waiting = set[str](), list[type[Any]](PollingScreen.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("tsconsole.") and "place" in kind.__dict__:
            kinds.add(kind.place)
    assert kinds == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
async def test_one_poll_is_one_round_trip(
    console: MakeConsole, rollups: psycopg.Connection, tmp_path: Path, place: str
) -> None:
    rollups.execute("call silver.run_rollups()")
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator: Operator = await at_rollups(app, pilot)
        await operator.press(PLACES[place])
        await operator.until(lambda: getattr(app.screen, "place", "") == place)
        screen = app.screen
        assert isinstance(screen, PollingScreen)
        await operator.until(lambda: screen.is_complete)
        await pilot.pause(0.2)
        # What moves with the clock is asked for again, and not only what has not been read.
        app.session.activity._read_at = None
        if isinstance(screen, ExplorerScreen):
            screen.data = None

        traced = Traced(app.session, tmp_path)
        screen.poller.poke()
        await operator.until(lambda: bool(traced.polls))
        assert screen.failure is None
        assert traced.polls[0] == 1
