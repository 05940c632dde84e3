"""Retention, splits, merges and maintenance at work: nothing is lost, and nobody waits for long."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from stress.chaos import assert_silent
from stress.conftest import StressServer
from stress.upkeep import (
    LEVELS,
    RETIRED,
    SOURCES,
    Keeper,
    Killer,
    Level,
    LockWatch,
    Probe,
    Scale,
    Worker,
    Writer,
    make,
    set_retention,
)

pytestmark = [pytest.mark.stress, pytest.mark.sql, pytest.mark.slow]

Connection = psycopg.Connection[Any]

# What waits for a partition waits at most this long for its lock, and then holds it for as long.
LOCK_TIMEOUT = 0.7
MARGIN = 0.8
# What kills and short locks leave in the error log.
EXPECTED_ERRORS = ("TS007", "57014", "57P01", "40P01", "55P03")


def test_upkeep_under_load(
    stress_server: StressServer, stress_database: str, stress_seed: str, stress_seconds: float
) -> None:
    print(f"stress seed {stress_seed}")
    dice = random.Random(stress_seed)
    # Hours of data in minutes: short in CI, four hours in the long form.
    scale = Scale(600, 10) if stress_seconds < 60 else Scale(4 * 3600, 120)
    stopping, settled = threading.Event(), threading.Event()

    def seeded() -> random.Random:
        return random.Random(dice.random())

    with psycopg.connect(stress_database, autocommit=True) as db:
        make(db, scale, stress_seconds)
        db.execute("call silver.run_rollups(null, null, true, null)")
        set_retention(db, scale)
        workers = [Worker(stress_database, seeded(), settled) for _ in range(2)]
        keepers = [Keeper(stress_database, seeded(), stopping, scale) for _ in range(2)]
        writers = [Writer(stress_database, seeded(), stopping, scale) for _ in range(2)]
        probe = Probe(stress_database, seeded(), stopping)
        watch = LockWatch(stress_database, seeded(), stopping)
        killer = Killer(stress_database, seeded(), stopping)
        helpers = [*workers, *keepers, *writers, probe, watch, killer]
        for helper in helpers:
            helper.thread.start()
        time.sleep(stress_seconds)
        stopping.set()
        for helper in helpers[2:]:
            helper.thread.join(30)
        settle(db, settled)
        for helper in helpers:
            helper.thread.join(30)
            print(helper.name, dict(helper.done))
        assert_silent(stress_seed, [(helper.name, helper.errors) for helper in helpers])
        print("longest statement of the probe", probe.longest)
        print("longest wait for a lock", watch.longest)
        assert_right(db)
        assert watch.longest[0] < LOCK_TIMEOUT + MARGIN, watch.longest


def settle(db: Connection, settled: threading.Event) -> None:
    """Until every row is below every watermark, and every interrupted rebuild is finished."""
    left = (
        "select target_table::text, last_processed_time, pending_ranges, health_reason "
        "from silver.timeseries_operations_monitor where pending_ranges > 0 or retry_count > 0 "
        "or last_processed_time <= (select max(ts) from (select ts from stress.s0 union all "
        "select ts from stress.s1 union all select ts from stress.s2) t)"
    )
    deadline = time.monotonic() + 90
    while found := db.execute(left).fetchall():
        assert time.monotonic() < deadline, found
        db.execute("select tsconsole.end_wait(c.id) from silver.timeseries_rollup_config c")
        time.sleep(0.2)
    settled.set()
    time.sleep(0.2)
    for level in LEVELS:
        while True:
            row = db.execute(
                "call silver.rebuild_partitions(%s, null, null)", [f"silver.{level.name}"]
            ).fetchone()
            if not row or not row[0] or row[0][-1]["outcome"] != "busy":
                break
            assert time.monotonic() < deadline, row
    db.execute("call silver.run_maintenance(null, null, false, null)")


def assert_right(db: Connection) -> None:
    """Truth equal, no partition missing or overlapping, nothing left behind, nothing strange."""
    for level in LEVELS:
        differences = db.execute(differing(db, level).encode()).fetchall()
        assert not differences, (level.name, differences)
        ranges = db.execute(
            "select p.range_start, p.range_end from tsconsole.partitions(%s::regclass) p "
            "order by 1",
            [f"silver.{level.name}"],
        ).fetchall()
        for (_, end), (start, _) in pairwise(ranges):
            assert end == start, (level.name, end, start)
    for source in SOURCES:
        lost = db.execute(lost_rows(db, source).encode()).fetchall()
        assert not lost, (source, lost)
    left = db.execute(LEFT_BEHIND).fetchall()
    assert not left, left
    strange = db.execute(
        "select target_table, work, sql_state, error_message, error_context "
        "from silver.timeseries_error_log where sql_state <> all (%s) limit 5",
        [list(EXPECTED_ERRORS)],
    ).fetchall()
    assert not strange, strange


LEFT_BEHIND = """
    select 'not attached: ' || c.oid::regclass::text from pg_class c
    where c.relnamespace in ('raw'::regnamespace, 'silver'::regnamespace) and c.relkind = 'r'
      and c.relname ~ '^s[0-2]_' and not c.relispartition
    union all
    select 'detach pending: ' || i.inhrelid::regclass from pg_inherits i where i.inhdetachpending
    union all
    select 'invalid: ' || x.indexrelid::regclass from pg_index x where not x.indisvalid
    union all
    select 'detachment: ' || d::text from tsconsole.detachment d
    where not exists (select from pg_inherits i where i.inhrelid = d.partition)
    union all
    select 'rebuild: ' || r::text from tsconsole.partition_rebuild r
    union all
    select 'check: ' || c.conname || ' on ' || c.conrelid::regclass from pg_constraint c
    where c.conname like 'tsconsole%'
    union all
    select 'attempt: ' || a::text from tsconsole.attempt a
