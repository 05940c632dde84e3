"""One run of the stress: its threads and processes, and what it left behind."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from stress.arena import LADDER, LEVELS, STAGES, Level, make_source, set_nap, widen_races
from stress.chaos import (
    Chaos,
    Helper,
    Operator,
    Workers,
    assert_silent,
    end_waits,
    finish_prepared,
    wait_for,
)
from stress.checker import SNAPSHOT, Checker, differing, existing, state
from stress.conftest import StressServer
from stress.partitioner import Partitioner
from stress.upkeeper import Upkeeper, finish
from stress.writers import Writer

Connection = psycopg.Connection[Any]
WRITERS = 12
WORKERS = 3
# What kills, cancels and crashes leave in the error log.
EXPECTED_ERRORS = ("TS007", "57014", "57P01", "40P01", "55P03")
# A partition may be away for a while with rows that no step has read.
EXPECTED_OF_PARTITIONS = ("TS009",)

STEPS = """
    select work, count(*)::int, sum(rows_read)::int, sum(rows_written)::int, sum(rows_deleted)::int
    from silver.timeseries_refresh_log group by 1
    union all select 'rows now', count(*), null, null, null from raw.events
    union all select sql_state, count(*), null, null, null
    from silver.timeseries_error_log group by 1
"""


class Stress:
    """One run: its threads and processes, and what they counted."""

    def __init__(
        self,
        dsn: str,
        server: StressServer,
        seed: str,
        folder: Path,
        moves_partitions: bool = False,
    ) -> None:
        self.moves_partitions = moves_partitions
        self.dsn, self.server, self.seed = dsn, server, seed
        self.dice = random.Random(seed)
        self.log = folder / "workers.log"
        self.stopping = threading.Event()
        self.quiet = threading.Event()
        self.crashes = 0
        self.caught_up_after = 0.0

    def begin(self) -> None:
        with self.connect() as db:
            make_source(db, with_default=not self.moves_partitions)
            for level in LADDER:
                level.create(db)
            widen_races(db, STAGES, longest_ms=60)
            has_prepared = db.execute("show max_prepared_transactions").fetchone()[0] != "0"
        self.workers = Workers(self.dsn, self.dice, WORKERS, self.log)
        self.writers = [
            Writer(self.dsn, f"{self.seed}-{n}", 0.1, self.stopping, has_prepared)
            # Whoever needs a partition for himself must get it now and then.
            for n in range(WRITERS // 2 if self.moves_partitions else WRITERS)
        ]
        self.checker = Checker(self.dsn, self.quiet)
        self.operator = Operator(self.dsn, self.fork(), self.quiet, self.stopping)
        self.chaos = Chaos(self.dsn, self.fork(), self.stopping, self.workers)
        self.partitioner = Partitioner(self.dsn, self.fork(), self.stopping)
        self.upkeeper = Upkeeper(self.dsn, self.fork(), self.stopping)
        self.helpers: list[Helper] = [self.operator, self.chaos, self.upkeeper]
        if self.moves_partitions:
            self.helpers.append(self.partitioner)
        else:
            # Live views know of moved partitions only from the next step on.
            self.checker.thread.start()
        for other in (*self.writers, *self.helpers):
            other.thread.start()

    def fork(self) -> random.Random:
        return random.Random(self.dice.random())

    def connect(self) -> Connection:
        return psycopg.connect(self.dsn, autocommit=True, application_name="stress-test")

    def write(self, seconds: float) -> None:
        """Let them write, with a crash after the first and the second third."""
        # A rollup is created meanwhile, and cannot be while a writer stays open; then they may.
        self.operator.created.wait(seconds / 4)
        for third in range(3):
            deadline = time.monotonic() + seconds / 3
            while time.monotonic() < deadline and not self.checker.reports:
                # Seconds for which a transaction stays open: long ones hold the frontier back.
                longest = self.dice.choice((0.1, 0.5, 0.2 if self.moves_partitions else 3))
                for writer in self.writers:
                    writer.longest = longest
                time.sleep(0.7)
            if self.server.crash is not None and third < 2 and not self.checker.reports:
                self.server.crash()
                self.crashes += 1
                wait_for(self.dsn, 30)
        self.stopping.set()
        for other in (*self.writers, self.chaos, self.partitioner, self.upkeeper):
            if other.thread.is_alive():
                other.thread.join(20)

    def catch_up(self, seconds: float) -> None:
        """The writers have stopped: until nothing is left to do, with the workers running."""
        with self.connect() as db:
            set_nap(db, 0)
            db.execute("update silver.timeseries_rollup_config set is_active = true")
            finish_prepared(db, self.dice, older_than="0")
            if self.moves_partitions:
                self.partitioner.attach_all(db)
            # One late row gives every level a step, which clears up after the killed ones.
            db.execute(
                "insert into raw.events (ts, dev, v) select now() - interval '1 minute', 1, 1"
            )
            started = time.monotonic()
            while (not_there(db) or left_to_do(db)) and time.monotonic() < started + seconds:
                end_waits(db, self.dice)
                time.sleep(0.3)
            self.caught_up_after = time.monotonic() - started
        self.quiet.set()
        self.workers.stop()
        for other in (self.checker, self.operator):
            if other.thread.is_alive():
                other.thread.join(20)

    def counted(self) -> dict[str, Any]:
        done: Counter[str] = sum((w.done for w in self.writers), Counter())
        errors: Counter[str] = sum((w.errors for w in self.writers), Counter())
        return {
            "seed": self.seed,
            "snapshots": self.checker.snapshots,
            "views": self.checker.views,
            "crashes": self.crashes,
            "seconds to catch up": round(self.caught_up_after, 1),
            "longest wait of a worker": round(self.chaos.longest_wait, 2),
            "chaos": dict(self.chaos.done),
            "operator": dict(self.operator.done),
            "partitions": dict(self.partitioner.done),
            "upkeep": dict(self.upkeeper.done),
            "writes": dict(done),
            "writers' errors": dict(errors),
        }

    def run(self, seconds: float) -> None:
        """All of it; then what must not have happened."""
        print(f"stress seed {self.seed}")
        self.begin()
        try:
            self.write(seconds)
            self.catch_up(60)
        finally:
            self.stopping.set()
            self.quiet.set()
            self.workers.stop()
        print(self.counted())
        expected = EXPECTED_ERRORS + (EXPECTED_OF_PARTITIONS if self.moves_partitions else ())
        said = [("checker", [*self.checker.reports, *self.checker.errors])]
        said += [(helper.name, helper.errors) for helper in self.helpers]
        assert_silent(self.seed, [*said, ("workers", self.log.read_text().splitlines())])
        with self.connect() as db:
            print(db.execute(STEPS).fetchall())
            # The clock went on while the workers were told to stop, and does while this runs.
            for _ in range(5):
                db.execute("call silver.run_rollups(null, null, true, null)")
                if not left_to_do(db):
                    break
            try:
                assert_settled(db, expected)
                finish(db)
                db.execute("call silver.run_rollups(null, null, true, null)")
                assert_settled(db, expected)
            except AssertionError:
                print("\n".join(self.partitioner.journal))
                raise


def not_there(db: Connection) -> bool:
    """Whether the operator still tries to create the last rollup."""
    return len(existing(db)) < len(LEVELS)


def left_to_do(db: Connection) -> list[tuple[Any, ...]]:
    """Rollups that are behind, have something pending, or wait; steps that were lost."""
    return db.execute(
        "select target_table::text, health_status, pending_ranges, health_reason "
        "from silver.timeseries_operations_monitor "
        "where health_status not in ('OK', 'RUNNING') or pending_ranges > 0 or retry_count > 0 "
        "or target_table in (select c.target_table from silver.timeseries_rollup_config c "
        "                    where tsconsole.possible_horizon(c) - c.last_processed_time "
        "                        > c.rollup_interval + interval '5 seconds') "
        "union all select 'attempt', null, null, a::text from tsconsole.attempt a "
        "where not exists (select from pg_stat_activity s where s.pid = a.pid "
        "                  and s.application_name = 'stress-worker')"
    ).fetchall()


def stored_differences(level: Level) -> str:
    """Of the stored rows, below the watermark."""
    mark = (
        "(select last_processed_time from silver.timeseries_rollup_config "
        f"where target_name = '{level.target}')"
    )
    return level.differences(level.target, f"ts < {mark}")


def assert_settled(db: Connection, expected: Sequence[str]) -> None:
    """Every level equals GROUP BY, verify agrees, nothing is stuck, nothing strange was logged."""
    left = left_to_do(db)
    assert not left, "\n".join(["still to do:", *map(str, left), *state(db)])
    assert not db.execute("select * from tsconsole.attempt").fetchall()
    db.execute(SNAPSHOT)
    for query in (stored_differences, Level.live_differences):
        report = differing(db, list(LEVELS), query)
        assert not report, report
    db.execute("commit")
    for level in LEVELS:
        verify = "select * from silver.verify_rollup(%s::regclass) limit 5"
        assert not db.execute(verify, [level.target]).fetchall()
    strange = db.execute(
        "select target_table, work, sql_state, error_message, error_context "
        "from silver.timeseries_error_log where sql_state <> all (%s) limit 5",
        [list(expected)],
    ).fetchall()
    assert not strange, strange
