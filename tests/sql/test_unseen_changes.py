"""Changes that no trigger sees: steps notice that there may be some, and say so or find them."""

from __future__ import annotations

import psycopg
import pytest
from sql.support import (
    assert_same,
    assert_verified,
    create,
    make_readings,
    perform,
    run,
    state,
    value,
)

AGAIN = "insert into raw.m select ts, device, v + 1 from raw.m"
HOUR = "date_trunc('hour', ts, 'UTC')"


def make_partitioned(db: psycopg.Connection, *partitions: str, key: str = "ts") -> None:
    """raw.m, partitioned, with two days of rows and the rollup silver.r, all of it rolled up."""
    db.execute(
        f"create table raw.m (ts timestamptz, device integer, v integer) partition by range ({key})"
    )
    db.execute("create index on raw.m (ts)")
    for statement in partitions:
        db.execute(statement)
    db.execute(
        "insert into raw.m select timestamptz '2025-03-01Z' + i * interval '30 minutes', d, i "
        "from generate_series(0, 95) i, generate_series(0, 2) d"
    )
    create(db, "raw.m", "r", "1 hour", dimensions=["device"])
    run(db)


def assert_right(db: psycopg.Connection) -> None:
    run(db)
    assert_verified(db, "silver.r")
    assert_same(
        db,
        f"select {HOUR}, device, sum(v), count(*) from raw.m group by 1, 2",
        "select ts, device, sum_v, rollup_count from silver.r",
    )


YEARS = [
    f"create table raw.m{year} partition of raw.m "
    f"for values from ('{year}-01-01Z') to ('{year + 1}-01-01Z')"
    for year in (2024, 2025, 2026)
]


@pytest.mark.parametrize("where", ["raw.m", "raw.m2025"])
def test_triggers_that_were_off_for_a_while(db: psycopg.Connection, where: str) -> None:
    """As loaders do it: off, load, on, in one transaction."""
    make_partitioned(db, *YEARS)
    with db.transaction():
        db.execute(f"alter table {where} disable trigger user")
        db.execute("update raw.m set v = v + 1")
        db.execute(f"alter table {where} enable trigger user")
    assert_noticed(db)
    db.execute("select silver.refresh_source('raw.m')")
    assert_right(db)


def test_triggers_of_a_partition_that_are_off(db: psycopg.Connection) -> None:
    make_partitioned(db, *YEARS)
    db.execute("alter table raw.m2025 disable trigger user")
    db.execute(AGAIN)
    assert_noticed(db)
    db.execute("select silver.refresh_source('raw.m')")
    assert_right(db)
    db.execute(AGAIN)
    assert_right(db)


@pytest.mark.parametrize("kind", ["function", "domain", "type"])
def test_what_the_triggers_hand_rows_to_is_dropped(db: psycopg.Connection, kind: str) -> None:
    """The function takes the CHECK of the domain along, and leaves the triggers where they are."""
    make_partitioned(db, *YEARS)
    names = {
        "function": "select oid::regprocedure from pg_proc where proname ~ '^note_new_'",
        "domain": "select oid::regtype from pg_type where typname ~ '^tracker_new_'",
        "type": "select oid::regtype from pg_type where typname ~ '^tracked_row_'",
    }
    db.execute(f"drop {kind} {value(db, names[kind])} cascade")
    db.execute("update raw.m set v = v + 1")
    assert_noticed(db)
    db.execute("select silver.refresh_source('raw.m')")
    assert_right(db)
    db.execute(AGAIN)
    assert_right(db)


def test_nothing_that_was_generated_is_left_after_the_last_rollup(db: psycopg.Connection) -> None:
    make_readings(db, 20)
    before = state(db)
    create(db, "raw.readings", "a", "1 hour", dimensions=["device"])
    create(db, "raw.readings", "b", "1 day", dimensions=["site"])
    # Of an earlier version, whose triggers called functions.
    key = value(db, "select tsconsole.tracking_key('raw.readings', 'ts')")
    for name in (f"track_new_{key}", f"note_new_{key}"):
        db.execute(f"create function tsconsole.{name}(at timestamptz) returns boolean return false")
    db.execute("update raw.readings set power = power + 1")
    for rollup in ("silver.a", "silver.b"):
        db.execute("select silver.drop_rollup(%s)", [rollup])
    assert state(db) == before


