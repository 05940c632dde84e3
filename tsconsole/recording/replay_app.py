"""The console on a recording: the same screens, a moment in time in place of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from textual.screen import Screen

from tsconsole.app import TsConsole, run_app
from tsconsole.background.operation import Background, Connection
from tsconsole.config import ConsoleConfig
from tsconsole.database import Database, Settings
from tsconsole.errors import OperationError
from tsconsole.recording.replay import Replay
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.session import Session

NEVER = 1e6
"""Seconds between two polls: the moment only changes by keys."""


class ReplayConsole(TsConsole):
    """Shows a recording."""

    def __init__(self, replay: Replay, config: ConsoleConfig | None = None, **options: Any) -> None:
        self._replay = replay
        settings = Settings(origin="a recording")
        super().__init__(
            settings, config, read_only=True, clock=replay.clock, ticks=False, **options
        )

    def first_screen(self) -> Screen[None]:
        """There is nothing to connect to."""
        return MonitorScreen(self.session)

    def _prepare(self, settings: Settings) -> None:
        self.settings, self.database = settings, cast("Database", self._replay)
        self.session = Session(
            self._replay.connection,
            Background(_nowhere, self._operation_changed, self._clock),
            read_only=True,
            interval=NEVER,
            error_limit=self.config.error_limit,
            clock=self._clock,
            ticks=False,
            server=self._replay.server(),
            replay=self._replay,
        )


def run_replay(replay: Replay, config: ConsoleConfig | None = None) -> int:
    """Show a recording until the console is left; returns the exit code."""
    return asyncio.run(run_app(ReplayConsole(replay, config)))


@asynccontextmanager
async def _nowhere() -> AsyncIterator[Connection]:
    """Nothing that changes something is offered in a recording; this is the last guard."""
    nothing: tuple[Connection, ...] = ()
    for connection in nothing:
        yield connection
    raise OperationError("This is a recording: nothing can be done in it.")
