"""What can no longer be in a rollup is said in the error log (TS009), and nothing else is."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sql.support import (
    assert_verified,
    create,
    create_ladder,
    make_daily_readings,
    make_recent_readings,
    monitor,
    run,
    value,
)

LATE = "came for buckets that are kept as they are"
UNREAD = "dropped or detached before all their rows were in"


def losses(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    """What the error log says is lost; it may say nothing else."""
    found = db.execute(
        "select target_table, work, window_start, window_end, error_message, sql_state "
        "from silver.timeseries_error_log order by id"
    ).fetchall()
    assert {row[5] for row in found} <= {"TS009"}, found
    return [row[:5] for row in found]


def only_loss(db: psycopg.Connection) -> tuple[Any, ...]:
    found = losses(db)
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def aged(db: psycopg.Connection) -> psycopg.Connection:
    """Three days of rows, and a ladder over them whose source may forget what is a day old."""
    make_recent_readings(db, 3 * 1440)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"],
                  source_retention="4 days")  # fmt: skip
    run(db)
    db.execute("select silver.alter_rollup('silver.r_1m', source_retention := '1 day')")
    return db


@pytest.fixture
def parts(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings in partitions of a day in March 2025, and a rollup of them that has run."""
    make_daily_readings(db, 3)
    db.execute("create table raw.rest partition of raw.readings default")
    create(db, "raw.readings", "r_1h", "1 hour", dimensions=["device"])
    run(db)
    return db


def test_deleting_what_is_old_is_no_loss(aged: psycopg.Connection) -> None:
    aged.execute("delete from raw.readings where ts < now() - interval '30 hours'")
    run(aged)
    aged.execute("delete from raw.readings where ts < now() - interval '24 hours' and site = 1")
    run(aged)
    assert losses(aged) == []
    assert_verified(aged, "silver.r_1m")


def test_a_late_row_for_a_frozen_bucket_is_noted(aged: psycopg.Connection) -> None:
    aged.execute("delete from raw.readings where ts < now() - interval '24 hours'")
    run(aged)
    hour = value(aged, "select date_trunc('hour', now(), 'UTC') - interval '40 hours'")
    late = "insert into raw.readings values (%s::timestamptz + %s::interval, 'd1', 1, 5, 5)"
    aged.execute(late, [hour, "10 min 5 s"])
    run(aged)
    target, work, begin, end, message = only_loss(aged)
    assert (target, work) == ("silver.r_1m", "recompute")
    assert LATE in message
    assert (begin - hour).total_seconds() == 600
    assert (end - hour).total_seconds() == 660
    # A second one soon afterwards widens the note; after it was acknowledged there is a new one.
    aged.execute(late, [hour, "20 min"])
    run(aged)
    assert (only_loss(aged)[3] - hour).total_seconds() == 1260
    aged.execute("select silver.acknowledge_error(id) from silver.timeseries_error_log")
    aged.execute(late, [hour, "30 min"])
    run(aged)
    assert len(losses(aged)) == 2


def test_a_late_row_beside_one_in_time_is_noted_by_itself(aged: psycopg.Connection) -> None:
    """One transaction writes both; what is computed is no loss."""
    aged.execute(
        "insert into raw.readings select now() - age, 'd1', 1, 5, 5 "
        "from unnest('{2 hours, 50 hours}'::interval[]) age"
    )
    run(aged)
    assert value(aged, "select max(window_end) < now() - interval '49 hours' "
                       "from silver.timeseries_error_log")  # fmt: skip
    assert_verified(aged, "silver.r_1m")


def test_a_note_is_no_failed_run(aged: psycopg.Connection) -> None:
    aged.execute("insert into raw.readings select now() - interval '50 hours', 'd1', 1, 5, 5")
    run(aged)
    row = monitor(aged, "silver.r_1m")
    assert (row["success_rate"], row["health_status"], row["retry_count"]) == (100, "OK", 0)
    assert LATE in row["latest_error"]


