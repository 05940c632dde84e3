"""A rollup that is made to group by more, or by less, while it is read and written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
import pytest

from .support import (
    add_readings,
    assert_same,
    assert_true_rollup,
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]
HOUR = "date_trunc('hour', ts, 'UTC')"
MINUTE = "date_trunc('minute', ts, 'UTC')"
COUNTS = "select ts, {keys}, rollup_count, sum_power, max_power from {table}"


@pytest.fixture
def hourly(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings, 50 hours in partitions of a day, rolled up by hour and device."""
    make_readings(db, 3000)
    create(db, "raw.readings", "r", "1 hour", dimensions=["device"], chunk_interval="1 day")
    run(db)
    return db


def assert_live(db: psycopg.Connection, target: str, bucket: str, keys: str) -> None:
    assert_same(
        db,
        f"select {bucket}, {keys}, count(*), sum(power), max(power) from raw.readings "
        f"group by {bucket}, {keys}",
        COUNTS.format(keys=keys, table=f"{target}_live"),
    )


def late_row(db: psycopg.Connection, power: int) -> None:
    add_readings(db, "2025-03-01 10:00:30Z", 1)
    db.execute("update raw.readings set power = %s where ts = '2025-03-01 10:00:30Z'", [power])


def test_it_groups_by_more(hourly: psycopg.Connection) -> None:
    hourly.execute("call silver.add_dimensions('silver.r', '{site, \"upper(device) as name\"}')")
    assert_live(hourly, "silver.r", HOUR, "device, site")
    assert value(hourly, "select count(*) > 0 from silver.r"), "it is readable"
    late_row(hourly, 9000)
    assert_live(hourly, "silver.r", HOUR, "device, site")
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device, site")
    assert_live(hourly, "silver.r", HOUR, "device, site")
    assert_verified(hourly, "silver.r")
    assert value(hourly, "select bool_and(name = upper(device)) from silver.r")
    # The new key keeps the series of a late row apart.
    late_row(hourly, 9500)
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device, site")


def test_a_unique_index_of_the_users_own_is_not_dropped_in_silence(
    hourly: psycopg.Connection,
) -> None:
    hourly.execute("create unique index mine on silver.r (ts, device, rollup_count)")
    for call in ("add_dimensions('silver.r', '{site}')", "drop_dimensions('silver.r', '{device}')"):
        with pytest.raises(psycopg.Error, match=r"another unique index, silver\.mine") as error:
            hourly.execute(f"call silver.{call}")
        assert error.value.sqlstate == "TS004"
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device")
    hourly.execute("drop index silver.mine")
    hourly.execute("call silver.add_dimensions('silver.r', '{site}')")
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device, site")


def test_it_groups_by_less(hourly: psycopg.Connection) -> None:
    create(hourly, "raw.readings", "s", "1 hour", dimensions=["device", "site"],
           chunk_interval="1 day")  # fmt: skip
    run(hourly)
    hourly.execute("call silver.drop_dimensions('silver.s', '{site}')")
    assert "site" not in column(
        hourly, "select attname from pg_attribute where attrelid = 'silver.s'::regclass"
    )
    for _ in range(2):
        assert_true_rollup(hourly, "silver.s", HOUR, keys="device")
        assert_live(hourly, "silver.s", HOUR, "device")
        late_row(hourly, 9000)
        run(hourly)
    assert_verified(hourly, "silver.s")
    hourly.execute("call silver.drop_dimensions('silver.s', '{device}')")
    assert_true_rollup(hourly, "silver.s", HOUR)
    # And back again, with another type in the place of the first.
    hourly.execute("call silver.add_dimensions('silver.s', '{site,device}')")
    late_row(hourly, 9900)
    run(hourly)
    assert_true_rollup(hourly, "silver.s", HOUR, keys="site, device")
    assert_live(hourly, "silver.s", HOUR, "site, device")


