"""Scheduling from the command line and the operations, on servers without pg_cron and with it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.support import CommandLine, make_readings
from tsconsole import operations
from tsconsole.errors import OperationError

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], database: str) -> CommandLine:
    return CommandLine(capsys, database)


@pytest.fixture
def hourly(db: psycopg.Connection) -> psycopg.Connection:
    make_readings(db)
    db.execute("select silver.create_rollup_table('raw.readings', 'x_1h', '1 hour')")
    db.execute("call silver.run_rollups()")
    return db


def has_cron(db: psycopg.Connection) -> bool:
    query = "select exists (select from pg_available_extensions where name = 'pg_cron')"
    return bool(db.execute(query).fetchone()[0])


def test_schedule_says_what_is_due(cli: CommandLine, hourly: psycopg.Connection) -> None:
    ended = cli("schedule")
    assert ended.code == 0, ended
    assert "silver.x_1h" in ended.out and "No worker is running." in ended.out
    told = json.loads(cli("schedule", "--json").out)
    assert told["cron"] in ("elsewhere", "absent")
    assert told["rollups"][0]["due_work"] == []
    assert told["rollups"][0]["next_due"] > told["database_time"]


def test_schedule_of_nothing(cli: CommandLine) -> None:
    assert "There are no rollups yet" in cli("schedule").out


def test_a_server_without_pg_cron_says_what_to_do(
    cli: CommandLine, hourly: psycopg.Connection
) -> None:
    if has_cron(hourly):
        pytest.skip("this server has pg_cron")
    for arguments in (["--pg-cron"], ["--remove"]):
        ended = cli("schedule", *arguments)
        assert ended.code == 2
        assert "pg_cron is not installed on this server" in ended.err
        assert "tsconsole worker" in ended.err


def test_pg_cron_elsewhere_gives_statements(cli: CommandLine, hourly: psycopg.Connection) -> None:
    if not has_cron(hourly):
        pytest.skip("this server has no pg_cron")
    ended = cli("schedule", "--pg-cron", "--maintenance-every", "30m")
    assert ended.code == 0, ended
    assert ended.out.count("select cron.schedule_in_database('tsconsole ") == 3
    assert "*/30 * * * *" in ended.out and "show cron.database_name" in ended.err
    assert hourly.info.dbname in ended.out
    removal = cli("schedule", "--remove")
    assert removal.out.count("select cron.unschedule(jobid)") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pg-cron", "--remove"], "exclude each other"),
        (["--rollups-every", "5m"], "The intervals belong to --pg-cron."),
        (["--pg-cron", "--cron-dsn", "nonsense"], "--cron-dsn is not a DSN"),
    ],
)
def test_bad_input(
    cli: CommandLine, hourly: psycopg.Connection, arguments: list[str], message: str
) -> None:
    if "--cron-dsn" in arguments and not has_cron(hourly):
        pytest.skip("this server has no pg_cron")
    ended = cli("schedule", *arguments)
    assert ended.code == 2 and message in ended.err, ended
    assert ended.out == ""


@pytest.mark.parametrize(
    ("every", "seconds", "expected"),
    [
        ("10 seconds", True, "10 seconds"),
        ("10 seconds", False, "* * * * *"),
        ("1 minute", True, "* * * * *"),
        ("15 minutes", False, "*/15 * * * *"),
        ("1 hour", False, "0 * * * *"),
        ("6 hours", False, "0 */6 * * *"),
        ("1 day", False, "0 0 * * *"),
        ("0", True, None),
        ("-1 minute", True, None),
        ("0.5 seconds", True, None),
        ("90 seconds", True, None),
        ("7 minutes", False, None),
        ("5 hours", False, None),
        ("2 days", False, None),
        ("1 month", False, None),
        (None, True, None),
    ],
)
def test_intervals_as_cron_writes_them(
    db: psycopg.Connection, every: str | None, seconds: bool, expected: str | None
) -> None:
    query = "select tsconsole.cron_schedule('rollups_every', %s::interval, %s)"
    if expected is not None:
        assert db.execute(query, [every, seconds]).fetchone() == (expected,)
        return
    with pytest.raises(psycopg.Error) as caught:
        db.execute(query, [every, seconds])
    assert caught.value.sqlstate == "TS001"
    assert "rollups_every is" in (caught.value.diag.message_primary or "")
    assert caught.value.diag.message_hint


def test_the_shortest_refresh_interval_decides(hourly: psycopg.Connection) -> None:
    """Between 10 seconds and a minute; without a rollup, a minute."""
    query = (
        "select schedule from tsconsole.cron_jobs_wanted(null, '1 minute', '5 minutes', '7 days')"
        " where name like 'tsconsole rollups%'"
    )
    assert hourly.execute(query).fetchone() == ("* * * * *",)
    statement = hourly.execute(query.replace("schedule", "statement", 1)).fetchone()[0]
    assert f"'{hourly.info.dbname}', username => '{hourly.info.user}');" in statement
    with pytest.raises(psycopg.Error) as caught:
        hourly.execute(query.replace("'7 days'", "'0'"))
    assert "keep_run_details" in str(caught.value)


async def test_operations(adb: Connection, hourly: psycopg.Connection) -> None:
    snapshot = await operations.schedule_snapshot(adb)
    assert [one.target_table for one in snapshot.rollups] == ["silver.x_1h"]
    assert snapshot.workers == () and snapshot.cron_jobs == () and snapshot.cron_runs == ()
    assert await operations.schedule(adb) == list(snapshot.rollups)
    await operations.set_refresh_interval(adb, "silver.x_1h", "5m")
    [rollup] = await operations.schedule(adb)
    assert rollup.refresh_interval == "00:05:00"
    assert rollup.next_due is not None
    assert rollup.next_due - snapshot.database_time < timedelta(hours=1, minutes=1)
    with pytest.raises(OperationError) as caught:
        await operations.set_refresh_interval(adb, "silver.x_1h", "0")
    assert caught.value.sqlstate == "TS001" and caught.value.hint
    names = await operations.job_names(adb)
    assert len(names) == 4 and all("tsconsole" in name for name in names)


async def test_workers_are_listed(adb: Connection) -> None:
    """A dead worker is told from a living one by its heartbeat."""
    await adb.execute(
        "insert into tsconsole.worker (name, host, pid, version, jobs, seen_at)"
        " values ('w', 'h', 1, '0', 2, now()), ('v', 'h', 2, '0', 2, now() - interval '1 minute')"
    )
    snapshot = await operations.schedule_snapshot(adb)
    alive = [worker.is_alive(snapshot.database_time) for worker in snapshot.workers]
    assert alive == [True, False]
