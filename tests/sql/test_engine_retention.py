"""Sources that lose old rows: what was rolled up from them stays; other changes are found."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta

import psycopg
import pytest
from sql.support import (
    assert_same,
    assert_true_rollup,
    assert_verified,
    call_run,
    create,
    create_ladder,
    make_daily_readings,
    make_recent_readings,
    run,
    value,
    watermark,
)

Connect = Callable[..., psycopg.Connection]
MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"
COLUMNS = "ts, device, rollup_count, sum_power, min_power, max_power, sum_temperature"


@pytest.fixture
def parts(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings in partitions of a day in March 2025, with a ladder, all rolled up."""
    make_daily_readings(db, 5)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    # What was there once, to compare with.
    db.execute("create table ever as table raw.readings")
    run(db)
    return db


def assert_ladder(db: psycopg.Connection, source: str) -> None:
    for target, bucket in {"r_1m": MINUTE, "r_1h": HOUR}.items():
        assert_true_rollup(db, f"silver.{target}", bucket, source, "device")
        assert_verified(db, f"silver.{target}")
        assert_same(db, f"select {COLUMNS} from silver.{target}",
                    f"select {COLUMNS} from silver.{target}_live")  # fmt: skip


def attach(db: psycopg.Connection, name: str, start: str, end: str, to: str = "readings") -> None:
    db.execute(
        f"alter table raw.{to} attach partition raw.{name} for values from ('{start}') to ('{end}')"
    )


DETACH = "alter table raw.readings detach partition raw.day1"


@pytest.mark.parametrize("how", ["drop table raw.day1", DETACH, DETACH + " concurrently"])
def test_a_dropped_partition_takes_nothing_away(parts: psycopg.Connection, how: str) -> None:
    parts.execute(how)
    run(parts)
    assert_ladder(parts, "ever")
    # Not even when everything is to be computed again.
    parts.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    parts.execute("select silver.invalidate('silver.r_1h', '-infinity', 'infinity')")
    run(parts)
    assert_ladder(parts, "ever")


def test_changes_beside_a_dropped_partition_are_found(parts: psycopg.Connection) -> None:
    parts.execute("drop table raw.day2")
    change = (
        "update {} set power = 7000 where ts between '2025-03-04 10:00Z' and '2025-03-04 11:00Z'"
    )
    parts.execute(change.format("raw.readings"))
    parts.execute(change.format("ever"))
    run(parts)
    assert_ladder(parts, "ever")


def test_a_late_row_for_what_is_frozen_changes_nothing(parts: psycopg.Connection) -> None:
    parts.execute("drop table raw.day1")
    run(parts)
    parts.execute(
        "create table raw.again partition of raw.readings "
        "for values from ('2025-02-20Z') to ('2025-02-21Z')"
    )
    parts.execute("insert into raw.readings values ('2025-02-20 10:00Z', 'd1', 1, 5, 5)")
    parts.execute("insert into ever values ('2025-02-20 10:00Z', 'd1', 1, 5, 5)")
    run(parts)
    assert_ladder(parts, "ever")


@pytest.mark.parametrize("concurrently", ["", " concurrently"])
def test_a_partition_that_comes_back_changed_is_read_again(
    parts: psycopg.Connection, concurrently: str
) -> None:
    parts.execute(f"alter table raw.readings detach partition raw.day3{concurrently}")
    if concurrently:
        run(parts)
    parts.execute("update raw.day3 set power = power + 1; delete from raw.day3 where site = 0")
    attach(parts, "day3", "2025-03-03Z", "2025-03-04Z")
    run(parts)
    assert_ladder(parts, "raw.readings")


def test_a_truncated_and_a_new_partition_are_seen(parts: psycopg.Connection) -> None:
    parts.execute("truncate raw.day2")
    parts.execute("create table raw.loaded (like raw.day1)")
    parts.execute("insert into raw.loaded select ts - interval '10 days', device, site, "
                  "temperature, power from raw.day1")  # fmt: skip
    attach(parts, "loaded", "2025-02-19Z", "2025-02-20Z")
    run(parts)
    assert_ladder(parts, "raw.readings")


def test_a_rewritten_partition_is_no_change(parts: psycopg.Connection) -> None:
    parts.execute("vacuum full raw.day2")
    parts.execute("cluster raw.day3 using day3_ts_idx")
    steps = run(parts)
    assert {written for *_, written, _ in steps} == {0}
    assert_ladder(parts, "raw.readings")