"""


def archived(db: Connection, schema: str, name: str) -> list[str]:
    """The tables that retention has moved to the archive."""
    rows = db.execute(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname ~ %s and c.relkind = 'r'",
        [f"{schema}_archive", f"^{name}_p"],
    ).fetchall()
    return [row[0] for row in rows]


def differing(db: Connection, level: Level) -> str:
    """The bag difference of what is stored, in the archive too, and GROUP BY over the shadow."""
    stored = " union all ".join(
        f"select {level.columns} from {table}"
        for table in [f"silver.{level.name}", *archived(db, "silver", level.name)]
    )
    since = "'-infinity'"
    if level.keeps is not None and level.action == "drop":
        since = (
            "(select coalesce(retained_from, '-infinity') from silver.timeseries_rollup_config "
            f"where target_name = 'silver.{level.name}')"
        )
    columns = level.columns
    return (
        f"select sum(side), {columns} from (select 1 as side, {columns} from ({level.truth()}) t "
        f"where ts >= {since} union all select -1, {columns} from ({stored}) s "
        f"where ts >= {since}) q group by {columns} having sum(side) <> 0 order by ts limit 8"
    )


def lost_rows(db: Connection, source: str) -> str:
    """Rows of the shadow that are neither in the source nor in its archive, or the other way."""
    tables = [f"raw.{source}", *archived(db, "raw", source)]
    stored = " union all ".join(f"select id, ts, dev, v from {table}" for table in tables)
    first = "'-infinity'"
    if RETIRED[source] == "drop":
        first = f"(select min(range_start) from tsconsole.partitions('raw.{source}'::regclass))"
    shadow = f"select id, ts, dev, v from stress.{source} where ts >= {first}"
    return (
        f"(select 'lost', * from ({shadow} except all ({stored})) a limit 4) union all "
        f"(select 'extra', * from (({stored}) except all {shadow}) b limit 4)"
    )
