"""More partitions than the server can lock at once: refused before it fails, or done in parts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from sql.partition_support import Connection, at, ensure, make_rollup, ranges
from sql.support import value


def limit_locks(db: Connection, room: int) -> None:
    """Make the core believe that the server can lock this much; making it so takes a restart."""
    db.execute(
        "create or replace function tsconsole.lock_room() returns bigint language sql volatile"
        f" set search_path = pg_catalog, pg_temp as 'select {room}::bigint'"
    )


@pytest.fixture
def many(db: Connection) -> Connection:
    """A rollup with 120 partitions, some of them with rows, on a server that has room for few."""
    number = make_rollup(db)
    ensure(db, number, at(1), at(1) + timedelta(days=120))
    db.execute(
        "insert into silver.m_1h (ts, device, rollup_count)"
        " select timestamptz '2026-03-03Z' + i * interval '1 day', 'a', 1"
        " from generate_series(1, 5) i"
    )
    limit_locks(db, 400)
    return db


def test_drop_that_cannot_succeed_is_refused(many: Connection) -> None:
    with pytest.raises(psycopg.Error) as refused:
        many.execute("select silver.drop_rollup('silver.m_1h')")
    assert refused.value.sqlstate == "TS004"
    said = str(refused.value)
    assert "dropping silver.m_1h with its partitions takes some" in said
    assert "and the server has room for 400" in said
    assert "call silver.drop_large_rollup('silver.m_1h');" in said
    assert "max_locks_per_transaction to" in said
    assert value(many, "select count(*) from silver.timeseries_rollup_config") == 1
    # The rows stay: no partition is locked.
    many.execute("select silver.drop_rollup('silver.m_1h', keep_data := true)")
    assert len(ranges(many)) == 120


def test_a_large_rollup_is_dropped_in_parts(many: Connection) -> None:
    [[before]] = many.execute("select tsconsole.drop_locks('silver.m_1h')").fetchall()
    left = value(many, "select tsconsole.drop_some_partitions('silver.m_1h')")
    assert before > 400 and 100 < left == len(ranges(many)) < 120
    # Interrupted here: paused, and what is gone counts as retained.
    [state] = many.execute(
        "select is_active, retained_from from silver.timeseries_rollup_config"
    ).fetchall()
    assert state == (False, ranges(many)[0][0])
    many.execute("call silver.drop_large_rollup('silver.m_1h')")
    assert value(many, "select to_regclass('silver.m_1h')") is None
    assert value(many, "select count(*) from silver.timeseries_rollup_config") == 0
    assert value(many, "select count(*) from pg_class where relname like 'm\\_1h%'") == 0


def test_a_target_that_is_read_loses_no_partition(many: Connection) -> None:
    many.execute("select silver.create_rollup_table('silver.m_1h', 'm_1d', '1 day')")
    with pytest.raises(psycopg.Error, match=r"silver\.m_1h is read by silver.m_1d"):
        many.execute("call silver.drop_large_rollup('silver.m_1h')")
    assert len(ranges(many)) == 120
    assert value(many, "select bool_and(is_active) from silver.timeseries_rollup_config")


def test_a_small_rollup_is_dropped_at_once(many: Connection) -> None:
    limit_locks(many, 10000)
    assert value(many, "select tsconsole.drop_some_partitions('silver.m_1h')") == 0
    assert value(many, "select is_active from silver.timeseries_rollup_config")
    many.execute("call silver.drop_large_rollup('silver.m_1h')")
    assert value(many, "select to_regclass('silver.m_1h')") is None


@pytest.mark.parametrize(
    "statement",
    [
        "select silver.add_measures('silver.m_1h', '{\"v\": [\"last\"]}')",
        "select silver.drop_measures('silver.m_1h', '{\"v\": [\"max\"]}')",
    ],
)
def test_changes_that_lock_every_partition_are_refused(many: Connection, statement: str) -> None:
    limit_locks(many, 200)
    with pytest.raises(
        psycopg.Error, match=r"locking silver\.m_1h and its 120 partitions"
    ) as refused:
        many.execute(statement)
    assert refused.value.sqlstate == "TS004"


@pytest.mark.parametrize(
    ("statement", "room"),
    [
        ("select silver.create_rollup_table('raw.p', 'p_1d', '1 day')", 200),
        ("select silver.alter_rollup('silver.p_1h', allowed_lateness := '1 s')", 200),
        ("select silver.prepare_source_ddl('raw.p')", 400),
        ("select silver.drop_rollup('silver.p_1h')", 400),
    ],
)
def test_so_are_those_that_lock_every_partition_of_a_source(
    db: Connection, statement: str, room: int
) -> None:
    db.execute("create table raw.p (ts timestamptz, v float8) partition by range (ts)")
    for number in range(100):
        db.execute(
            f"create table raw.p_{number} partition of raw.p for values from"
            f" ('{2000 + number}-01-01Z') to ('{2001 + number}-01-01Z')"
        )
    db.execute("select silver.create_rollup_table('raw.p', 'p_1h', '1 hour')")
    limit_locks(db, room)
    with pytest.raises(psycopg.Error, match=r"raw\.p and its .*partitions takes some") as refused:
        db.execute(statement)
    assert refused.value.sqlstate == "TS004"
    assert "Set max_locks_per_transaction to" in str(refused.value)


def test_analyze_leaves_out_a_table_that_is_too_large(many: Connection) -> None:
    many.execute("select pg_stat_force_next_flush()")
    query = "select detail from tsconsole.maintain_analyze(tsconsole.rollup('silver.m_1h'))"
    assert "not the table as a whole" in value(many, query)
    limit_locks(many, 10000)
    assert "silver.m_1h" in value(many, query)


def test_figures_do_not_lock_every_partition(many: Connection) -> None:
    with many.transaction():
        [[oldest, parts]] = many.execute(
            "select oldest_bucket, partitions from silver.get_detailed_stats('%')"
        ).fetchall()
        held = value(
            many,
            "select count(*) from pg_locks l join pg_inherits i on i.inhrelid = l.relation"
            " where l.pid = pg_backend_pid()",
        )
    assert (oldest, parts) == (at(4), 120)
    assert held <= 2


def test_a_step_looks_into_some_hundred_partitions_at_most(db: Connection) -> None:
    """Late rows of single series, months apart, are not recomputed over all that lies between."""
    db.execute(
        "create table raw.m (ts timestamptz, device text, v float8); create index on raw.m (ts);"
        "insert into raw.m select timestamptz '2026-03-01Z' + i * interval '40 days', 'a', i"
        " from generate_series(0, 3) i;"
        "select silver.create_rollup_table('raw.m', 'm_1m', '1 minute', dimensions := '{device}',"
        " chunk_interval := '1 hour');"
    )
    db.execute("call silver.run_rollups('silver.m_1m')")
    db.execute("insert into raw.m select ts, 'b', 1 from raw.m")
    db.execute("call silver.run_rollups('silver.m_1m')")
    steps = db.execute(
        "select window_start, window_end from silver.timeseries_refresh_log"
        " where work = 'recompute' order by window_start"
    ).fetchall()
    assert len(steps) == 4
    assert all(end - start < timedelta(hours=500) for start, end in steps)
    assert db.execute("select * from silver.verify_rollup('silver.m_1m')").fetchall() == []
    assert value(db, "select count(*) from silver.m_1m") == 8


def test_thousands_of_gaps_between_partitions_are_found_soon(db: Connection) -> None:
    """Every second of 10,000 partitions is there, by what is said of it."""
    make_rollup(db)
    hours = "timestamptz '2020-01-01Z' + i * interval '1 hour'"
    db.execute(
        "create or replace function tsconsole.uncovered(config silver.timeseries_rollup_config,"
        " wanted tstzmultirange) returns tstzmultirange language sql volatile as $$ select wanted -"
        f" (select range_agg(tstzrange({hours}, {hours} + interval '1 hour'))"
        " from generate_series(0, 9998, 2) i) $$"
    )
    db.execute("set statement_timeout = '2s'")
    [[gaps, first, last]] = db.execute(
        "select count(*), min(lower(m)), max(upper(m)) from tsconsole.missing_partitions("
        "tsconsole.rollup('silver.m_1h'),"
        f" (select array_agg({hours} order by i) from generate_series(0, 10000) i),"
        " tstzrange('2020-01-01Z', '2021-01-01Z')) m"
    ).fetchall()
    assert (gaps, first) == (4392, datetime(2020, 1, 1, 1, tzinfo=timezone.utc))
    assert last == datetime(2021, 1, 1, tzinfo=timezone.utc)


def test_too_many_partitions_are_found_before_they_hurt(many: Connection) -> None:
    query = (
        "select is_valid, severity, message, hint from silver.validate_rollup_config()"
        " where check_name = 'locks'"
    )
    [[fine, *_]] = many.execute(query).fetchall()
    limit_locks(many, 200)
    [[valid, severity, message, hint]] = many.execute(query).fetchall()
    assert (fine, valid, severity) == (True, False, "warning")
    assert message == (
        "locking silver.m_1h and its 120 partitions takes some 242 locks,"
        " and the server has room for 200"
    )
    assert "max_locks_per_transaction to" in hint