def test_rows_deleted_by_a_declared_retention_stay_rolled_up(db: psycopg.Connection) -> None:
    began = value(db, "select now()")
    make_recent_readings(db, 5 * 1440)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"],
                  source_retention="3 days")  # fmt: skip
    run(db)
    kept = value(db, "select min(ts) from silver.r_1h")
    assert timedelta(days=-3) <= kept - began <= timedelta(days=-2, hours=-22)
    before = db.execute("select * from silver.r_1m order by ts, device").fetchall()
    # The clock moves on; retention deletes what is older, and a bit of what is not.
    db.execute("update silver.timeseries_rollup_config set source_retention = '2 days' "
               "where source_table = 'raw.readings'::regclass")  # fmt: skip
    db.execute("delete from raw.readings where ts < now() - interval '2 days'")
    run(db)
    after = db.execute("select * from silver.r_1m order by ts, device").fetchall()
    assert after[: len(before)] == before
    assert_verified(db, "silver.r_1m")
    assert_verified(db, "silver.r_1h")
    since = value(db, "select date_trunc('hour', now(), 'UTC') - interval '46 hours'")
    db.execute("delete from raw.readings where ts between %s and %s",
               [since, since + timedelta(minutes=90)])  # fmt: skip
    run(db)
    for target, bucket in {"silver.r_1m": MINUTE, "silver.r_1h": HOUR}.items():
        young = f"ts >= '{since}' and ts < {watermark(target)}"
        assert_true_rollup(db, target, bucket, keys="device", where=young)


def test_retention_beside_workers_loses_nothing(
    parts: psycopg.Connection, connect: Connect
) -> None:
    """Partitions are dropped while everything is being recomputed and a new level is made."""
    create(parts, "raw.readings", "again", "10 minutes", dimensions=["device"],
           processing_window="3 hours")  # fmt: skip
    parts.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    workers = [connect() for _ in range(2)]
    with ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(call_run, worker) for worker in workers]
        dropped = connect(options="-c lock_timeout=10s")
        for day in (1, 2):
            dropped.execute(f"drop table raw.day{day}")
        steps = [step for task in tasks for step in task.result(60)]
    assert not [s for s in steps if s["outcome"] == "failed"], steps
    run(parts)
    assert_ladder(parts, "ever")
    # The new level holds what it could read, whole: nothing of a bucket read in part.
    assert_same(
        parts,
        "select ts, device, rollup_count, sum_power from silver.again",
        "select date_bin('10 min', ts, '2000-01-03Z') as b, device, count(*), sum(power) from ever "
        "group by 1, 2 having exists (select from silver.again a where a.ts = "
        "date_bin('10 min', min(ever.ts), '2000-01-03Z') and a.device = ever.device)",
    )
    assert value(parts, "select count(distinct ts) from silver.again where ts >= '2025-03-03Z'") \
        == 3 * 144  # fmt: skip


def test_a_step_beside_an_inventory_in_the_making_loses_nothing(
    parts: psycopg.Connection, connect: Connect
) -> None:
    """One step notes that a partition is gone; one of another rollup runs meanwhile."""
    create(parts, "raw.readings", "other", "1 hour", dimensions=["device"])
    run(parts)
    parts.execute("select silver.bulk_load('raw.readings', '2025-03-01', '2025-03-03')")
    parts.execute("drop table raw.day1")
    first, second = connect(autocommit=False), connect()
    step = "select outcome from silver.perform_step('silver.{}')"
    first.execute(step.format("r_1m"))
    assert second.execute(step.format("other")).fetchone()[0] in ("done", "busy", "idle")
    first.commit()
    run(parts)
    assert_true_rollup(parts, "silver.other", HOUR, "ever", "device")
    assert_ladder(parts, "ever")


def test_a_level_made_while_the_one_below_recomputes_misses_nothing(
    parts: psycopg.Connection, connect: Connect
) -> None:
    """A step of the parent that began before the new reader existed must hand it its changes."""
    parts.execute("update raw.readings set power = power + 1 where ts < '2025-03-02Z'")
    parent = connect(autocommit=False)
    step = parent.execute("select work, outcome from silver.perform_step('silver.r_1m')").fetchone()
    assert step == ("recompute", "done")
    with ThreadPoolExecutor(1) as pool:
        creating = pool.submit(create, connect(), "silver.r_1m", "top", "2 hours")
        with pytest.raises(FutureTimeout):
            creating.result(0.5)
        parent.commit()
        creating.result(20)
    run(parts)
    bucket = "date_bin('2 hours', ts, '2000-01-03Z')"
    assert_true_rollup(parts, "silver.top", bucket, keys="device")
    assert_ladder(parts, "raw.readings")


def test_what_comes_back_during_a_step_is_not_taken_for_frozen(
    parts: psycopg.Connection, connect: Connect
) -> None:
    """The step has read what is frozen; before it chooses its range, that is no longer true."""
    parts.execute("alter table raw.readings detach partition raw.day3")
    run(parts)
    parts.execute(
        "alter function tsconsole.choose_range rename to chosen;"
        "create function tsconsole.choose_range(config silver.timeseries_rollup_config, "
        "work text, horizon timestamptz) returns tsconsole.work_range language plpgsql as "
        "'begin perform pg_advisory_xact_lock(77); "
        "return tsconsole.chosen(config, work, horizon); end'"
    )
    parts.execute("update raw.readings set power = 1 where ts = '2025-03-04 10:00Z'")
    parts.execute("update raw.day3 set power = power + 1")
    parts.execute("select pg_advisory_lock(77)")
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(
            connect().execute, "select outcome from silver.perform_step('silver.r_1m')"
        )
        waits = "select from pg_locks where locktype = 'advisory' and objid = 77 and not granted"
        while not parts.execute(waits).fetchall():
            time.sleep(0.01)
        attach(parts, "day3", "2025-03-03Z", "2025-03-04Z")
        parts.execute("select tsconsole.check_partitions('raw.readings')")
        parts.execute("select pg_advisory_unlock(77)")
        assert step.result(30).fetchone()[0] == "busy"
    run(parts)
    assert_ladder(parts, "raw.readings")


