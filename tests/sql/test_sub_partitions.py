"""Partitions of a source that are partitioned themselves, with leaves and without."""

from __future__ import annotations

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_same,
    assert_true_rollup,
    assert_verified,
    create,
    run,
    value,
)

TARGET = "silver.r_1h"
HOUR = "date_trunc('hour', ts, 'UTC')"
DAY2 = "for values from ('2025-03-02Z') to ('2025-03-03Z')"
DAY3 = "for values from ('2025-03-03Z') to ('2025-03-04Z')"


@pytest.fixture
def daily(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings with the partition of one day, rolled up."""
    db.execute(
        "create table raw.readings (ts timestamptz, device text, site integer, "
        "temperature double precision, power integer) partition by range (ts);"
        "create table raw.day1 partition of raw.readings"
        " for values from ('2025-03-01Z') to ('2025-03-02Z')"
    )
    add_readings(db, "2025-03-01 00:00Z", 1440)
    create(db, "raw.readings", "r_1h", "1 hour", dimensions=["device"])
    run(db)
    return db


def assert_true(db: psycopg.Connection, source: str = "raw.readings") -> None:
    """After a run, target and live view hold what the source does."""
    run(db)
    assert_true_rollup(db, TARGET, HOUR, source, "device")
    assert_verified(db, TARGET)
    columns = "ts, device, rollup_count, sum_power, min_power, max_power"
    assert_same(db, f"select {columns} from {TARGET}", f"select {columns} from {TARGET}_live")


def test_another_partition_comes_after_the_last_one_went(daily: psycopg.Connection) -> None:
    """An inventory without partitions is no reason to take what comes for known."""
    daily.execute("alter table raw.readings detach partition raw.day1")
    run(daily)
    daily.execute("create table raw.day2 (like raw.readings)")
    add_readings(daily, "2025-03-02 00:00Z", 1440, table="day2")
    daily.execute(f"alter table raw.readings attach partition raw.day2 {DAY2}")
    daily.execute("create table ever as table raw.day1; insert into ever table raw.day2")
    assert_true(daily, "ever")


def test_leaves_come_later(daily: psycopg.Connection) -> None:
    """Attached without leaves, it is tracked: what its leaves bring along, and what comes late."""
    daily.execute("create table raw.day2 (like raw.readings) partition by range (ts)")
    daily.execute(f"alter table raw.readings attach partition raw.day2 {DAY2}")
    assert_true(daily)
    daily.execute(
        "create table raw.am partition of raw.day2"
        " for values from ('2025-03-02Z') to ('2025-03-02 12:00Z')"
    )
    add_readings(daily, "2025-03-02 00:00Z", 720)
    assert_true(daily)
    daily.execute("create table raw.pm (like raw.readings)")
    add_readings(daily, "2025-03-02 12:00Z", 720, table="pm")
    daily.execute(
        "alter table raw.day2 attach partition raw.pm"
        " for values from ('2025-03-02 12:00Z') to ('2025-03-03Z')"
    )
    assert_true(daily)
    daily.execute("insert into raw.pm values ('2025-03-02 15:00Z', 'd1', 1, 1, 1)")
    assert_true(daily)
    daily.execute("truncate raw.am")
    assert_true(daily)
    assert value(daily, f"select count(*) from {TARGET} where ts < '2025-03-02 12:00Z'") == 72


def test_leaves_of_something_else_than_time(daily: psycopg.Connection) -> None:
    """Attached with leaves by device that hold rows; then these change, go and come back."""
    daily.execute("create table raw.day3 (like raw.readings) partition by list (device)")
    for device in ("d0", "d1", "d2"):
        daily.execute(f"create table raw.{device} partition of raw.day3 for values in ('{device}')")
    add_readings(daily, "2025-03-03 00:00Z", 1440, table="day3")
    daily.execute(f"alter table raw.readings attach partition raw.day3 {DAY3}")
    assert_true(daily)
    daily.execute("update raw.d1 set power = power + 1; delete from raw.d2 where site = 0")
    assert_true(daily)
    daily.execute("truncate raw.d0")
    assert_true(daily)
    daily.execute("create table ever as table raw.readings")
    daily.execute("alter table raw.day3 detach partition raw.d1")
    assert_true(daily, "ever")
    daily.execute("update raw.d1 set power = power + 1")
    daily.execute("alter table raw.day3 attach partition raw.d1 for values in ('d1')")
    assert_true(daily)
    daily.execute("drop table ever; create table ever as table raw.readings; drop table raw.day3")
    assert_true(daily, "ever")


def test_a_source_that_begins_without_leaves(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.readings (ts timestamptz, device text, site integer, "
        "temperature double precision, power integer) partition by range (ts);"
        f"create table raw.day2 partition of raw.readings {DAY2} partition by list (device)"
    )
    create(db, "raw.readings", "r_1h", "1 hour", dimensions=["device"])
    run(db)
    db.execute("create table raw.other partition of raw.day2 default")
    add_readings(db, "2025-03-02 00:00Z", 1440)
    assert_true(db)
    db.execute("update raw.other set power = power + 1 where site = 1")
    assert_true(db)
    db.execute(f"select silver.drop_rollup('{TARGET}')")
    assert value(db, "select count(*) from pg_trigger where tgname like 'tsconsole%'") == 0