def test_until_it_is_recomputed_the_live_view_tells_nothing_apart(
    hourly: psycopg.Connection,
) -> None:
    hourly.execute("call silver.add_dimensions('silver.r', '{site}')")
    run(hourly)
    hourly.execute("select tsconsole.retire_dimensions('silver.r', '{site}')")
    late_row(hourly, 9000)
    assert_live(hourly, "silver.r", HOUR, "device")
    # As after an interruption: it goes on.
    hourly.execute("call silver.drop_dimensions('silver.r', '{site}')")
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device")


def test_an_interrupted_addition_goes_on(hourly: psycopg.Connection) -> None:
    hourly.execute("select tsconsole.begin_dimensions('silver.r', '{site}')")
    add_readings(hourly, "2025-03-04 00:00Z", 3000)
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device")
    hourly.execute("call silver.add_dimensions('silver.r', '{site}')")
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device, site")
    assert value(hourly, "select bool_and(indisvalid) from pg_index join pg_inherits on "
                         "inhrelid = indrelid and inhparent = 'silver.r'::regclass")  # fmt: skip


def test_a_ladder_changes_level_by_level(db: psycopg.Connection) -> None:
    make_readings(db, 3000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    run(db)
    with pytest.raises(psycopg.errors.Error, match="neither a column"):
        db.execute("call silver.add_dimensions('silver.r_1h', '{site}')")
    db.execute("call silver.add_dimensions('silver.r_1m', '{site}')")
    assert_live(db, "silver.r_1h", HOUR, "device")
    db.execute("call silver.add_dimensions('silver.r_1h', '{site}')")
    assert_live(db, "silver.r_1h", HOUR, "device, site")
    late_row(db, 9000)
    run(db)
    for target, bucket in (("r_1m", MINUTE), ("r_1h", HOUR)):
        assert_true_rollup(db, f"silver.{target}", bucket, keys="device, site")
        assert_live(db, f"silver.{target}", bucket, "device, site")
    with pytest.raises(psycopg.errors.Error, match="r_1h groups by site"):
        db.execute("call silver.drop_dimensions('silver.r_1m', '{site}')")
    db.execute("call silver.drop_dimensions('silver.r_1h', '{site}')")
    db.execute("call silver.drop_dimensions('silver.r_1m', '{site}')")
    late_row(db, 9500)
    run(db)
    for target, bucket in (("r_1m", MINUTE), ("r_1h", HOUR)):
        assert_true_rollup(db, f"silver.{target}", bucket, keys="device")
        assert_live(db, f"silver.{target}", bucket, "device")


def test_beside_writers_and_workers_nothing_is_lost(
    hourly: psycopg.Connection, connect: Connect
) -> None:
    ended = threading.Event()

    def write(writer: psycopg.Connection) -> None:
        while not ended.is_set():
            writer.execute(
                "insert into raw.readings select timestamptz '2025-03-01Z' + random() * "
                "interval '2 days', 'd' || i % 3, i % 2, i, i from generate_series(1, 3) i"
            )
            # A pause, so that what there is to do does not grow faster than it can be done.
            time.sleep(0.02)

    def work(worker: psycopg.Connection) -> None:
        while not ended.is_set():
            worker.execute("call silver.run_rollups(null, 3, false, null)")

    threads = [threading.Thread(target=f, args=[connect()]) for f in (write, write, work)]
    for thread in threads:
        thread.start()
    try:
        hourly.execute("call silver.add_dimensions('silver.r', '{site}')")
        hourly.execute("call silver.drop_dimensions('silver.r', '{device}')")
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="site")
    assert value(hourly, "select count(*) from silver.timeseries_error_log") == 0


