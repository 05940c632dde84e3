"""Retention of sources and targets: the old goes, and what was rolled up from it stays right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_same,
    assert_true_rollup,
    assert_verified,
    clear_of_midnight,
    column,
    create,
    create_ladder,
    refuse,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]
MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"
COLUMNS = "ts, device, rollup_count, sum_power, min_power, max_power, sum_temperature"
MIDNIGHT = "date_trunc('day', now(), 'UTC')"


def make_source(db: psycopg.Connection, days: int = 6, kind: str = "timestamptz") -> None:
    """raw.readings in partitions of a day, a row a minute for whole days until last midnight."""
    clear_of_midnight(db)
    db.execute(
        f"create table raw.readings (ts {kind}, device text, site integer, "
        "temperature double precision, power integer) partition by range (ts);"
        "create index on raw.readings (ts)"
    )
    for day in range(days + 2):
        db.execute(
            f"""
            do $$ begin execute format(
                'create table raw.day{day} partition of raw.readings for values from (%L) to (%L)',
                ({MIDNIGHT} at time zone 'UTC')::date - {days} + {day},
                ({MIDNIGHT} at time zone 'UTC')::date - {days} + {day} + 1); end $$
            """.replace("(%L)", "(%L)")
        )
    start = value(db, f"select ({MIDNIGHT} - interval '{days} days')::text")
    add_readings(db, start, days * 1440)


@pytest.fixture
def source(db: psycopg.Connection) -> psycopg.Connection:
    """The source with a ladder on it, all rolled up, and what was ever there to compare with."""
    db.execute("set timezone = 'UTC'")
    make_source(db)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    db.execute("create table ever as table raw.readings")
    run(db)
    return db


def assert_ladder(db: psycopg.Connection, source: str = "ever") -> None:
    now = f"ts < {MIDNIGHT}"
    for target, bucket in {"r_1m": MINUTE, "r_1h": HOUR}.items():
        assert_true_rollup(db, f"silver.{target}", bucket, source, "device", where=now)
        assert_verified(db, f"silver.{target}")
        assert_same(db, f"select {COLUMNS} from silver.{target} where {now}",
                    f"select {COLUMNS} from silver.{target}_live where {now}")  # fmt: skip


def apply(
    db: psycopg.Connection, table: str | None = "raw.readings", dry_run: bool = False
) -> list[tuple[str, str, str]]:
    return db.execute(
        "select partition_name, action, reason from silver.apply_retention(%s, %s)",
        [table, dry_run],
    ).fetchall()


def apply_all(db: psycopg.Connection, table: str | None = "raw.readings") -> list[str]:
    """Until nothing more goes; on a busy machine one call may not do everything."""
    gone: list[str] = []
    while went := [name for name, action, _ in apply(db, table) if action != "keep"]:
        gone += went
    return gone


def partitions(db: psycopg.Connection, table: str = "raw.readings") -> list[str]:
    return column(
        db,
        "select partition::text from tsconsole.partitions(%s::text::regclass) order by range_start",
        [table],
    )


def retain(db: psycopg.Connection, table: str, period: str | None, action: str = "drop") -> None:
    db.execute("select silver.set_retention(%s, %s::interval, %s)", [table, period, action])


def test_a_source_loses_its_old_partitions_and_no_rollup_a_row(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "3 days")
    before = partitions(source)
    dry = source.execute("select * from silver.apply_retention('raw.readings', true)").fetchall()
    assert [(row[0], row[1], row[5], row[6]) for row in dry] == [
        ("raw.readings", f"raw.day{day}", "drop", "it is older than 3 days") for day in range(3)
    ]
    assert [row[4] for row in dry] == [
        value(source, "select pg_total_relation_size(%s::text::regclass)", [row[1]]) for row in dry
    ]
    assert partitions(source) == before, "a dry run changes nothing"
    assert apply_all(source) == ["raw.day0", "raw.day1", "raw.day2"]
    assert value(source, "select to_regclass('raw.day2')") is None
    assert partitions(source) == before[3:]
    assert_ladder(source)
    run(source)
    source.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    source.execute("select silver.invalidate('silver.r_1h', '-infinity', 'infinity')")
    run(source)
    assert_ladder(source)
    assert apply(source) == []


def test_it_waits_for_the_rollup_that_is_behind(source: psycopg.Connection) -> None:
    create(source, "raw.readings", "slow", "1 day", is_active=False)
    retain(source, "raw.readings", "3 days", "archive")
    for dry_run in (True, False):
        rows = apply(source, dry_run=dry_run)
        assert [action for _, action, _ in rows] == ["keep"] * 3
        assert "silver.slow still has to compute buckets from" in rows[0][2]
        assert rows[1][2] == "it waits for raw.day0, which is older and stays"
    finding = (
        "select is_valid, message from silver.validate_rollup_config() "
        "where check_name = 'source retention' and target_table = 'silver.slow'"
    )
    valid, message = source.execute(finding).fetchone()
    assert not valid and "silver.slow still has to compute" in message
    source.execute("select silver.resume_rollup('silver.slow')")
    run(source)
    late = f"{MIDNIGHT} - interval '6 days' + interval '10 hours'"
    for table in ("raw.readings", "ever"):
        source.execute(f"update {table} set power = power + 9 where ts = {late}")
    assert "still has to compute" in apply(source)[0][2]
    run(source)
    assert apply_all(source) == ["raw.day0", "raw.day1", "raw.day2"]
    run(source)
    assert_ladder(source)


def test_a_late_row_that_is_not_committed_is_not_lost(
    source: psycopg.Connection, connect: Connect
) -> None:
    """The writer holds the partition: retention gives way, and then sees what it logged."""
    retain(source, "raw.readings", "3 days")
    writer = connect(autocommit=False)
    row = f"({MIDNIGHT} - interval '6 days', 'd0', 1, 5, 5)"
    writer.execute(f"insert into raw.readings values {row}")
    source.execute(f"insert into ever values {row}")
    started = time.monotonic()
    [first, *_] = apply(source)
    assert time.monotonic() - started < 3
    assert first == (
        "raw.day0",
        "keep",
        "it is in use: its lock was not to be had in 200 ms, three times",
    )
    writer.commit()
    assert "silver.r_1m still has to compute" in apply(source)[0][2]
    run(source)
    assert apply_all(source) == ["raw.day0", "raw.day1", "raw.day2"]
    run(source)
    assert_ladder(source)


def test_a_late_row_that_is_committed_while_the_lock_is_waited_for(
    source: psycopg.Connection, connect: Connect
) -> None:
    retain(source, "raw.readings", "5 days")
    writer, other = connect(autocommit=False), connect()
    writer.execute(f"insert into raw.readings values ({MIDNIGHT} - interval '6 days', 'd0')")
    said: list[tuple[str, str, str]] = []
    thread = threading.Thread(target=lambda: said.extend(apply(other)))
    thread.start()
    while not value(source, "select exists (select from pg_locks where not granted)"):
        pass
    writer.commit()
    thread.join()
    assert said[0][1] == "keep" and "silver.r_1m still has to compute" in said[0][2]
    assert "raw.day0" in partitions(source)


def test_locks_are_not_held_for_long(source: psycopg.Connection) -> None:
    """What one transaction does not come to within half a second is left for the next."""
    retain(source, "raw.readings", "3 days")
    with source.transaction():
        source.execute(
            "select set_config('tsconsole.retention_holds_since', "
            "(clock_timestamp() - interval '1 second')::text, true)"
        )
        [(_, action, reason), *_] = apply(source)
    assert action == "keep" and reason.startswith("this transaction has held its locks"), reason
    assert apply(source)[0][1] == "drop"


def test_archived_partitions_are_tables_of_their_own(source: psycopg.Connection) -> None:
    """In raw_archive, beside one of the same name, without our triggers; and they can come back."""
    retain(source, "raw.readings", "5 days", "archive")
    assert apply_all(source) == ["raw.day0"]
    assert value(source, "select count(*) from raw_archive.day0") == 1440
    source.execute("create table raw.day0 (mine int); drop table raw.day0")
    source.execute("alter table raw_archive.day0 rename to day1")
    retain(source, "raw.readings", "4 days", "archive")
    assert apply_all(source) == ["raw.day1"]
    assert value(source, "select count(*) from raw_archive.day1_2") == 1440
    assert not column(
        source,
        "select tgname from pg_trigger where not tgisinternal and tgrelid in "
        "('raw_archive.day1'::regclass, 'raw_archive.day1_2'::regclass)",
    )
    run(source)
    assert_ladder(source)
    source.execute("update raw_archive.day1_2 set power = 1")
    source.execute(
        f"update ever set power = 1 where ts >= {MIDNIGHT} - interval '5 days' "
        f"and ts < {MIDNIGHT} - interval '4 days'"
    )
    bounds = value(
        source,
        f"select format('from (%L) to (%L)', {MIDNIGHT} - interval '5 days', "
        f"{MIDNIGHT} - interval '4 days')",
    )
    source.execute(
        f"alter table raw.readings attach partition raw_archive.day1_2 for values {bounds}"
    )
    run(source)
    assert_ladder(source)


def test_targets_are_archived_beside_their_schema(source: psycopg.Connection) -> None:
    source.execute("create schema extra")
    create(source, "raw.readings", "extra.m", "1 minute", chunk_interval="1 day")
    run(source)
    retain(source, "extra.m", "2 days", "archive")
    kept = source.execute("table extra.m").fetchall()
    gone = apply_all(source, "extra.m")
    assert len(gone) == 4
    archived = column(
        source,
        "select relname from pg_class where relnamespace = 'extra_archive'::regnamespace "
        "and relkind = 'r' order by 1",
    )
    assert [f"extra.{name}" for name in archived] == gone
    rows = list(source.execute("table extra.m").fetchall())
    for name in archived:
        rows += source.execute(f"table extra_archive.{name}").fetchall()
    assert sorted(map(str, rows)) == sorted(map(str, kept))
    assert_verified(source, "extra.m")


@pytest.mark.parametrize("kind", ["timestamp", "date"])
def test_sources_without_a_zone(db: psycopg.Connection, kind: str) -> None:
    make_source(db, kind=kind)
    create(db, "raw.readings", "d", "1 day", dimensions=["device"])
    run(db)
    rows = db.execute("select * from silver.d order by ts, device").fetchall()
    retain(db, "raw.readings", "3 days")
    assert apply_all(db) == ["raw.day0", "raw.day1", "raw.day2"]
    db.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    run(db)
    assert db.execute("select * from silver.d order by ts, device").fetchall() == rows
    assert_verified(db, "silver.d")


def test_a_source_that_is_looked_back_at(db: psycopg.Connection) -> None:
    """No triggers, no inventory: what was dropped is frozen all the same."""
    make_source(db)
    create(db, "raw.readings", "h", "1 hour", dimensions=["device"], change_tracking="look_back",
           look_back_window="10 days")  # fmt: skip
    run(db)
    rows = db.execute("select * from silver.h order by ts, device").fetchall()
    refuse(db, "select silver.set_retention('raw.readings', '3 days')", None,
           "TS001", "shorter than what silver.h needs")  # fmt: skip
    db.execute("select silver.alter_rollup('silver.h', look_back_window := '3 days')")
    retain(db, "raw.readings", "3 days")
    run(db)
    assert apply_all(db) == ["raw.day0", "raw.day1", "raw.day2"]
    db.execute("update silver.timeseries_rollup_config set look_back_window = '30 days'")
    db.execute("select silver.invalidate('silver.h', '-infinity', 'infinity')")
    run(db)
    assert db.execute("select * from silver.h order by ts, device").fetchall() == rows


def test_maintenance_keeps_sources_too(source: psycopg.Connection) -> None:
    """Once, with the first rollup on the source, and says so."""
    create(source, "raw.readings", "other", "1 hour")
    run(source)
    retain(source, "raw.readings", "3 days", "archive")
    said = source.execute(
        "select target_table, outcome, detail from silver.maintain_timeseries_tables() "
        "where task = 'retention' order by 1"
    ).fetchall()
    forever = ("skipped", "no retention_period: rows are kept for ever")
    assert said == [
        ("silver.other", *forever),
        ("silver.r_1h", *forever),
        ("silver.r_1m", "done", "archived raw.day0, raw.day1, raw.day2"),
    ]
    again = value(
        source,
        "select detail from silver.maintain_timeseries_tables('silver.r_1m') "
        "where task = 'retention'",
    )
    assert again == "no partition of raw.readings is older than 3 days"


def test_maintenance_says_for_each_table_what_went(source: psycopg.Connection) -> None:
    """Seeing to the source with its first rollup leaves the others' targets to them."""
    create(source, "raw.readings", "other", "1 hour", chunk_interval="1 day")
    run(source)
    retain(source, "raw.readings", "5 days", "archive")
    retain(source, "silver.other", "4 days")
    said = dict(
        source.execute(
            "select target_table, detail from silver.maintain_timeseries_tables() "
            "where task = 'retention'"
        ).fetchall()
    )
    assert said["silver.r_1m"] == "archived raw.day0"
    assert said["silver.other"].startswith("dropped silver.other_p"), said
    assert said["silver.other"].count("silver.other_p") == 2, said


