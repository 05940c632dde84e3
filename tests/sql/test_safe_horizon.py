"""The guards of the exactness, each with its negative control: off, it loses rows; on, none."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

Connect = Callable[..., psycopg.Connection]

HORIZON_OFF = """
create or replace function tsconsole.safe_horizon(config silver.timeseries_rollup_config)
returns timestamptz language sql volatile
as 'select tsconsole.possible_horizon(config)'
"""

# xmax would do as well, unless a transaction of another session ends at the wrong moment.
CEILING_FROM_SNAPSHOT = """
create or replace function tsconsole.beat() returns xid8 language plpgsql volatile as $$
begin
    insert into tsconsole.heartbeat
    values (clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot()));
    return null;
end $$
"""

HANDED_ON_IS_CLIPPED = """
create function tsconsole.clip() returns trigger language plpgsql as $$
begin
    return case when new.lo < (select last_processed_time from silver.timeseries_rollup_config
                               where target_table = 'silver.level_1s'::regclass) then new end;
end $$;
create trigger clip before insert on tsconsole.pending_2
for each row execute function tsconsole.clip()
"""


@pytest.fixture
def source(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("create table raw.live (ts timestamptz, v integer); create index on raw.live (ts)")
    db.execute("create table raw.other (v integer)")
    db.execute("insert into raw.live values (clock_timestamp() - interval '1 minute', 0)")
    db.execute(
        "select silver.create_rollup_ladder('raw.live', '{100 milliseconds,1 second}', 'level', "
        "allowed_lateness := '100 milliseconds')"
    )
    settle(db)
    return db


def settle(db: psycopg.Connection) -> None:
    db.execute("call silver.run_rollups('raw.live')")


def differences(db: psycopg.Connection) -> int:
    row = db.execute(
        "select (select count(*) from silver.verify_rollup('silver.level_100ms')) + "
        "(select count(*) from silver.verify_rollup('silver.level_1s'))"
    ).fetchone()
    assert row is not None
    return int(row[0])


def live_differences(db: psycopg.Connection) -> int:
    row = db.execute(
        "select count(*) from ((select date_trunc('second', ts), count(*), sum(v) from raw.live "
        "group by 1 except all select ts, rollup_count, sum_v from silver.level_1s_live) union all "
        "(select ts, rollup_count, sum_v from silver.level_1s_live except all select "
        "date_trunc('second', ts), count(*), sum(v) from raw.live group by 1)) d"
    ).fetchone()
    assert row is not None
    return int(row[0])


def write_slowly(db: psycopg.Connection, writer: psycopg.Connection) -> None:
    """A row that is on time when it is inserted, and visible only after the frontier came by."""
    writer.execute("insert into raw.live values (clock_timestamp(), 1)")
    for _ in range(4):
        time.sleep(0.4)
        settle(db)
        assert live_differences(db) == 0
    writer.commit()
    settle(db)
    time.sleep(1.5)
    settle(db)


def write_until_lost(db: psycopg.Connection, connect: Connect, guarded: bool) -> None:
    """Once with the guard. Without it again where a slow machine made the row a late one."""
    for _ in range(1 if guarded else 5):
        write_slowly(db, connect(autocommit=False))
        if differences(db) > 0:
            return


@pytest.mark.parametrize("guarded", [True, False])
def test_the_frontier_stops_below_open_writers(
    source: psycopg.Connection, connect: Connect, guarded: bool
) -> None:
    if not guarded:
        source.execute(HORIZON_OFF)
    write_until_lost(source, connect, guarded)
    assert (differences(source) == 0) is guarded
    assert (live_differences(source) == 0) is guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_a_heartbeat_is_below_what_it_vouches_for(
    source: psycopg.Connection, connect: Connect, guarded: bool
) -> None:
    if not guarded:
        source.execute(CEILING_FROM_SNAPSHOT)
    # An older transaction, elsewhere, keeps the snapshot's id below the writer's.
    older = connect(autocommit=False)
    older.execute("insert into raw.other values (1)")
    write_until_lost(source, connect, guarded)
    older.rollback()
    assert (differences(source) == 0) is guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_handed_on_is_not_clipped_at_a_watermark(
    source: psycopg.Connection, connect: Connect, guarded: bool
) -> None:
    if not guarded:
        source.execute(HANDED_ON_IS_CLIPPED)
    source.execute("insert into raw.live values (clock_timestamp(), 1)")
    late = source.execute("select clock_timestamp()").fetchone()
    time.sleep(1.5)
    source.execute("call silver.run_rollups('silver.level_100ms')")
    child = connect(autocommit=False)
    outcome = child.execute("select work, outcome from silver.perform_step('silver.level_1s')")
    assert outcome.fetchone() == ("frontier", "done")
    source.execute("insert into raw.live values (%s, 7)", late)
    source.execute("call silver.run_rollups('silver.level_100ms')")
    child.commit()
    settle(source)
    time.sleep(1.2)
    settle(source)
    assert (differences(source) == 0) is guarded


def test_a_prepared_transaction_holds_the_frontier_too(
    source: psycopg.Connection, connect: Connect
) -> None:
    if source.execute("show max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("max_prepared_transactions is 0 on this server")
    writer = connect(autocommit=False)
    writer.execute("insert into raw.live values (clock_timestamp(), 1)")
    writer.execute("prepare transaction 'tsconsole_slow'")
    writer.rollback()
    time.sleep(0.8)
    settle(source)
    source.execute("commit prepared 'tsconsole_slow'")
    time.sleep(1.5)
    settle(source)
    assert differences(source) == 0


def test_health_names_the_session_that_holds_the_frontier(
    source: psycopg.Connection, connect: Connect
) -> None:
    source.execute(
        "update silver.timeseries_rollup_config set refresh_interval = '100 milliseconds', "
        "alert_threshold = '1 second'"
    )
    writer = connect(autocommit=False)
    writer.execute("insert into raw.live values (clock_timestamp(), 1)")
    # WARNING comes when the frontier is ten seconds behind, ALERT here one second later.
    source.execute("select pg_sleep(1.5)")
    settle(source)
    held = source.execute(
        "select tsconsole.holder_in_words(c) from silver.timeseries_rollup_config c "
        "where target_table = 'silver.level_100ms'::regclass"
    ).fetchone()
    assert held is not None and f"pid {writer.info.backend_pid}" in held[0]
    writer.rollback()


def test_a_year_of_lateness_is_as_long_for_the_frontier_as_for_the_triggers(
    db: psycopg.Connection,
) -> None:
    """In seconds a year has 365.25 days: the frontier must not come closer, whatever the date."""
    db.execute("create table raw.old (ts timestamptz, v integer); create index on raw.old (ts)")
    db.execute(
        "insert into raw.old select now() - i * interval '30 days', i from generate_series(1, 50) i"
    )
    for years in (1, 2, 3):
        target = f"silver.year{years}"
        db.execute(
            "select silver.create_rollup_table('raw.old', %s, '1 hour', allowed_lateness := %s)",
            [target, f"{years} years"],
        )
        db.execute("select silver.perform_rollup(%s)", [target])
        db.execute(
            "insert into raw.old select now() - %s::interval - i * interval '1 minute', 1 "
            "from generate_series(1, 1000) i",
            [f"{years} years"],
        )
        db.execute("select silver.perform_rollup(%s)", [target])
        row = db.execute("select count(*) from silver.verify_rollup(%s)", [target]).fetchone()
        assert row == (0,), target
        db.execute("select silver.drop_rollup(%s)", [target])


@pytest.mark.parametrize("zone", ["Antarctica/Troll", "Australia/Lord_Howe", "Europe/Berlin"])
def test_a_clock_that_is_put_back(db: psycopg.Connection, zone: str) -> None:
    """No reading of the clock is called past that it will show again, be it two hours later."""
    db.execute("create table raw.local (ts timestamp, v integer); create index on raw.local (ts)")
    db.execute(
        "select silver.create_rollup_table('raw.local', 'local_1h', '1 hour', timezone := %s)",
        [zone],
    )
    overtaken = db.execute(
        """
        with clock as (
            select at, at at time zone %s at time zone 'UTC' as reading,
                   tsconsole.axis_time(tsconsole.rollup('silver.local_1h'), at) as called
            from generate_series(timestamptz '2026-01-01Z', '2026-12-31Z', '10 minutes') at
        ), later as (
            select at, called, min(reading) over (
                order by at rows between 1 following and 20 following) as next_reading
            from clock
        )
        select count(*) from later where next_reading < called
        """,
        [zone],
    ).fetchone()
    assert overtaken == (0,)


def put_back(db: psycopg.Connection, seconds: int) -> None:
    """As if the clock had been that much ahead of now before, and every step had gone by it."""
    db.execute(
        "update silver.timeseries_rollup_config set last_processed_time = "
        "date_trunc('second', clock_timestamp()) + %s * interval '1 second'",
        [seconds],
    )


@pytest.mark.parametrize("by_worker", [True, False])
def test_rows_on_time_again_because_the_clock_was_put_back(
    source: psycopg.Connection, by_worker: bool
) -> None:
    def go_on() -> None:
        source.execute(
            "call silver.run_due_rollups()" if by_worker else "select silver.perform_rollup(null)"
        )

    put_back(source, 3)
    source.execute("insert into raw.live values (clock_timestamp(), 1)")
    go_on()
    assert live_differences(source) == 0
    for _ in range(20):
        source.execute("insert into raw.live values (clock_timestamp(), 1)")
        go_on()
        assert live_differences(source) == 0
        time.sleep(0.2)
    time.sleep(1.2)
    for _ in range(3):
        settle(source)
    assert live_differences(source) == differences(source) == 0
    assert source.execute("select count(*) from tsconsole.pending_1").fetchone() == (0,)


def test_a_heartbeat_of_a_clock_that_was_put_back_vouches_for_nothing(
    source: psycopg.Connection, connect: Connect
) -> None:
    """An open writer, and a heartbeat before it that the clock says is still to come."""
    source.execute(
        "insert into tsconsole.heartbeat select taken_at + interval '1 hour', ceiling "
        "from tsconsole.heartbeat order by ceiling desc limit 1"
    )
    writer = connect(autocommit=False)
    writer.execute("insert into raw.live values (clock_timestamp(), 1)")
    time.sleep(0.5)
    horizon = (
        "select tsconsole.safe_horizon(tsconsole.rollup('silver.level_100ms')) "
        "< clock_timestamp() - interval '0.5 seconds'"
    )
    assert source.execute(horizon).fetchone() == (True,)


def test_health_says_that_the_clock_was_put_back(source: psycopg.Connection) -> None:
    put_back(source, 60)
    query = "select distinct health_status, health_reason from silver.timeseries_operations_monitor"
    assert source.execute(query).fetchall() == [
        ("WARNING", "the clock was put back: nothing new before it has passed the watermark")
    ]
