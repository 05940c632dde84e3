"""Splitting and merging partitions: the same rows before, during and after, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_true_rollup,
    assert_verified,
    create,
    make_readings,
    refuse,
    run,
    value,
    wait_until,
)

Connect = Callable[..., psycopg.Connection]
HOUR = "date_trunc('hour', ts, 'UTC')"
READS = [
    "select sum(rollup_count) from silver.h where ts < '2025-03-20Z'",
    "select sum(rollup_count) from silver.h_live where ts < '2025-03-20Z'",
    "select sum(rollup_count) from silver.live(null::silver.h, null, '2025-03-20Z')",
]
STEP = "select outcome, detail from tsconsole.rebuild_step('silver.h')"


@pytest.fixture
def rollup(db: psycopg.Connection) -> psycopg.Connection:
    """An hourly rollup of 39 days from 2025-02-20 on, in partitions of a day."""
    make_readings(db, 0)
    add_readings(db, "2025-02-20 05:00Z", 39 * 24 * 4, "15 minutes")
    create(db, "raw.readings", "h", "1 hour", dimensions=["device"], chunk_interval="1 day")
    run(db)
    return db


def set_interval(db: psycopg.Connection, interval: str) -> None:
    db.execute("select silver.alter_rollup('silver.h', chunk_interval := %s::interval)", [interval])


def ranges(db: psycopg.Connection) -> list[tuple[str, str]]:
    return db.execute(
        "select range_start::date::text, range_end::date::text "
        "from tsconsole.partitions('silver.h') order by range_start"
    ).fetchall()


def step(db: psycopg.Connection) -> str:
    """Make one step, and say how it ended."""
    return str(value(db, STEP))


def rebuild(db: psycopg.Connection) -> list[str]:
    [steps] = db.execute("call silver.rebuild_partitions('silver.h')").fetchone()
    return [one["outcome"] for one in steps]


def assert_right(db: psycopg.Connection) -> None:
    assert_true_rollup(db, "silver.h", HOUR, keys="device")
    assert_verified(db, "silver.h")
    found = ranges(db)
    assert all(one[1] <= other[0] for one, other in pairwise(found)), found
    left = value(
        db,
        "select array_agg(relname) from pg_class where relname like '%\\_new%' and relkind = 'r'",
    )
    assert left is None


def test_merge_to_months_and_split_to_weeks(rollup: psycopg.Connection) -> None:
    rollup.execute("set timezone = 'UTC'")
    rollup.execute("create index on silver.h (device)")
    rollup.execute("alter table silver.h_p20250301 set (fillfactor = 90)")
    set_interval(rollup, "1 month")
    plan = rollup.execute(
        "select work, range_start::date::text, range_end::date::text, partitions, becomes "
        "from silver.plan_partition_rebuild('silver.h')"
    ).fetchall()
    assert plan == [
        ("merge", "2025-02-20", "2025-03-01", 9, 1),
        ("merge", "2025-03-01", "2025-04-01", 31, 1),
    ]
    outcomes = rebuild(rollup)
    assert outcomes.count("swapped") == 2 and outcomes.count("begun") == 2
    assert ranges(rollup) == [("2025-02-20", "2025-03-01"), ("2025-03-01", "2025-04-01")]
    assert_right(rollup)
    names = "select array_agg(partition::text order by 1) from tsconsole.partitions('silver.h')"
    assert value(rollup, names) == ["silver.h_p20250220", "silver.h_p20250301"]
    # They are partitions like any other: the same indexes, all attached, and no constraint left.
    assert value(
        rollup,
        "select count(*) from pg_inherits where inhrelid in (select indexrelid from pg_index "
        "where indrelid in ('silver.h_p20250220'::regclass, 'silver.h_p20250301'::regclass))",
    ) == 4  # fmt: skip
    assert value(
        rollup, "select count(*) from pg_constraint where conname = 'tsconsole_range'"
    ) == 0  # fmt: skip
    set_interval(rollup, "7 days")
    assert "swapped" in rebuild(rollup)
    found = ranges(rollup)
    # Weeks begin on Mondays; the one that reached over the end of the month was cut and is whole.
    assert found[:3] == [
        ("2025-02-20", "2025-02-24"),
        ("2025-02-24", "2025-03-03"),
        ("2025-03-03", "2025-03-10"),
    ]
    assert_right(rollup)
    assert rebuild(rollup) == []


def test_nothing_is_lost_when_it_is_interrupted(
    rollup: psycopg.Connection, connect: Connect
) -> None:
    """Every step can be the last: killed before its commit, and with all that was committed."""
    set_interval(rollup, "10 days")
    worker = connect(autocommit=False)
    outcomes = []
    for number in range(60):
        outcome, _ = worker.execute(STEP).fetchone()
        if number % 2 == 0:
            pid = worker.info.backend_pid
            rollup.execute("select pg_terminate_backend(%s, 5000)", [pid])
            worker = connect(autocommit=False)
        else:
            worker.commit()
            outcomes.append(outcome)
        assert_true_rollup(rollup, "silver.h", HOUR, keys="device")
        if outcome == "done":
            break
    assert "swapped" in outcomes
    assert_right(rollup)


def test_what_steps_write_meanwhile_is_there(rollup: psycopg.Connection) -> None:
    """A late row, a deletion, and a new bucket in a gap, between the copy and the swap."""
    set_interval(rollup, "1 month")
    while step(rollup) != "copied":
        pass
    rollup.execute("insert into raw.readings values ('2025-02-22 07:10Z', 'd9', 1, 3, 3)")
    rollup.execute("delete from raw.readings where ts >= '2025-02-24Z' and ts < '2025-02-25Z'")
    rollup.execute("update raw.readings set power = power + 1 where ts < '2025-02-21Z'")
    run(rollup)
    outcomes = rebuild(rollup)
    assert outcomes[:2] == ["copied", "swapped"], outcomes
    assert_right(rollup)


def test_changes_that_do_not_fit_begin_anew(rollup: psycopg.Connection) -> None:
    set_interval(rollup, "1 month")
    step(rollup)
    rollup.execute("select silver.add_measures('silver.h', '{\"power\": [\"first\"]}')")
    assert step(rollup) == "restarted"
    step(rollup)
    rollup.execute("drop table silver.h_p20250222")
    assert step(rollup) == "restarted"
    rollup.execute("select silver.invalidate('silver.h', '-infinity', 'infinity')")
    step(rollup)
    run(rollup)
    rebuild(rollup)
    assert_right(rollup)
    set_interval(rollup, "1 day")
    step(rollup)
    rollup.execute("select silver.drop_rollup('silver.h')")
    assert value(rollup, "select count(*) from pg_class where relname like 'h\\_p%'") == 0


def test_steps_in_hand_are_waited_for(rollup: psycopg.Connection, connect: Connect) -> None:
    """Neither the beginning nor the swap may miss what a step has written and not committed."""
    set_interval(rollup, "1 month")
    worker = connect(autocommit=False)
    claim = "select tsconsole.claim(id, 'history') from silver.timeseries_rollup_config"
    worker.execute(claim)
    assert rollup.execute(STEP).fetchone() == ("busy", "a step is running")
    worker.rollback()
    assert step(rollup) == "begun"
    worker.execute(claim)
    while (found := rollup.execute(STEP).fetchone())[0] == "copied":
        pass
    assert found == ("busy", "a step is running")
    with rollup.transaction():
        rollup.execute("set local lock_timeout = '7s'")
        assert value(rollup, "select tsconsole.claim_steps(1, '50ms')") is False
        assert value(rollup, "show lock_timeout") == "7s"
    worker.rollback()
    assert step(rollup) == "swapped"
    assert_right(rollup)


def test_one_that_was_left_for_a_day_begins_anew(rollup: psycopg.Connection) -> None:
    """The log no longer says for certain what steps have written since it began."""
    set_interval(rollup, "1 month")
    step(rollup)
    rollup.execute("update tsconsole.partition_rebuild set begun_at = begun_at - interval '1 day'")
    assert step(rollup) == "restarted"
    assert_right(rollup)


def test_a_reader_in_a_transaction_is_not_blocked_and_not_betrayed(
    rollup: psycopg.Connection, connect: Connect
) -> None:
    set_interval(rollup, "1 month")
    rows = value(rollup, "select count(*) from silver.h")
    old, reader = connect(autocommit=False), connect(autocommit=False)
    old.execute("set transaction isolation level repeatable read")
    old.execute("select 1 from silver.timeseries_rollup_config")
    reader.execute("select count(*) from silver.h")
    started = time.monotonic()
    for _ in range(100):
        outcome, detail = rollup.execute(STEP).fetchone()
        if outcome == "busy":
            break
    assert detail == "a transaction that is older than the copy is still open"
    assert value(old, "select count(*) from silver.h") == rows
    old.rollback()
    # A run of autovacuum counts among the older transactions, too.
    wait_until(
        lambda: rollup.execute(STEP).fetchone()[1].startswith("the target is in use: its lock")
    )
    assert time.monotonic() - started < 60
    reader.rollback()
    assert step(rollup) == "swapped"
    assert value(rollup, "select count(*) from silver.h") == rows


def test_while_everything_runs(rollup: psycopg.Connection, connect: Connect) -> None:
    """Readers see every row at every moment, writers and workers go on, and the end is true."""
    rows = value(rollup, "select sum(rollup_count) from silver.h where ts < '2025-03-20Z'")
    stop = threading.Event()
    problems: list[object] = []
    waits = [0.0]

    def read(db: psycopg.Connection, number: int) -> None:
        started = time.monotonic()
        query = READS[number % 3]
        found = value(db, query)
        if query == READS[0]:
            waits.append(time.monotonic() - started)
        if found != rows:
            problems.append((query, found, rows))
        time.sleep(0.01)

    def write(db: psycopg.Connection, number: int) -> None:
        db.execute(
            "update raw.readings set power = power + 1 where ts = timestamptz '2025-02-20 05:00Z' "
            "+ %s * interval '15 minutes'",
            [number * 97 % 2000],
        )
        time.sleep(0.02)

    def work(db: psycopg.Connection, number: int) -> None:
        db.execute("call silver.run_rollups('silver.h', 3, true, null)")

    actions = (read, read, write, work)
    threads = [
        threading.Thread(target=repeat, args=[connect(), act, stop, problems]) for act in actions
    ]
    for thread in threads:
        thread.start()
    for interval in ("10 days", "3 days"):
        set_interval(rollup, interval)
        for _ in range(5):
            rebuild(rollup)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    assert max(waits) < 3, "a reader waited"
    run(rollup)
    rebuild(rollup)
    assert value(rollup, "select count(*) from silver.plan_partition_rebuild('silver.h')") == 0
    assert_right(rollup)


def repeat(
    db: psycopg.Connection,
    act: Callable[[psycopg.Connection, int], None],
    stop: threading.Event,
    problems: list[object],
) -> None:
    """Act again and again until told to stop; what is raised is a problem."""
    number = 0
    try:
        while not stop.is_set():
            number += 1
            act(db, number)
    except BaseException as error:
        problems.append(error)


def test_bad_input(rollup: psycopg.Connection) -> None:
    refuse(rollup, "select * from silver.plan_partition_rebuild('raw.readings')", None,
           "TS002", "raw.readings is not a rollup")  # fmt: skip
    refuse(rollup, "call silver.rebuild_partitions('raw.readings')", None,
           "TS002", "raw.readings is not a rollup")  # fmt: skip


@pytest.mark.parametrize("work", ["frontier", "recompute"])
def test_a_late_row_in_a_gap_that_a_step_has_jumped_is_copied(
    rollup: psycopg.Connection, work: str
) -> None:
    """It comes after the step has looked for the first row, and before it aggregates."""
    rollup.execute("delete from raw.readings where ts >= '2025-03-20Z' and ts < '2025-03-22Z'")
    run(rollup)
    if work == "frontier":
        rollup.execute("delete from silver.h where ts >= '2025-03-20Z'")
        rollup.execute(
            "update silver.timeseries_rollup_config set last_processed_time = '2025-03-20Z'"
        )
    set_interval(rollup, "10 days")
    # To the point where all is copied and nothing is in its place yet.
    is_copied = (
        "select exists (select from tsconsole.partition_rebuild where copied_to = range_end "
        "and tstzrange(range_start, range_end) @> '2025-03-20 10:00Z'::timestamptz)"
    )
    while not value(rollup, is_copied):
        assert step(rollup) != "done"
    rollup.execute(
        "alter function tsconsole.choose_range rename to chosen;"
        "create function tsconsole.choose_range(config silver.timeseries_rollup_config, "
        "work text, horizon timestamptz) returns tsconsole.work_range language plpgsql as "
        "'declare range tsconsole.work_range := tsconsole.chosen(config, work, horizon); begin "
        "insert into raw.readings values (''2025-03-20 10:00Z'', ''d1'', 1, 5, 5); "
        "return range; end'"
    )
    if work == "recompute":
        rollup.execute("select silver.invalidate('silver.h', '2025-03-20Z', '2025-03-23Z')")
    assert value(rollup, "select outcome from silver.perform_step('silver.h')") == "done"
    rollup.execute(
        "drop function tsconsole.choose_range;"
        "alter function tsconsole.chosen rename to choose_range"
    )
    assert "swapped" in rebuild(rollup)
    run(rollup)
    assert_right(rollup)
