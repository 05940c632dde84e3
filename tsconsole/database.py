"""Connections: how to make one, a pool of them, and when to try again."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from tsconsole.errors import (
    ConnectionLost,
    OperationError,
    TsconsoleError,
    explain,
    explain_connection,
)
from tsconsole.recording.recorder import Recorder
from tsconsole.statements import StatementLog, logging_cursor

APPLICATION_NAME = "tsconsole"
LOOK = 0.2
"""Seconds between two looks whether the first connection has failed."""
PASSWORD_SECONDS = 30.0
"""How long a password command may take."""

ALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30000,
}
"""A server that vanishes without a word is noticed within a minute, not within two hours."""

# What psycopg warns of while a connection breaks is reported by the error that follows; without a
# handler Python would write it into the middle of the console.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Settings:
    """How to connect; an empty DSN leaves everything to libpq's environment."""

    dsn: str = ""
    origin: str = "the environment"
    profile: str | None = None
    password_command: str | None = None
    connect_timeout: float = 10.0
    statement_timeout: float | None = None
    """Seconds that one statement may take; None leaves the role's own setting."""
    read_only: bool = False
    renew: Callable[[], Settings] | None = field(default=None, compare=False, repr=False)
    """Reads these settings anew, where they come from a file: asked for every new connection,
    because a password may have been changed meanwhile."""
    application_name: str = APPLICATION_NAME

    @property
    def target(self) -> str:
        """Where this connects to, as far as it is said, without the password."""
        given = conninfo_to_dict(self.dsn)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
        parts = {
            name: str(given.get(name) or os.environ.get(variable) or "")
            for name, variable in names.items()
        }
        service = given.get("service") or os.environ.get("PGSERVICE")
        place = parts["host"] or (f"service {service}" if service else "the local socket")
        place += f":{parts['port']}" if parts["port"] else ""
        database = f"{parts['dbname']} at " if parts["dbname"] else ""
        user = f" as {parts['user']}" if parts["user"] else ""
        return f"{database}{place}{user}"


