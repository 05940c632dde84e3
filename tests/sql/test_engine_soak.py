"""Writers, workers, kills and readers at once: every live snapshot and the end equal GROUP BY."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
import pytest
from sql.support import assert_verified, call_run, create, create_ladder, value

Connect = Callable[..., psycopg.Connection]

# Target, width, key in the source, key in the target.
TARGETS = (
    ("a_1s", "1 s", "dev, site", "dev, site"),
    ("a_10s", "10 s", "dev, site", "dev, site"),
    ("by_site", "20 s", "site", "site"),
    ("upper", "5 s", "upper(site)", "name"),
    ("plain", "3 s", "1", "1"),
)
AGO = "clock_timestamp() - make_interval(secs => %(age)s)"
SOME_ROWS = (
    f"ctid in (select ctid from raw.s where ts between {AGO} - interval '3 s' and {AGO} "
    "limit 4 for update skip locked)"
)
# How a writer changes a few rows of some age, and how often.
CHANGES = {
    f"insert into raw.s select {AGO}, %(n)s %% 5, nullif('s' || %(n)s %% 3, 's1'), %(n)s": 9,
    f"insert into raw.s select {AGO} - i * interval '0.3 s', i %% 5, 's' || i %% 3, i "
    "from generate_series(1, %(n)s %% 50) i": 2,
    f"update raw.s set v = v + 1, site = nullif('s' || %(n)s %% 3, 's1') where {SOME_ROWS}": 3,
    f"update raw.s set ts = ts - interval '2 s' where {SOME_ROWS}": 3,
    f"delete from raw.s where {SOME_ROWS}": 3,
}


@dataclass
class Soak:
    """What the threads share: when to end, what went wrong, how much was done."""

    connect: Connect
    ends_at: float
    wrong: list[str] = field(default_factory=list)
    pids: dict[int, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=lambda: {"writes": 0, "steps": 0, "looks": 0})

    def goes_on(self) -> bool:
        return time.monotonic() < self.ends_at


def write(soak: Soak, seed: int) -> None:
    chance = random.Random(seed)
    writer = soak.connect(autocommit=False)
    while soak.goes_on():
        try:
            for _ in range(chance.randint(1, 4)):
                age = chance.choice([0, 0, 0.5, 2, 60, 900]) * chance.random()
                (change,) = chance.choices([*CHANGES], [*CHANGES.values()])
                if chance.random() < 0.1:
                    writer.execute("savepoint a")
                writer.execute(change, {"age": age, "n": chance.randint(1, 999)})
                if chance.random() < 0.05:
                    writer.execute("savepoint b")
                    writer.execute("delete from raw.s where ts > now() - interval '5 s'")
                    writer.execute("rollback to savepoint b")
            time.sleep(chance.choice([0, 0, 0, 0, 2.5]) * chance.random())
            writer.commit() if chance.random() < 0.9 else writer.rollback()
            soak.done["writes"] += 1
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            writer.rollback()
        except psycopg.Error as error:
            writer.rollback()
            soak.wrong.append(f"a writer failed: {error}")


def work(soak: Soak, number: int) -> None:
    worker = soak.connect()
    soak.pids[number] = worker.info.backend_pid
    while soak.goes_on():
        try:
            for step in call_run(worker, max_steps=20):
                soak.done["steps"] += 1
                if step["outcome"] == "failed" and step["sql_state"] != "TS007":
                    soak.wrong.append(f"a step failed: {step}")
            worker.execute("update tsconsole.retry set next_retry_time = now()")
        except psycopg.OperationalError:
            worker = soak.connect()
            soak.pids[number] = worker.info.backend_pid


def look(soak: Soak) -> None:
    reader = soak.connect()
    while soak.goes_on():
        for target, width, key, name in TARGETS:
            found = reader.execute(differences(f"silver.{target}_live", width, key, name))
            if rows := found.fetchall():
                soak.wrong.append(f"{target}_live: {rows}")
            soak.done["looks"] += 1


def differences(relation: str, width: str, key: str, name: str, below: str = "infinity") -> str:
    """Both sides in one statement, so in one snapshot."""
    return (
        f"with expected as materialized (select * from (select date_bin('{width}', ts, "
        f"'2000-01-03Z') as b, {key}, count(*), sum(v), min(v), max(v) from raw.s "
        f"group by {', '.join(str(n + 1) for n in range(1 + len(key.split(', '))))}) q "
        f"where b < '{below}'), found as materialized "
        f"(select ts, {name}, rollup_count, sum_v, min_v, max_v from {relation}) "
        "(select 'missing', q.* from (table expected except all table found) q) union all "
        "(select 'not expected', q.* from (table found except all table expected) q) limit 3"
    )


def test_everything_at_once(db: psycopg.Connection, connect: Connect) -> None:
    db.execute(
        "create table raw.s (ts timestamptz, dev integer, site text, v integer);"
        "create index on raw.s (ts);"
        "insert into raw.s select now() - i * interval '1 s', i % 4, "
        "nullif('s' || i % 3, 's1'), i % 1000 from generate_series(1, 1200) i"
    )
    late = {"allowed_lateness": "1 second"}
    create_ladder(db, "raw.s", "a", ["1 s", "10 s"], dimensions=["dev", "site"], **late)
    create(db, "silver.a_1s", "by_site", "20 s", dimensions=["site"])
    create(db, "raw.s", "upper", "5 s", dimensions=["upper(site) as name"], **late)
    create(db, "raw.s", "plain", "3 s", **late)
    soak = Soak(connect, time.monotonic() + 8)
    with ThreadPoolExecutor(6) as pool:
        tasks = [pool.submit(write, soak, seed) for seed in range(3)]
        tasks += [pool.submit(work, soak, number) for number in range(2)]
        tasks.append(pool.submit(look, soak))
        killed = threading.Event()
        while time.monotonic() < soak.ends_at - 2:
            killed.wait(0.7)
            victim = random.choice([*soak.pids.values()] or [0])
            db.execute("select pg_terminate_backend(%s) where %s > 0", [victim, victim])
        for task in tasks:
            task.result(60)
    assert not soak.wrong, soak.wrong[:5]
    assert all(count > 5 for count in soak.done.values()), soak.done
    for _ in range(20):
        db.execute("update tsconsole.retry set next_retry_time = now(), gave_up_at = null")
        if not any(step["outcome"] == "done" for step in call_run(db)):
            break
    for target, width, key, name in TARGETS:
        mark = value(db, "select last_processed_time::text from silver.timeseries_rollup_config "
                         "where target_table = %s::regclass", [f"silver.{target}"])  # fmt: skip
        found = db.execute(differences(f"silver.{target}", width, key, name, mark)).fetchall()
        assert not found, (target, found)
        assert_verified(db, f"silver.{target}")


pytestmark = pytest.mark.slow