def test_partitions_that_went_together_come_back_one_by_one(parts: psycopg.Connection) -> None:
    parts.execute("alter table raw.readings detach partition raw.day2")
    parts.execute("alter table raw.readings detach partition raw.day3")
    run(parts)
    parts.execute("update raw.day2 set power = power + 1; update raw.day3 set power = power + 1")
    for day in (2, 3):
        attach(parts, f"day{day}", f"2025-03-0{day}Z", f"2025-03-0{day + 1}Z")
        run(parts)
    assert_ladder(parts, "raw.readings")


def test_an_empty_partition_in_the_place_of_a_dropped_one_wipes_nothing(
    parts: psycopg.Connection,
) -> None:
    parts.execute("drop table raw.day1")
    run(parts)
    parts.execute(
        "create table raw.late1 partition of raw.readings "
        "for values from ('2025-03-01Z') to ('2025-03-02Z')"
    )
    parts.execute("insert into raw.readings values ('2025-03-01 10:00Z', 'd1', 1, 5, 5)")
    run(parts)
    assert_ladder(parts, "ever")
    # Unless somebody says that it holds everything again.
    assert value(parts, "select silver.thaw('raw.readings', '2025-03-01Z', '2025-03-02Z')") == 1
    run(parts)
    assert_ladder(parts, "raw.readings")


def test_a_partition_that_was_replaced_may_be_away_for_a_moment(
    parts: psycopg.Connection,
) -> None:
    """No step came by between the replacement and the detach: the forerunner is missed then."""
    bounds = "2025-03-01Z", "2025-03-02Z"
    with parts.transaction():
        parts.execute(
            "create table raw.other (like raw.readings including all);"
            "insert into raw.other select * from raw.day1 where power % 2 = 0;"
            "drop table raw.day1"
        )
        attach(parts, "other", *bounds)
        parts.execute("select silver.thaw('raw.readings', '2025-03-01Z', '2025-03-02Z')")
    parts.execute("alter table raw.readings detach partition raw.other")
    run(parts)
    attach(parts, "other", *bounds)
    run(parts)
    assert_ladder(parts, "raw.readings")


@pytest.mark.parametrize("first", ["ts", "wall"])
def test_partitions_matter_to_rollups_on_another_time_column_too(
    db: psycopg.Connection, first: str
) -> None:
    """A partition covers a day of the one time column, and any time of the other."""
    days = [
        f"create table raw.t{day} partition of raw.two "
        f"for values from ('2025-03-0{day}Z') to ('2025-03-0{day + 1}Z')"
        for day in (1, 2, 3)
    ]
    db.execute(
        "create table raw.two (ts timestamptz, wall timestamptz, v integer) "
        f"partition by range (ts); {'; '.join(days)};"
        "create index on raw.two (ts); create index on raw.two (wall);"
        "insert into raw.two select timestamptz '2025-03-01Z' + i * interval '10 minutes', "
        "timestamptz '2025-03-01 06:00Z' + i * interval '7 minutes', i "
        "from generate_series(0, 431) i"
    )
    for column in (first, {"ts": "wall", "wall": "ts"}[first]):
        db.execute(
            "select silver.create_rollup_table('raw.two', %s, '1 hour', time_column := %s, "
            "dimensions := '{}', measures := '{\"v\": [\"sum\"]}')",
            [f"by_{column}", column],
        )
    db.execute("create table raw.ever as select * from raw.two")

    def assert_equal(kind: str, ts: str) -> None:
        for column, source in (("ts", ts), ("wall", "raw.two")):
            target = f"silver.by_{column}{kind}"
            truth = f"select date_trunc('hour', {column}, 'UTC'), sum(v) from {source} group by 1"
            stored = f"select {column}, sum_v from {target}"
            both = f"(({truth}) except ({stored})) union all (({stored}) except ({truth}))"
            assert value(db, f"select count(*) from ({both}) d") == 0, target

    def assert_both(ts: str) -> None:
        db.execute("select tsconsole.check_partitions('raw.two')")
        assert_equal("_live", ts)
        run(db)
        assert_equal("", ts)
        assert_equal("_live", ts)

    assert_both("raw.ever")
    db.execute("alter table raw.two detach partition raw.t1")
    assert_both("raw.ever")
    db.execute("update raw.t1 set v = v + 1")
    attach(db, "t1", "2025-03-01Z", "2025-03-02Z", to="two")
    assert_both("raw.two")
    db.execute("drop table raw.t2")
    assert_both("(select * from raw.two union all select * from raw.ever where ts >= '2025-03-02Z' "
                "and ts < '2025-03-03Z') e")  # fmt: skip
