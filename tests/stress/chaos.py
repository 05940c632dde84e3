"""What goes wrong during the stress, and the operator who looks after it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from stress.arena import LEVELS, TOTAL

Connection = psycopg.Connection[Any]


class Workers:
    """Worker processes; one that was killed is replaced at once."""

    def __init__(self, dsn: str, dice: random.Random, count: int, log: Path) -> None:
        self.dsn, self.dice, self.log = dsn, dice, log
        self.processes = [self.start() for _ in range(count)]

    def start(self) -> subprocess.Popen[bytes]:
        script = str(Path(__file__).with_name("worker.py"))
        targets = [level.target for level in LEVELS]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, script, self.dsn, str(self.dice.random()), *targets], stderr=log
            )

    def kill_one(self) -> None:
        index = self.dice.randrange(len(self.processes))
        self.processes[index].send_signal(signal.SIGKILL)
        self.processes[index].wait()
        self.processes[index] = self.start()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Helper:
    """A thread with one connection that does something every so often, whatever fails."""

    name = "helper"
    pause = (0.2, 0.5)
    expected = ("55P03", "40P01", "57014", "TS005", "TS002", "TS003", "42704", "25P02", "55000")

    def __init__(self, dsn: str, dice: random.Random, stopping: threading.Event) -> None:
        self.dsn, self.dice, self.stopping = dsn, dice, stopping
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with psycopg.connect(
                    self.dsn, autocommit=True, application_name=f"stress-{self.name}"
                ) as db:
                    while not self.stopping.is_set():
                        self.try_once(db)
                        self.stopping.wait(self.dice.uniform(*self.pause))
            except psycopg.OperationalError:
                self.stopping.wait(0.1)

    def try_once(self, db: Connection) -> None:
        try:
            self.act(db)
        except psycopg.Error as error:
            if db.closed:
                raise
            self.done[f"refused {error.sqlstate}"] += 1
            if error.sqlstate not in self.expected:
                self.errors.append(f"{error.sqlstate} {error}")

    def act(self, db: Connection) -> None:
        raise NotImplementedError


def assert_silent(seed: str, said: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Nobody met what must not happen; else the seed, and all that each of them said."""
    lines = [f"{who}: {line}" for who, errors in said for line in errors]
    if lines:
        # Not by an assertion: pytest cuts what it compares.
        pytest.fail("\n".join([f"stress seed {seed}", *lines]), pytrace=False)


class Operator(Helper):
    """Ends waits, invalidates, pauses, vacuums, and finishes what the killed left prepared."""

    name = "operator"

    def __init__(
        self, dsn: str, dice: random.Random, stopping: threading.Event, calm: threading.Event
    ) -> None:
        super().__init__(dsn, dice, stopping)
        self.calm = calm
        self.created = threading.Event()

    def act(self, db: Connection) -> None:
        end_waits(db, self.dice)
        finish_prepared(db, self.dice, older_than="2 seconds")
        if not db.execute("select to_regclass(%s)", [TOTAL.target]).fetchone()[0]:
            # A new reader of the source while everybody writes.
            TOTAL.create(db)
            self.done["created"] += 1
            self.created.set()
            return
        if self.calm.is_set():
            return
        actions: dict[str, Callable[[Connection], None]] = {
            "invalidated": self.invalidate,
            "paused": self.pause_a_moment,
            "vacuumed": self.vacuum,
        }
        kind = self.dice.choices(list(actions), (2, 1, 2))[0]
        actions[kind](db)
        self.done[kind] += 1

    def invalidate(self, db: Connection) -> None:
        start = -self.dice.uniform(0, 200)
        db.execute(
            "select silver.invalidate(%s::regclass, now() + %s * interval '1 second', "
            "now() + %s * interval '1 second')",
            [self.dice.choice(LEVELS).target, start, start + self.dice.choice((1, 20, 400))],
        )

    def pause_a_moment(self, db: Connection) -> None:
        target = self.dice.choice(LEVELS).target
        db.execute("select silver.pause_rollup(%s::regclass)", [target])
        self.stopping.wait(self.dice.uniform(0, 0.5))
        db.execute("select silver.resume_rollup(%s::regclass)", [target])

    def vacuum(self, db: Connection) -> None:
        """Freed line pointers are used again: a step must not take another entry for its own."""
        db.execute("set lock_timeout = '200ms'")
        full = "full " if self.dice.random() < 0.3 else ""
        for (name,) in pending_tables(db):
            db.execute(f"vacuum {full}{name}")


# Of a worker, for a lock that another session holds.
WAITING = """
    select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float8
    from pg_locks l join pg_stat_activity a using (pid)
    where not l.granted and a.application_name = 'stress-worker' and a.datname = current_database()
"""


class Chaos(Helper):
    """Kills workers with SIGKILL, terminates backends, cancels steps."""

    name = "chaos"
    pause = (0.2, 0.8)

    def __init__(
        self, dsn: str, dice: random.Random, stopping: threading.Event, workers: Workers
    ) -> None:
        super().__init__(dsn, dice, stopping)
        self.workers = workers
        self.longest_wait = 0.0

    def act(self, db: Connection) -> None:
        self.longest_wait = max(self.longest_wait, db.execute(WAITING).fetchone()[0])
        kind = self.dice.choices(("killed", "terminated", "cancelled"), (3, 3, 2))[0]
        if kind == "killed":
            self.workers.kill_one()
            self.done[kind] += 1
            return
        function = "pg_terminate_backend" if kind == "terminated" else "pg_cancel_backend"
        found = db.execute(
            f"select {function}(pid) from (select pid from pg_stat_activity where usename = "
            "current_user and application_name in ('stress-worker', 'stress-writer') "
            "order by application_name = 'stress-worker' and random() < 0.6 desc, random() limit 1"
            ") victim"
        ).fetchall()
        self.done[kind] += len(found)


def pending_tables(db: Connection) -> list[tuple[str]]:
    return db.execute(
        "select tsconsole.pending_table(id) from silver.timeseries_rollup_config order by id"
    ).fetchall()


def end_waits(db: Connection, dice: random.Random) -> None:
    """Crashes count as failures and make rollups wait: an operator lets them go on."""
    waiting = db.execute("select distinct target_table from silver.timeseries_retry_queue")
    for (target,) in waiting.fetchall():
        if dice.random() < 0.3:
            db.execute("select silver.retry_rollup(%s::regclass)", [target])
        else:
            db.execute("select tsconsole.end_wait((tsconsole.rollup(%s::regclass)).id)", [target])


def finish_prepared(db: Connection, dice: random.Random, older_than: str) -> None:
    left = db.execute(
        "select gid from pg_prepared_xacts where database = current_database() "
        "and owner = current_user and prepared < clock_timestamp() - %s::interval",
        [older_than],
    ).fetchall()
    for (name,) in left:
        with suppress(psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState):
            db.execute(f"{dice.choice(('commit', 'rollback'))} prepared '{name}'")


def wait_for(dsn: str, seconds: float) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(dsn).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
