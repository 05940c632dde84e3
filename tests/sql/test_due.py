"""What is due, when the next is, and the procedure that runs it for pg_cron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from .support import (
    assert_verified,
    create,
    create_ladder,
    make_readings,
    make_recent_readings,
    refuse,
    run,
    value,
    wait_until,
)

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


def run_due(db: Connection, *arguments: Any) -> list[dict[str, Any]]:
    places = ", ".join(["%s"] * len(arguments) + ["results => null"])
    row = db.execute(f"call silver.run_due_rollups({places})".encode(), arguments).fetchone()
    assert row is not None
    results: list[dict[str, Any]] = row[0]
    return results


def due(db: Connection) -> list[tuple[str, str]]:
    query = "select tsconsole.qualified_name(target_table), work from tsconsole.due_rollups()"
    return [tuple(row) for row in db.execute(query).fetchall()]


def schedule(db: Connection, target: str) -> dict[str, Any]:
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(
            "select * from silver.timeseries_schedule where target_table = %s", [target]
        ).fetchone()
    assert row is not None
    return row


def test_everything_due_is_run_bottom_up(db: Connection) -> None:
    make_recent_readings(db)
    create_ladder(db, "raw.readings", "silver.l", ["1 minute", "1 hour"])
    results = run_due(db)
    assert {one["outcome"] for one in results} == {"done"}
    assert {one["target_table"] for one in results} == {"silver.l_1m", "silver.l_1h"}
    assert due(db) == []
    assert run_due(db) == []
    for target in ("silver.l_1m", "silver.l_1h"):
        assert_verified(db, target)


def test_the_refresh_interval_is_kept(db: Connection) -> None:
    """A complete bucket waits until its rollup is due."""
    make_recent_readings(db)
    create(db, "raw.readings", "silver.often", "1 minute")
    create(db, "raw.readings", "silver.seldom", "1 minute", refresh_interval="1 hour")
    run(db)
    db.execute(
        "update silver.timeseries_rollup_config"
        " set last_processed_time = last_processed_time - interval '10 minutes'"
    )
    # The rows above the watermark are there already: an inconsistent state, made for due alone.
    assert due(db) == [("silver.often", "frontier")]
    assert schedule(db, "silver.often")["next_due"] < value(db, "select now()")
    assert schedule(db, "silver.seldom")["due_work"] == []
    wait = value(
        db,
        "select next_due - now() from silver.timeseries_schedule"
        " where target_table = 'silver.seldom'",
    )
    assert 45 * 60 < wait.total_seconds() < 60 * 60


def test_next_due_is_when_it_becomes_due(db: Connection) -> None:
    """At the very moment, and no earlier."""
    db.execute("create table raw.ticks (ts timestamptz, v int)")
    db.execute("create index on raw.ticks (ts)")
    db.execute(
        "insert into raw.ticks select now() - i * interval '1 s', i from generate_series(1, 60) i"
    )
    create(db, "raw.ticks", "silver.t", "1 second", allowed_lateness="1 second")
    run(db)
    look = (
        "select (select count(*) from tsconsole.due_rollups()),"
        " extract(epoch from tsconsole.next_due(c) - clock_timestamp())::float8"
        " from silver.timeseries_rollup_config as c"
    )
    early = wait_until(lambda: [row[1] for row in db.execute(look) if row[0] > 0])
    assert -0.2 < early[0] <= 0.005
    run(db)
    assert value(db, "select coalesce(tsconsole.seconds_to_next(), 0) <= 1.1") is True


def test_an_upper_level_is_due_after_the_lateness_of_the_source(db: Connection) -> None:
    make_recent_readings(db)
    create_ladder(
        db, "raw.readings", "silver.l", ["1 minute", "5 minutes"], allowed_lateness="7 minutes"
    )
    # What it says of its own is of no account: its source is a rollup.
    db.execute(
        "update silver.timeseries_rollup_config set allowed_lateness = '0'"
        " where target_table = 'silver.l_5m'::regclass"
    )
    run(db)
    waits = (
        "select tsconsole.next_due(c) - c.last_processed_time - interval '5 minutes'"
        " from silver.timeseries_rollup_config as c"
        " where c.target_table = 'silver.l_5m'::regclass"
    )
    assert 0 <= value(db, waits).total_seconds() - 7 * 60 < 1


@pytest.mark.parametrize(
    ("time_type", "bucket"),
    [
        ("timestamptz", "1 minute"),
        ("timestamptz", "1 month"),
        ("timestamp", "15 minutes"),
        ("timestamp", "1 day"),
        ("date", "1 day"),
        ("date", "1 month"),
    ],
)
def test_the_pause_lasts_until_the_first_next_due(
    db: Connection, time_type: str, bucket: str
) -> None:
    """Both are computed apart, since the worker asks between steps."""
    db.execute(f"create table raw.ticks (ts {time_type}, v int)".encode())
    db.execute("create index on raw.ticks (ts)")
    db.execute(
        "insert into raw.ticks select now() - i * interval '1 day', i from generate_series(0, 70) i"
    )
    create(
        db,
        "raw.ticks",
        "silver.t",
        bucket,
        timezone="Australia/Sydney",
        allowed_lateness="2 minutes",
    )
    run(db)
    apart = (
        "select tsconsole.seconds_to_next()"
        " - extract(epoch from min(tsconsole.next_due(c)) - clock_timestamp())::float8"
        " from silver.timeseries_rollup_config as c"
        " where tsconsole.next_due(c) > clock_timestamp()"
    )
    assert value(db, apart) == pytest.approx(0, abs=0.5)


def test_a_paused_rollup_is_not_due(db: Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "silver.p", "1 minute")
    db.execute("select silver.pause_rollup('silver.p')")
    assert due(db) == []
    assert run_due(db) == []
    row = schedule(db, "silver.p")
    assert (row["is_active"], row["next_due"], row["due_work"]) == (False, None, [])


def test_backfills_take_turns(db: Connection) -> None:
    """The rollup whose past was worked on longest ago comes first."""
    make_readings(db, 3000)
    for name in ("a", "b"):
        create(db, "raw.readings", f"silver.{name}", "1 hour", processing_window="10 hours")
    run_due(db)
    order = [
        row[0]
        for row in db.execute(
            "select table_name from silver.timeseries_refresh_log where work = 'history'"
            " order by id limit 6"
        ).fetchall()
    ]
    assert order in (["silver.a", "silver.b"] * 3, ["silver.b", "silver.a"] * 3)


def test_a_failure_is_raised_at_the_end(db: Connection) -> None:
    """What is well is run all the same, and the failing rollup waits."""
    make_recent_readings(db)
    create(db, "raw.readings", "silver.well", "1 minute")
    db.execute(
        "create view raw.broken as select ts, 1 / (temperature - temperature)::int as x"
        " from raw.readings"
    )
    create(db, "raw.broken", "silver.broken", "1 minute", look_back_window="1 hour")
    with pytest.raises(psycopg.Error) as failure:
        run_due(db)
    assert failure.value.sqlstate == "TS008"
    assert_verified(db, "silver.well")
    assert all(target != "silver.broken" for target, _ in due(db))
    assert schedule(db, "silver.broken")["next_retry_time"] is not None


@pytest.mark.parametrize("wrong", ["0", "-1 second", None])
def test_a_duration_of_zero_is_refused(db: Connection, wrong: str | None) -> None:
    said = refuse(
        db, "call silver.run_due_rollups(%s, true, null)", [wrong], "TS001", "max_duration is"
    )
    assert "50 seconds" in (said.message_hint or "")


def test_it_begins_nothing_after_its_time(db: Connection) -> None:
    make_readings(db, 3000)
    create(db, "raw.readings", "silver.a", "1 hour", processing_window="1 hour")
    assert len(run_due(db, "1 microsecond")) <= 1
    # By then its time is over before the first step.
    assert run_due(db, "1 microsecond") == []
    assert due(db) == [("silver.a", "history")]


@pytest.mark.parametrize(
    "statement",
    [
        "select silver.create_rollup_table('raw.readings', 'silver.other', '1 hour')",
        "select silver.resume_rollup('silver.a')",
        "select silver.retry_rollup('silver.a')",
        "select silver.invalidate('silver.a', now() - interval '1 hour', now())",
        "select silver.alter_rollup('silver.a', refresh_interval => '2 minutes')",
    ],
)
def test_workers_are_told_of_work(db: Connection, connect: Connect, statement: str) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "silver.a", "1 minute")
    listener = connect()
    listener.execute("listen tsconsole")
    run(db)
    assert not list(listener.notifies(timeout=0.1, stop_after=1)), "a step announces nothing"
    db.execute(statement.encode())
    assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
