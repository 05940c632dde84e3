"""What a database has, and what the first screen shows: asked while the console is still imported.

It knows no widgets. Who starts the console waits for imports and for the server at the same time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from tsconsole import installer, operations
from tsconsole.database import Database, Settings
from tsconsole.errors import TsconsoleError
from tsconsole.models import Extension, InstallPlan, MonitorSnapshot, SchemaState, ServerInfo
from tsconsole.operations.calls import Connection
from tsconsole.presentation.activity import KEPT
from tsconsole.recording.recorder import Recorder
from tsconsole.statements import StatementLog

PATIENCE = 0.1
"""Seconds that the console waits for the rest once it could draw; then it says that it connects."""
POLL_TIMEOUT = 4.0
"""Seconds that a refresh waits for a connection before it calls the server lost."""


Seen = tuple[ServerInfo, MonitorSnapshot]


@dataclass(frozen=True)
class Findings:
    """What a database has."""

    server: ServerInfo
    plan: InstallPlan
    extensions: tuple[Extension, ...]


async def look_around(connection: Connection) -> Findings:
    """See what a database has."""
    server = await operations.server_info(connection)
    plan = await installer.plan(connection)
    # Only the installation shows them, and every query makes the start longer.
    is_current = plan.state is SchemaState.CURRENT
    extensions = [] if is_current else await operations.extensions(connection)
    return Findings(server, plan, tuple(extensions))


class Start:
    """The connections of a console, and a first look at the database before there is a screen."""

    def __init__(self, settings: Settings, tape: Recorder | None = None) -> None:
        self.statements = StatementLog()
        self.database = Database(settings, max_size=2, statements=self.statements, tape=tape)
        self._looking: asyncio.Future[Seen | None] | None = None

    def look(self, error_limit: int) -> None:
        """Begin to look."""
        self._looking = asyncio.ensure_future(self._look(error_limit))

    async def seen(self) -> Seen | None:
        """The server and its rollups; None when nobody looked, when that takes too long, or when
        there is more to say: the screen that connects finds out itself what is wrong."""
        if self._looking is not None:
            with suppress(asyncio.TimeoutError, TsconsoleError):
                return await asyncio.wait_for(self._looking, PATIENCE)
        return None

    async def _look(self, error_limit: int) -> Seen | None:
        await self.database.open()
        async with self.database.connection(POLL_TIMEOUT) as connection:
            found = await look_around(connection)
            if found.plan.state is not SchemaState.CURRENT:
                return None
            snapshot = await operations.monitor_snapshot(
                connection, error_limit=error_limit, activity_minutes=KEPT
            )
        return found.server, snapshot
