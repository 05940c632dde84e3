"""Connections: settings, read-only, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import Wire, missing

from tsconsole.config import load_config, settings_for
from tsconsole.database import Backoff, Database, Settings, connect_once, connected, conninfo_of
from tsconsole.errors import ConnectionLost, OperationError
from tsconsole.operations import server_info


async def ask(database: Database, timeout: float = 1.0) -> int:
    async with database.connection(timeout) as connection:
        return (await server_info(connection)).backend_pid


async def test_the_session_is_set_up(dsn: str) -> None:
    async with connected(Settings(dsn, statement_timeout=2.5)) as connection:
        cursor = await connection.execute(
            "select current_setting('application_name'), current_setting('intervalstyle'),"
            " current_setting('statement_timeout')"
        )
        assert await cursor.fetchone() == ("tsconsole", "postgres", "2500ms")
        assert connection.autocommit


async def test_read_only_refuses_to_write(database: str) -> None:
    async with Database(Settings(database, read_only=True)) as pool:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with pool.connection() as connection:
                await connection.execute("create table public.x ()")
        assert await ask(pool)


async def test_a_pool_survives_a_cancelled_query(dsn: str) -> None:
    async with Database(Settings(dsn), max_size=1) as pool:

        async def sleep() -> None:
            async with pool.connection() as connection:
                await connection.execute("select pg_sleep(30)")

        task = asyncio.create_task(sleep())
        await asyncio.sleep(0.3)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ask(pool)
        assert time.monotonic() - started < 5


async def test_a_pool_survives_an_ended_session(dsn: str) -> None:
    async with Database(Settings(dsn), max_size=1) as pool, connected(Settings(dsn)) as killer:
        first = await ask(pool)
        await killer.execute("select pg_terminate_backend(%s, 5000)", [first])
        assert await ask(pool, 5) != first


async def test_a_server_that_goes_away_and_comes_back(dsn: str) -> None:
    wire = Wire(dsn)
    settings = Settings(make_conninfo(dsn, host="127.0.0.1", port=wire.port))
    async with Database(settings, max_size=2) as pool:
        try:
            assert await ask(pool, 5)
        except ConnectionLost:
            missing("the server takes no password-less TCP connections")
        wire.cut()
        with pytest.raises(ConnectionLost, match=r"Cannot connect to .* at 127\.0\.0\.1") as caught:
            await ask(pool)
        assert "server runs" in (caught.value.hint or "")
        await asyncio.sleep(6)  # Longer than the pool itself goes on trying.
        with pytest.raises(ConnectionLost):
            await ask(pool)
        wire.mend()
        assert await ask(pool, 5)


async def test_a_server_that_was_never_there() -> None:
    settings = Settings("host=127.0.0.1 port=1 dbname=iot")
    with pytest.raises(ConnectionLost, match=r"Cannot connect to iot at 127\.0\.0\.1:1"):
        await connect_once(settings)
    async with Database(settings) as pool:
        with pytest.raises(ConnectionLost, match=r"Cannot connect to iot at 127\.0\.0\.1:1"):
            await ask(pool, 0.3)


async def test_a_server_that_refuses_is_not_waited_for() -> None:
    async with Database(Settings("host=127.0.0.1 port=1")) as database:
        begin = time.monotonic()
        with pytest.raises(ConnectionLost, match="refused"):
            await ask(database, timeout=10.0)
        assert time.monotonic() - begin < 5.0


async def test_no_connection_is_free(dsn: str) -> None:
    async with Database(Settings(dsn), max_size=1) as pool, pool.connection():
        with pytest.raises(OperationError, match="Every connection of this program is busy"):
            await ask(pool, 0.3)


async def test_a_closed_pool(dsn: str) -> None:
    pool = Database(Settings(dsn))
    await pool.open()
    await pool.close()
    with pytest.raises(ConnectionLost, match="has been closed"):
        await ask(pool)


def test_backoff_doubles_up_to_its_limit_and_begins_again() -> None:
    backoff = Backoff(first=1, limit=4)
    delays = [backoff.next_delay() for _ in range(5)]
    for delay, expected in zip(delays, [1, 2, 4, 4, 4], strict=True):
        assert expected * 0.8 <= delay <= expected * 1.2
    backoff.reset()
    assert backoff.next_delay() <= 1.2


async def test_a_changed_password_is_used_for_the_next_connection(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[profiles.p]\ndsn = "host=a password=old"\n')
    settings = settings_for(load_config(file), profile="p")
    file.write_text('[profiles.p]\ndsn = "host=a password=new"\n')
    assert conninfo_to_dict(await conninfo_of(settings))["password"] == "new"
    for text in ('[profiles.p]\ndsn = "host=b password=new"\n', "[profiles]\n", "not TOML"):
        # Another server, or no profile any more: it stays with what it was started with.
        file.write_text(text)
        found = conninfo_to_dict(await conninfo_of(settings))
        assert (found["host"], found["password"]) == ("a", "old")


async def test_a_silent_server_is_noticed_unless_the_dsn_says_otherwise() -> None:
    found = conninfo_to_dict(await conninfo_of(Settings("host=a keepalives_idle=7")))
    assert found["keepalives_idle"] == "7"
    assert found["tcp_user_timeout"] == "30000" and found["connect_timeout"] == "10"


async def test_a_password_command_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsconsole.database.PASSWORD_SECONDS", 1.0)
    file = tmp_path / "pid"
    command = f"sleep 60 & echo $! > {file}; wait"
    with pytest.raises(ConnectionLost, match="printed nothing for 1 seconds"):
        await conninfo_of(Settings(password_command=command))
    deadline = time.monotonic() + 10
    while is_running(int(file.read_text())):
        assert time.monotonic() < deadline, "what the command had started goes on"
        await asyncio.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether this process is there, other than as a zombie that nobody has asked for yet."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    return False