def assert_noticed(db: psycopg.Connection) -> None:
    db.execute("select silver.invalidate('silver.r', '2025-03-01Z', '2025-03-01 01:00Z')")
    steps = perform(db, "silver.r")
    assert "its triggers named tsconsole_… were dropped or disabled" in steps[0][4]


def test_a_table_that_comes_to_inherit(db: psycopg.Connection) -> None:
    make_readings(db, 300)
    create(db, "raw.readings", "r", "1 hour", dimensions=["device"])
    run(db)
    db.execute("create table raw.more () inherits (raw.readings)")
    db.execute("insert into raw.more select * from only raw.readings")
    db.execute("select silver.invalidate('silver.r', '2025-03-01Z', '2025-03-01 01:00Z')")
    steps = perform(db, "silver.r")
    assert (
        steps[0][4]
        == "other tables inherit from raw.readings, whose late changes its triggers do not see"
    )
    db.execute("alter table raw.more no inherit raw.readings")
    db.execute("select silver.retry_rollup('silver.r')")
    run(db)
    assert_verified(db, "silver.r")


def test_a_partition_with_partitions_of_its_own_that_was_away(db: psycopg.Connection) -> None:
    """Detached, changed and attached again: what lies below it has not moved."""
    bounds = "for values from ('2025-01-01Z') to ('2026-01-01Z')"
    make_partitioned(
        db,
        f"create table raw.y partition of raw.m {bounds} partition by list (device)",
        *[f"create table raw.y{d} partition of raw.y for values in ({d})" for d in range(3)],
    )
    db.execute("alter table raw.m detach partition raw.y")
    db.execute("update raw.y set v = v + 1")
    db.execute(f"alter table raw.m attach partition raw.y {bounds}")
    assert_right(db)
    # Gone for good, it is retention like any other.
    kept = value(db, "select count(*) from silver.r")
    db.execute("alter table raw.m detach partition raw.y")
    run(db)
    assert value(db, "select count(*) from silver.r") == kept
    db.execute("update raw.y set v = v + 1")
    db.execute(f"alter table raw.m attach partition raw.y {bounds}")
    assert_right(db)


def test_the_only_partition_that_was_away(db: psycopg.Connection) -> None:
    """A step sees the source without any partition; then one comes back, changed, and a new one."""
    bounds = "for values from ('2025-01-01Z') to ('2026-01-01Z')"
    make_partitioned(db, f"create table raw.y partition of raw.m {bounds}")
    db.execute("alter table raw.m detach partition raw.y")
    run(db)
    db.execute("update raw.y set v = v + 1")
    db.execute("create table raw.z (like raw.m)")
    db.execute("insert into raw.z values ('2024-07-01Z', 7, 7)")
    db.execute(f"alter table raw.m attach partition raw.y {bounds}")
    db.execute(
        "alter table raw.m attach partition raw.z "
        "for values from ('2024-01-01Z') to ('2025-01-01Z')"
    )
    assert_right(db)


@pytest.mark.parametrize("change", ["attach", "truncate", "drop"])
def test_a_partition_that_ends_within_a_moment(db: psycopg.Connection, change: str) -> None:
    """Of a key of several columns, both partitions hold rows of the time between them."""
    make_partitioned(
        db,
        "create table raw.a partition of raw.m "
        "for values from (minvalue, minvalue) to ('2025-03-02 00:00Z', 2)",
        "create table raw.b partition of raw.m "
        "for values from ('2025-03-02 00:00Z', 2) to (maxvalue, maxvalue)",
        key="ts, device",
    )
    if change == "drop":
        kept = value(db, "select count(*) from silver.r")
        db.execute("drop table raw.a")
        run(db)
        assert_verified(db, "silver.r")
        assert value(db, "select count(*) from silver.r") == kept
        return
    if change == "truncate":
        db.execute("truncate raw.a")
    else:
        db.execute("alter table raw.m detach partition raw.a")
        db.execute("update raw.a set v = v + 1")
        db.execute(
            "alter table raw.m attach partition raw.a "
            "for values from (minvalue, minvalue) to ('2025-03-02 00:00Z', 2)"
        )
    assert_right(db)
