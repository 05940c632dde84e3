"""A real pg_cron: our jobs are made, run the rollups, are brought up to date, and go.

The tests need the server of CI.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support import CommandLine

from .support import assert_verified, create, make_recent_readings, refuse, value

Connection = psycopg.Connection[Any]

# They wait for one another, and for pg_cron's minutes.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def home(cron_home: str) -> Iterator[Connection]:
    """A connection to the database in which pg_cron lives, with the core."""
    with psycopg.connect(cron_home, autocommit=True) as connection:
        yield connection


def scheduled(db: Connection, *arguments: Any) -> dict[str, tuple[str, str]]:
    """Outcome and schedule of each kind of job."""
    places = ", ".join(["%s::interval"] * len(arguments))
    query = f"select job_name, outcome, schedule from silver.schedule_jobs({places})"
    rows = db.execute(query.encode(), arguments).fetchall()
    return {name.split()[1]: (outcome, schedule) for name, outcome, schedule in rows}


def test_jobs_are_made_once_and_kept_up_to_date(home: Connection) -> None:
    assert scheduled(home) == {
        "rollups": ("created", "* * * * *"),
        "retries": ("created", "* * * * *"),
        "maintenance": ("created", "*/5 * * * *"),
        "pruning": ("created", "17 3 * * *"),
    }
    jobs = "select jobname, schedule, command, database, username, active from cron.job order by 1"
    before = home.execute(jobs).fetchall()
    assert len(before) == 4
    assert {row[3:] for row in before} == {("postgres", home.info.user, True)}
    assert {outcome for outcome, _ in scheduled(home).values()} == {"unchanged"}
    assert home.execute(jobs).fetchall() == before
    changed = scheduled(home, "15 minutes", "1 minute", "1 hour", "1 day")
    assert changed["rollups"] == ("updated", "*/15 * * * *")
    assert changed["retries"][0] == "unchanged"
    assert changed["maintenance"] == ("updated", "0 * * * *")
    assert changed["pruning"][0] == "updated"
    assert value(home, "select count(*) from cron.job") == 4
    removed = home.execute("select outcome from silver.unschedule_jobs()").fetchall()
    assert removed == [("removed",)] * 4
    assert value(home, "select count(*) from cron.job") == 0
    assert (
        home.execute("select outcome from silver.unschedule_jobs()").fetchall() == [("absent",)] * 4
    )


def test_a_schedule_of_zero_changes_nothing(home: Connection) -> None:
    scheduled(home)
    jobs = home.execute("select * from cron.job").fetchall()
    refuse(home, "select silver.schedule_jobs('0')", None, "TS001", "rollups_every is 00:00:00")
    refuse(
        home,
        "select silver.schedule_jobs(maintenance_every => '7 minutes')",
        None,
        "TS001",
        "a cron schedule cannot express",
    )
    assert home.execute("select * from cron.job").fetchall() == jobs


def test_seconds_where_pg_cron_knows_them(home: Connection) -> None:
    """Debian's 1.4 knows minutes only: then a minute."""
    knows = value(home, "select tsconsole.cron_knows_seconds()")
    version = value(home, "select extversion from pg_extension where extname = 'pg_cron'")
    assert knows == (tuple(int(n) for n in version.split("-")[0].split(".")) >= (1, 5))
    assert scheduled(home, "10 seconds")["rollups"] == (
        "created",
        "10 seconds" if knows else "* * * * *",
    )


def test_from_another_database(
    dsn: str, home: Connection, db: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tsconsole schedule --cron-dsn` makes the jobs where pg_cron lives."""
    if not value(
        home,
        "select has_function_privilege("
        "'cron.schedule_in_database(text, text, text, text, text, boolean)', 'execute')",
    ):
        pytest.skip("the role may not call cron.schedule_in_database")
    cli = CommandLine(capsys, make_conninfo(dsn, dbname=db.info.dbname))
    there = make_conninfo(dsn, dbname="postgres")
    for outcome in ("created", "unchanged"):
        ended = cli("schedule", "--cron-dsn", there)
        assert ended.code == 0 and ended.out.count(outcome) == 4, ended
    ended = cli("schedule", "--cron-dsn", there, "--rollups-every", "5m")
    assert ended.out.count("updated") == 1 and "*/5 * * * *" in ended.out, ended
    databases = "select database, count(*) from cron.job group by 1 order by count(*)"
    assert home.execute(databases).fetchall() == [("postgres", 1), (db.info.dbname, 3)]
    ended = cli("schedule", "--remove", "--cron-dsn", there)
    assert ended.code == 0 and ended.out.count("removed") == 4, ended
    assert value(home, "select count(*) from cron.job") == 0


def test_a_minute_of_real_schedule(home: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody but pg_cron runs anything, and the rollup fills, advances, and is exact."""
    make_recent_readings(home)
    create(home, "raw.readings", "silver.r", "1 minute", allowed_lateness="0")
    scheduled(home, "1 minute", "1 minute", "1 minute")
    watermark = "select last_processed_time from silver.timeseries_rollup_config"
    # When pg_cron starts, at the full minute, the last bucket may lack some milliseconds.
    filled = (
        "select last_processed_time > (select max(ts) from raw.readings)"
        " and not exists (select from tsconsole.due_rollups() where work <> 'frontier')"
        " from silver.timeseries_rollup_config"
    )
    wait(home, lambda: value(home, filled))
    first = value(home, watermark)
    home.execute("insert into raw.readings select now(), 'd9', 0, 7, 7")
    wait(home, lambda: value(home, watermark) > first)
    wait(home, lambda: runs(home) >= {"rollups", "retries", "maintenance"})
    assert_verified(home, "silver.r")
    # Jobs of other tests that were unscheduled while they ran are no longer there.
    messages = (
        "select status, return_message from cron.job_run_details"
        " join cron.job using (jobid) where status = 'failed'"
    )
    assert home.execute(messages).fetchall() == []
    cli = CommandLine(capsys, make_conninfo(home.info.dsn, dbname="postgres"))
    shown = cli("schedule")
    assert "tsconsole rollups in postgres" in shown.out and "succeeded" in shown.out, shown


def runs(db: Connection) -> set[str]:
    """The kinds of job that have succeeded."""
    query = (
        "select distinct split_part(j.jobname, ' ', 2) from cron.job_run_details"
        " join cron.job as j using (jobid) where status = 'succeeded'"
    )
    return {row[0] for row in db.execute(query).fetchall()}


def wait(db: Connection, holds: Any, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        details = db.execute("select * from cron.job_run_details").fetchall()
        assert time.monotonic() < deadline, details
        time.sleep(0.5)