@pytest.mark.parametrize("short", ["silver.r_1m", "silver.r_10m"])
def test_a_late_row_beyond_the_retention_of_a_level_is_noted_for_those_above(
    db: psycopg.Connection, short: str
) -> None:
    make_recent_readings(db, 3 * 1440)
    levels = ["1 minute", "10 minutes", "1 hour"]
    create_ladder(db, "raw.readings", "r", levels, chunk_interval="1 day")
    run(db)
    db.execute("select silver.set_retention(%s, '1 day')", [short])
    db.execute("select * from silver.apply_retention(%s)", [short])
    late = "insert into raw.readings select now() - interval '60 hours', 'd1', 1, 5, 5"
    db.execute(late)
    run(db)
    assert only_loss(db)[0] == short
    # Where nothing is above, dropping it was what retention is for.
    db.execute("select silver.drop_rollup('silver.r_1h')")
    if short == "silver.r_1m":
        db.execute("select silver.drop_rollup('silver.r_10m')")
    db.execute("delete from silver.timeseries_error_log")
    db.execute(late)
    run(db)
    assert losses(db) == []


def test_a_late_row_for_a_dropped_partition_is_noted(parts: psycopg.Connection) -> None:
    parts.execute("drop table raw.day1")
    run(parts)
    assert losses(parts) == []
    parts.execute("insert into raw.readings values ('2025-03-01 10:20Z', 'd1', 1, 5, 5)")
    run(parts)
    target, work, begin, end, message = only_loss(parts)
    assert (target, work, begin.hour, end.hour) == ("silver.r_1h", "recompute", 10, 11)
    assert LATE in message


def test_a_partition_dropped_before_it_was_read_is_noted(parts: psycopg.Connection) -> None:
    parts.execute("insert into raw.readings values ('2025-03-02 10:20Z', 'd1', 1, 5, 5)")
    parts.execute("drop table raw.day1, raw.day2")
    run(parts)
    target, work, begin, end, message = only_loss(parts)
    assert (target, work) == ("silver.r_1h", "recompute")
    assert (begin.day, begin.hour, end.hour) == (2, 10, 11)
    assert UNREAD in message


def test_history_dropped_before_it_was_read_is_noted(parts: psycopg.Connection) -> None:
    create(parts, "raw.readings", "new_1h", "1 hour")
    parts.execute("alter table raw.readings detach partition raw.day1")
    run(parts)
    target, _, begin, end, message = only_loss(parts)
    assert (target, begin.day, end.day) == ("silver.new_1h", 1, 2)
    assert UNREAD in message


def test_history_that_grew_too_old_is_noted(db: psycopg.Connection) -> None:
    make_recent_readings(db, 3 * 1440)
    create(db, "raw.readings", "r_1h", "1 hour", source_retention="4 days")
    db.execute("select silver.alter_rollup('silver.r_1h', source_retention := '1 day')")
    first = value(db, "select history_from from silver.timeseries_rollup_config")
    run(db)
    target, work, begin, end, message = only_loss(db)
    assert (target, work, begin) == ("silver.r_1h", "history", first)
    assert end == value(db, "select min(ts) from silver.r_1h")
    assert "was not computed in time" in message


def test_a_rollup_that_fell_too_far_behind_says_so(aged: psycopg.Connection) -> None:
    aged.execute("delete from raw.readings where ts < now() - interval '30 hours'")
    aged.execute(
        "update silver.timeseries_rollup_config set last_processed_time = "
        "date_trunc('hour', now(), 'UTC') - interval '40 hours' where target_name = 'silver.r_1m'"
    )
    aged.execute("delete from silver.r_1m where ts >= (select last_processed_time from "
                 "silver.timeseries_rollup_config where target_name = 'silver.r_1m')")  # fmt: skip
    run(aged, "silver.r_1m")
    target, work, _, end, message = only_loss(aged)
    assert (target, work) == ("silver.r_1m", "frontier")
    assert "fell behind" in message
    assert value(aged, "select now() - %s between interval '23 hours 55 min' "
                       "and interval '24 hours 5 min'", [end])  # fmt: skip