def test_a_late_row_of_an_open_transaction_is_not_lost(
    hourly: psycopg.Connection, connect: Connect
) -> None:
    """It was logged for a series of the old key, which the new key does not know."""
    hourly.execute("select tsconsole.begin_dimensions('silver.r', '{site}')")
    hourly.execute("call tsconsole.build_keys('silver.r', '{ts,device,site}')")
    writer = connect(autocommit=False)
    writer.execute("insert into raw.readings values ('2025-03-01 10:00:30Z', 'd1', 1, 5, 9000)")
    with ThreadPoolExecutor(1) as pool:
        switch = "select tsconsole.switch_dimensions('silver.r', '{site}')"
        switched = pool.submit(connect().execute, switch)
        wait([switched], 4)
        run(hourly)
        writer.commit()
        switched.result(60)
    run(hourly)
    assert_true_rollup(hourly, "silver.r", HOUR, keys="device, site")


def test_meanwhile_every_stored_bucket_is_there_once(hourly: psycopg.Connection) -> None:
    """With the old series or with the new ones, also where a late row waits for its turn."""
    hourly.execute("call silver.add_dimensions('silver.r', '{site}')")
    run(hourly)
    late_row(hourly, 9000)
    hourly.execute("update silver.timeseries_rollup_config set processing_window = '6 hours'")
    hourly.execute("select tsconsole.retire_dimensions('silver.r', '{site}')")
    late = "2025-03-01 10:00Z"
    while value(hourly, "select outcome from silver.perform_step('silver.r')") == "done":
        assert_same(
            hourly,
            f"select {HOUR}, device, count(*) from raw.readings where {HOUR} <> '{late}' "
            "group by 1, 2",
            f"select ts, device, sum(rollup_count)::bigint from silver.r where ts <> '{late}' "
            "group by 1, 2",
        )
        rows = f"select sum(rollup_count) from silver.r where ts = '{late}'"
        assert value(hourly, rows) in (60, 61)


def test_what_the_source_no_longer_holds_keeps_its_values(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.readings (ts timestamptz, device text, site integer, temperature "
        "double precision, power integer) partition by range (ts)"
    )
    for day in (1, 2, 3):
        db.execute(f"create table raw.day{day} partition of raw.readings "
                   f"for values from ('2025-03-0{day}Z') to ('2025-03-0{day + 1}Z')")  # fmt: skip
    add_readings(db, "2025-03-01 00:00Z", 3 * 1440)
    create(db, "raw.readings", "r", "1 hour", dimensions=["device", "site"])
    run(db)
    db.execute("drop table raw.day1")
    with pytest.raises(psycopg.errors.Error, match="still rows with a value of site"):
        db.execute("call silver.drop_dimensions('silver.r', '{site}')")
    assert value(db, "select count(distinct site) from silver.r where ts < '2025-03-02Z'") == 2
    assert_true_rollup(db, "silver.r", HOUR, keys="device", where="ts >= '2025-03-02Z'")


@pytest.mark.parametrize(
    "call, message",
    [
        ("add_dimensions('silver.r', '{}')", "dimensions is empty"),
        ("add_dimensions('silver.r', '{device}')", "groups by device already"),
        ("add_dimensions('silver.r', '{nothing}')", "neither a column"),
        ("add_dimensions('silver.r', '{\"site as max_power\"}')", "has a measure max_power"),
        ("add_dimensions('silver.none', '{site}')", "silver.none"),
        ("drop_dimensions('silver.r', '{site}')", "does not group by site"),
        ("drop_dimensions('silver.r', '{}')", "dimensions is empty"),
    ],
)
def test_bad_input(hourly: psycopg.Connection, call: str, message: str) -> None:
    with pytest.raises(psycopg.errors.Error, match=message) as error:
        hourly.execute(f"call silver.{call}")
    assert error.value.sqlstate.startswith("TS")
    assert error.value.diag.message_hint


def test_a_paused_rollup_says_so(hourly: psycopg.Connection) -> None:
    hourly.execute("select silver.pause_rollup('silver.r')")
    with pytest.raises(psycopg.errors.Error, match="paused"):
        hourly.execute("call silver.drop_dimensions('silver.r', '{device}')")