def test_states_of_a_source(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "3 days")
    states = "select state from silver.get_partition_stats('raw.readings')"
    expected = ["expired"] * 3 + ["closed"] * 3 + ["open", "premade"]
    assert column(source, states) == expected
    retain(source, "raw.readings", None)
    assert column(source, states) == ["closed"] * 6 + ["open", "premade"]


def test_beside_workers_and_late_writers(source: psycopg.Connection, connect: Connect) -> None:
    """Late rows keep coming for what is about to go, workers run, and nothing is lost."""
    source.execute("alter table ever add column tag int")
    stop = threading.Event()
    problems: list[BaseException] = []
    waits: list[float] = []

    def repeat(act: Callable[[psycopg.Connection, int], Any]) -> Callable[[], None]:
        def loop() -> None:
            db = connect()
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    act(db, number)
                except BaseException as error:
                    problems.append(error)
                    return

        return loop  # fmt: skip

    def write(db: psycopg.Connection, number: int) -> None:
        values = [number * 37 % 8640, f"d{number % 3}", number]
        row = f"select {MIDNIGHT} - interval '6 days' + %s * interval '1 minute', %s, 1, 5, %s"
        # A row for a partition that is gone is refused as a whole, so both tables agree.
        started = time.monotonic()
        try:
            db.execute(
                f"with new as ({row}), a as (insert into ever select * from new) "
                "insert into raw.readings select * from new",
                values,
            )
        except psycopg.errors.CheckViolation:
            return
        finally:
            waits.append(time.monotonic() - started)

    def work(db: psycopg.Connection, number: int) -> None:
        db.execute("call silver.run_rollups('raw.readings', 4, true, null)")

    threads = [threading.Thread(target=repeat(act)) for act in (write, write, work)]
    for thread in threads:
        thread.start()
    for hours in range(140, 70, -4):
        retain(source, "raw.readings", f"{hours} hours")
        apply(source)
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert max(waits) < 2, "a writer waited for much longer than the lock_timeout"
    run(source)
    apply_all(source)
    assert len(partitions(source)) < 7
    run(source)
    assert_ladder(source)
