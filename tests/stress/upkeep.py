"""Hours of data with everything that looks after it at work: retention, splits, merges, upkeep.

Three partitioned sources and seven rollups on them. Whatever is written to a source is written to a
shadow of it in the same transaction, which nobody takes anything from: that is the truth.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from stress.chaos import Helper

Connection = psycopg.Connection[Any]
SOURCES = ("s0", "s1", "s2")
LATENESS = 0.5


@dataclass(frozen=True)
class Level:
    """One rollup: what it reads, in which buckets, and which part of the history it keeps."""

    name: str
    below: str
    source: str
    seconds: int
    keys: str = "dev"
    keeps: float | None = None
    action: str = "drop"

    def truth(self) -> str:
        """Its rows by GROUP BY over the shadow of its source."""
        keys = f", {self.keys}" if self.keys else ""
        grouped = "1, 2" if self.keys else "1"
        return (
            f"select date_bin('{self.seconds} s', ts, '2000-01-03 00:00:00+00') as ts{keys}, "
            "count(*) as rollup_count, min(v) as min_v, max(v) as max_v, sum(v) as sum_v "
            f"from stress.{self.source} group by {grouped}"
        )

    @property
    def columns(self) -> str:
        return ", ".join(filter(None, ["ts", self.keys, "rollup_count, min_v, max_v, sum_v"]))


LEVELS = (
    Level("s0_1s", "raw.s0", "s0", 1, keeps=0.7),
    Level("s0_5s", "silver.s0_1s", "s0", 5, keeps=0.85, action="archive"),
    Level("s0_30s", "silver.s0_5s", "s0", 30),
    Level("s1_2s", "raw.s1", "s1", 2, keeps=0.7, action="archive"),
    Level("s1_20s", "silver.s1_2s", "s1", 20),
    Level("s2_1s", "raw.s2", "s2", 1),
    Level("s2_all", "raw.s2", "s2", 10, keys=""),
)
# What becomes of the older half of each source.
RETIRED = {"s0": "archive", "s1": "drop", "s2": None}


@dataclass(frozen=True)
class Scale:
    """How long the history is, and how wide the partitions of the sources are, in seconds."""

    history: int
    part: int

    @property
    def kept(self) -> float:
        """How much of it a source keeps."""
        return self.history / 2

    @property
    def chunks(self) -> tuple[str, ...]:
        """The intervals that the partitions of targets are given."""
        return tuple(f"{self.part * factor} seconds" for factor in (3, 6, 12))


def make(db: Connection, scale: Scale, seconds: float) -> None:
    """The sources with their history and partitions for all of the run, and the rollups."""
    db.execute("create schema stress; create sequence stress.ids; set timezone = 'UTC'")
    for name in SOURCES:
        for table in (f"raw.{name}", f"stress.{name}"):
            how = "partition by range (ts)" if table.startswith("raw") else ""
            db.execute(
                f"create table {table} (id bigint, ts timestamptz, dev integer, v bigint) {how};"
                f"create index on {table} (ts); create index on {table} (id)"
            )
        make_partitions(db, name, scale, seconds)
        db.execute(
            f"insert into stress.{name} select nextval('stress.ids'), now() - random() "
            "* %s * interval '1 s', i %% 8, (random() * 1000)::int from generate_series(1, %s) i",
            [scale.history - 2 * scale.part, 6000],
        )
        db.execute(f"insert into raw.{name} table stress.{name}; analyze raw.{name}")
    for level in LEVELS:
        db.execute(
            "select silver.create_rollup_table(%s::regclass, %s, make_interval(secs => %s), "
            'dimensions := %s, measures := \'{"v": ["min", "max", "avg"]}\', '
            "allowed_lateness := make_interval(secs => %s), refresh_interval := '250 ms', "
            "chunk_interval := %s::interval, alert_threshold := '1 hour')",
            [
                *(level.below, f"silver.{level.name}", level.seconds),
                *([level.keys] if level.keys else [], LATENESS, scale.chunks[0]),
            ],
        )


def make_partitions(db: Connection, name: str, scale: Scale, seconds: float) -> None:
    db.execute(
        f"""
        do $$
        declare
            edge timestamptz := date_bin('{scale.part} s', now(), '2000-01-03')
                                - interval '{scale.history} s';
        begin
            while edge < now() + interval '{seconds * 3 + 300} s' loop
                execute format('create table raw.%I partition of raw.{name} for values '
                    'from (%L) to (%L)', '{name}_p' || extract(epoch from edge)::bigint,
                    edge, edge + interval '{scale.part} s');
                edge := edge + interval '{scale.part} s';
            end loop;
        end
        $$
        """
    )


def set_retention(db: Connection, scale: Scale) -> None:
    """A source keeps the newer half of the history, the levels above more and more of it."""
    call = "select silver.set_retention(%s::regclass, make_interval(secs => %s), %s)"
    for name, action in RETIRED.items():
        if action is not None:
            db.execute(call, [f"raw.{name}", scale.kept, action])
    for level in LEVELS:
        if level.keeps is not None:
            period = level.keeps * scale.history
            db.execute(call, [f"silver.{level.name}", period, level.action])


class Keeper(Helper):
    """Looks after everything at once: two of them do it side by side."""

    name = "keeper"
    pause = (0.0, 0.15)
    # 57P01: it is terminated now and then.
    expected = (*Helper.expected, "57P01", "23514")

    def __init__(
        self, dsn: str, dice: random.Random, stopping: threading.Event, scale: Scale
    ) -> None:
        super().__init__(dsn, dice, stopping)
        self.scale = scale

    def act(self, db: Connection) -> None:
        kinds: dict[str, tuple[int, Callable[[Connection, str], None]]] = {
            "maintained all": (2, self.maintain_all),
            "maintained one": (4, self.maintain_one),
            "applied retention": (4, self.retire),
            "detached concurrently": (4, self.detach),
            "changed an interval": (4, self.change_interval),
            "rebuilt": (6, self.rebuild),
            "chose an interval": (1, self.choose_interval),
        }
        kind = self.dice.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        kinds[kind][1](db, f"silver.{self.dice.choice(LEVELS).name}")
        self.done[kind] += 1

    def maintain_all(self, db: Connection, target: str) -> None:
        db.execute("call silver.run_maintenance(null, null, false, null)")

    def maintain_one(self, db: Connection, target: str) -> None:
        failed = db.execute(
            "select target_table, task, detail from silver.maintain_timeseries_tables(%s::regclass)"
            " where outcome = 'failed'",
            [target],
        ).fetchall()
        self.errors += [str(row) for row in failed]

    def retire(self, db: Connection, target: str) -> None:
        rows = db.execute("select action from silver.apply_retention(null::regclass)").fetchall()
        for (action,) in rows:
            self.done[f"partitions: {action}"] += 1

    def detach(self, db: Connection, target: str) -> None:
        """As the worker does: each partition by a statement of its own, finished afterwards."""
        chosen = db.execute("select * from tsconsole.begin_detachments(null::regclass)").fetchall()
        db.execute("set lock_timeout = '2s'")
        try:
            for schema, parent, part_schema, part in chosen[:3]:
                statement = sql.SQL("alter table {} detach partition {} concurrently").format(
                    sql.Identifier(schema, parent), sql.Identifier(part_schema, part)
                )
                # The other keeper may have taken it away meanwhile.
                with suppress(psycopg.errors.UndefinedTable):
                    db.execute(statement)
                    self.done["detached"] += 1
        finally:
            if not db.closed:
                db.execute("reset lock_timeout")
        self.retire(db, target)

    def change_interval(self, db: Connection, target: str) -> None:
        interval = self.dice.choice(self.scale.chunks)
        db.execute(
            "select silver.alter_rollup(%s::regclass, chunk_interval := %s)", [target, interval]
        )

    def rebuild(self, db: Connection, target: str) -> None:
        row = db.execute(
            "call silver.rebuild_partitions(%s, %s, null)", [target, self.dice.randint(1, 12)]
        ).fetchone()
        for one in row[0] if row else []:
            self.done[f"rebuild: {one['outcome']}"] += 1

    def choose_interval(self, db: Connection, target: str) -> None:
        db.execute(
            "select * from silver.optimize_chunk_interval(%s::regclass, 100000)", [target]
        ).fetchall()
        # Of a few kilobytes it makes days; everything here is minutes.
        self.change_interval(db, target)


class Worker(Helper):
    """Steps whatever has something to do."""

    name = "worker"
    pause = (0.0, 0.05)
    expected = (*Helper.expected, "57P01")

    def act(self, db: Connection) -> None:
        db.execute("call silver.run_rollups(null, 1, false, null)")
        self.done["steps"] += 1


class Writer(Helper):
    """Rows on time, late ones, changed ones and ones that go, to the source and its shadow."""

    name = "writer"
    pause = (0.0, 0.08)

    def __init__(
        self, dsn: str, dice: random.Random, stopping: threading.Event, scale: Scale
    ) -> None:
        super().__init__(dsn, dice, stopping)
        self.scale = scale

    def act(self, db: Connection) -> None:
        source = self.dice.choice(SOURCES)
        # Late, but of partitions that stay for the rest of the run.
        latest = self.scale.kept - 3 * self.scale.part
        kind = self.dice.choices(("on time", "late", "change", "delete"), (70, 15, 10, 5))[0]
        if kind in ("on time", "late"):
            age = 0.0 if kind == "on time" else self.dice.uniform(LATENESS, latest / 2)
            insert(db, source, age, self.dice.randrange(8), self.dice.randrange(1000))
        else:
            recent = "id in (select id from raw.{0} where ts > now() - interval '{1} s' limit 5)"
            where = recent.format(source, self.dice.uniform(1, latest / 2))
            done = (
                f"update raw.{source} set v = v + 1 where {where} returning id, v"
                if kind == "change"
                else f"delete from raw.{source} where {where} returning id"
            )
            mirror = (
                f"update stress.{source} s set v = d.v from done d where s.id = d.id"
                if kind == "change"
                else f"delete from stress.{source} s using done d where s.id = d.id"
            )
            db.execute(f"with done as ({done}) {mirror}".encode())
        self.done[kind] += 1


def insert(db: Connection, source: str, age: float, dev: int, v: int) -> None:
    db.execute(
        f"with new as (select nextval('stress.ids') as id, clock_timestamp() "
        f"- make_interval(secs => %s) as ts), one as (insert into stress.{source} "
        f"select id, ts, %s::int, %s::int from new) insert into raw.{source} "
        "select id, ts, %s::int, %s::int from new",
        [age, dev, v, dev, v],
    )


class Killer(Helper):
    """Ends a backend of the upkeep or of a worker, in the middle of whatever it does."""

    name = "killer"
    pause = (0.4, 1.5)

    def act(self, db: Connection) -> None:
        row = db.execute(
            "select application_name, pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name in ('stress-keeper', 'stress-worker') and state = 'active' "
            "and datname = current_database() order by random() limit 1"
        ).fetchone()
        if row:
            self.done[f"ended a {row[0].removeprefix('stress-')}"] += 1


class Probe(Helper):
    """Inserts and selects throughout, one row and a few buckets at a time; how long each took."""

    name = "probe"
    pause = (0.0, 0.02)
    expected = ()

    def __init__(self, dsn: str, dice: random.Random, stopping: threading.Event) -> None:
        super().__init__(dsn, dice, stopping)
        self.longest: tuple[float, str] = (0.0, "nothing")

    def act(self, db: Connection) -> None:
        level = self.dice.choice(LEVELS)
        age = self.dice.choice((5, 60, 600))
        recent = f"ts > now() - interval '{age} s'"
        reads = (
            f"select count(*) from silver.{level.name} where {recent}",
            f"select count(*) from silver.{level.name}_live where {recent}",
            f"select count(*) from silver.live(null::silver.{level.name}, now() - interval '9 s')",
        )
        started = time.monotonic()
        if self.dice.random() < 0.5:
            what = f"insert into raw.{level.source}"
            insert(db, level.source, 0.0, 1, 1)
        else:
            what = self.dice.choice(reads)
            db.execute(what)
        self.longest = max(self.longest, (time.monotonic() - started, what))
        self.done["probes"] += 1


class LockWatch(Helper):
    """How long the probe has waited for locks: how long the machine was busy does not count."""

    name = "watch"
    pause = (0.01, 0.01)

    def __init__(self, dsn: str, dice: random.Random, stopping: threading.Event) -> None:
        super().__init__(dsn, dice, stopping)
        self.longest: tuple[float, str] = (0.0, "nothing")

    def act(self, db: Connection) -> None:
        row = db.execute(
            "select extract(epoch from clock_timestamp() - l.waitstart)::float8, "
            "format('%s for %s on %s, held by %s', s.query, l.mode, l.relation::regclass, "
            "(select string_agg(h.application_name || ': ' || h.query, '; ') "
            "from pg_stat_activity h where h.pid = any (pg_blocking_pids(l.pid)))) "
            "from pg_locks l join pg_stat_activity s using (pid) "
            "where not l.granted and l.waitstart is not null "
            "and s.application_name = 'stress-probe' and s.datname = current_database()"
        ).fetchone()
        if row:
            self.done["waits seen"] += 1
            self.longest = max(self.longest, (row[0], row[1]))