async def connect_once(
    settings: Settings, statements: StatementLog | None = None
) -> psycopg.AsyncConnection[Any]:
    """One autocommit connection, or a `ConnectionLost` that says why there is none."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            await conninfo_of(settings), autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        raise explain_connection(error, settings.target) from error
    if statements is not None:
        connection.cursor_factory = logging_cursor(statements, is_poll=False)
    try:
        await _configure(connection, settings)
    except psycopg.Error as error:
        await connection.close()
        raise explain(error) from error
    return connection


@asynccontextmanager
async def connected(
    settings: Settings, statements: StatementLog | None = None
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """One connection for the length of a block; a log, if given, gets what it sends."""
    connection = await connect_once(settings, statements)
    try:
        yield connection
    finally:
        await connection.close()


class Database:
    """A pool of autocommit connections; a broken one is replaced at the next use."""

    def __init__(
        self,
        settings: Settings,
        min_size: int = 1,
        max_size: int = 4,
        statements: StatementLog | None = None,
        tape: Recorder | None = None,
    ) -> None:
        self.settings = settings
        self._tape = tape
        self._statements = statements
        self._has_connected = False
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            self._conninfo_now,
            # No prepared statements: behind a pooler the next statement may meet another server
            # session.
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=min_size,
            max_size=max_size,
            open=False,
            configure=self._configure,
            check=_still_open,
            reconnect_timeout=5.0,
            name=APPLICATION_NAME,
        )

    async def open(self) -> None:
        """Start the pool; it connects in the background and does not fail here."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection; one that is busy is closed when it comes back."""
        await self._pool.close(timeout=2.0)

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(
        self, timeout: float | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection for the length of a block; `ConnectionLost` says why there is none."""
        try:
            connection = await self._get(timeout or self.settings.connect_timeout)
        except PoolTimeout:
            reason = await self._why_not()
            if self._tape is not None:
                self._tape.note("connect", (), reason)
            raise reason from None
        except PoolClosed as error:
            raise ConnectionLost("The connection to the database has been closed.") from error
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)

    async def _get(self, timeout: float) -> psycopg.AsyncConnection[Any]:
        """A connection of the pool. The pool tries again and again and says nothing until the time
        is over: to a server that has never answered, its first failure is news enough."""
        end = monotonic() + timeout
        while True:
            left = end - monotonic()
            try:
                return await self._pool.getconn(left if self._has_connected else min(left, LOOK))
            except PoolTimeout:
                if left <= LOOK or self._pool.get_stats().get("connections_errors"):
                    raise

    async def _why_not(self) -> OperationError:
        """The pool only says that it waited: try once more to learn the reason."""
        try:
            connection = await connect_once(self.settings)
        except OperationError as error:
            return error
        await connection.close()
        return OperationError(
            "Every connection of this program is busy.", "Wait for a running operation to end."
        )

    async def _conninfo_now(self) -> str:
        return await conninfo_of(self.settings)

    async def _configure(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._has_connected = True
        if self._tape is not None:
            # Operations get a connection and nothing else: what records them travels with it.
            connection.tape = self._tape  # type: ignore[attr-defined]
        if self._statements is not None:
            connection.cursor_factory = logging_cursor(self._statements, is_poll=True)
        await _configure(connection, self.settings)


class Backoff:
    """Seconds to wait before each next try: doubling up to a limit, with jitter."""

    def __init__(self, first: float = 0.5, limit: float = 15.0) -> None:
        self._first, self._limit = first, limit
        self._next = first

    def next_delay(self) -> float:
        """How long to wait now."""
        delay, self._next = self._next, min(self._next * 2, self._limit)
        # Many consoles lose one server together; they should not all return together.
        return delay * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        """The try succeeded: begin again with the shortest wait."""
        self._next = self._first


async def conninfo_of(settings: Settings) -> str:
    """The DSN as libpq gets it, with a fresh password when a command makes them."""
    settings = _renewed(settings)
    given = conninfo_to_dict(settings.dsn)
    defaults: dict[str, Any] = {"application_name": settings.application_name} | ALIVE
    if "PGCONNECT_TIMEOUT" not in os.environ:
        # libpq counts whole seconds and takes 1 for 2.
        defaults["connect_timeout"] = max(2, round(settings.connect_timeout))
    extra = {name: value for name, value in defaults.items() if name not in given}
    if settings.password_command:
        extra["password"] = await _password(settings.password_command)
    return make_conninfo(settings.dsn, **extra)


def _renewed(settings: Settings) -> Settings:
    """The settings as their file has them now; as they were when it cannot be read."""
    if settings.renew is None:
        return settings
    with suppress(TsconsoleError, LookupError):
        renewed = settings.renew()
        # Another server under the same name is no password that was changed.
        if renewed.target == settings.target:
            return renewed
    return settings


async def _password(command: str) -> str:
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PASSWORD_SECONDS)
    except asyncio.TimeoutError:
        raise ConnectionLost(
            f"The password command has printed nothing for {PASSWORD_SECONDS:g} seconds.",
            "Run the profile's password_command by hand and see what it waits for.",
        ) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    password = output.decode(errors="replace").strip()
    if process.returncode != 0 or not password:
        last = (errors.decode(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
        raise ConnectionLost(
            f"The password command ended with {process.returncode}: {last}",
            "Run the profile's password_command by hand and see what it prints.",
        )
    return password


async def _still_open(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise when the server has ended the session: its farewell has come by now. To ask the server
    would cost every refresh a second round trip, and one that hangs would not answer that either.
    """
    for _ in range(2):  # The last message is read first, and only then the end.
        connection.pgconn.consume_input()


async def _configure(connection: psycopg.AsyncConnection[Any], settings: Settings) -> None:
    """Session settings, as one statement: startup options would not pass a pooler."""
    wanted = {"intervalstyle": "postgres", "datestyle": "ISO, YMD"}
    if settings.statement_timeout is not None:
        wanted["statement_timeout"] = str(max(1, round(settings.statement_timeout * 1000)))
    if settings.read_only:
        wanted["default_transaction_read_only"] = "on"
    await connection.execute(
        "select set_config(name, value, false)"
        " from unnest(%s::text[], %s::text[]) as setting (name, value)",
        [list(wanted), list(wanted.values())],
    )
