"""The writers: threads that change the source in every way that a step could miss."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from stress.arena import HISTORY_SECONDS, SOURCE

Connection = psycopg.Connection[Any]
INSERT = (
    f"insert into {SOURCE} (ts, dev, site, v) "
    "values (clock_timestamp() + %s * interval '1 second', %s, %s, %s)"
)
EDGE = 0.5
"""The allowed lateness, in seconds."""


@dataclass
class Writer:
    """One session that writes until told to stop."""

    dsn: str
    seed: str
    longest: float
    stopping: threading.Event
    has_prepared: bool
    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.thread = threading.Thread(target=self.run, name=f"writer {self.seed}", daemon=True)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with psycopg.connect(
                    self.dsn, autocommit=True, application_name="stress-writer"
                ) as db:
                    db.execute("set statement_timeout = '10s'")
                    self.write(db)
            except psycopg.OperationalError:
                self.errors["disconnected"] += 1
                self.stopping.wait(0.1)

    def write(self, db: Connection) -> None:
        kinds = list(KINDS)
        while not self.stopping.is_set():
            kind = self.dice.choices(kinds, [KINDS[k][0] for k in kinds])[0]
            try:
                KINDS[kind][1](self, db)
                self.done[kind] += 1
            except psycopg.Error as error:
                if db.closed:
                    raise
                self.errors[error.sqlstate or type(error).__name__] += 1
                db.execute("rollback")
            self.stopping.wait(self.dice.uniform(0, 0.06))

    def offset(self) -> float:
        """Seconds from the clock: on time, at the edge of lateness, late, ahead."""
        dice = self.dice
        return dice.choices(
            [
                -dice.uniform(0, 0.3),
                -dice.uniform(EDGE - 0.2, EDGE + 0.5),
                -dice.uniform(0, HISTORY_SECONDS),
                -dice.uniform(0, 25),
                dice.uniform(0, 12),
            ],
            (50, 20, 12, 14, 4),
        )[0]

    def row(self, offset: float | None = None) -> tuple[Any, ...]:
        dice = self.dice
        return (
            self.offset() if offset is None else offset,
            dice.choice((None, *range(12))),
            dice.choice((None, "a", "b")),
            None if dice.random() < 0.03 else dice.randrange(1_000_000),
        )

    def insert(self, db: Connection, offset: float | None = None) -> None:
        db.execute(INSERT, self.row(offset))

    def sleep(self) -> None:
        self.stopping.wait(self.dice.choice((0.05, 0.3, self.dice.uniform(0, self.longest))))

    def ids(self, db: Connection, n: int = 6) -> list[int]:
        last = db.execute("select last_value from raw.event_ids").fetchone()[0]
        # Half of them recent ones: these change while the frontier passes.
        return [
            self.dice.randint(max(1, last - 300), last)
            if self.dice.random() < 0.5
            else self.dice.randint(1, last)
            for _ in range(n)
        ]

    def copy(self, db: Connection, rows: list[tuple[Any, ...]]) -> None:
        now = datetime.now(timezone.utc)
        with db.cursor().copy(f"copy {SOURCE} (ts, dev, site, v) from stdin") as copy:
            for offset, *others in rows:
                copy.write_row((now + timedelta(seconds=offset), *others))

    def ends(self, db: Connection) -> None:
        db.execute("rollback" if self.dice.random() < 0.15 else "commit")


def single(writer: Writer, db: Connection) -> None:
    for _ in range(writer.dice.randint(1, 3)):
        writer.insert(db)


def many_series(writer: Writer, db: Connection) -> None:
    offset = writer.offset()
    with db.transaction():
        for _ in range(writer.dice.randint(2, 9)):
            writer.insert(db, offset - writer.dice.uniform(0, 0.3))


def copy(writer: Writer, db: Connection) -> None:
    offset = writer.dice.choice((None, None, writer.offset()))
    rows = [writer.row(offset) for _ in range(writer.dice.choice((5, 40, 150)))]
    writer.copy(db, sorted(rows, key=lambda row: row[0]))


def long_transaction(writer: Writer, db: Connection) -> None:
    isolation = writer.dice.choice(("read committed", "read committed", "repeatable read"))
    db.execute(f"begin isolation level {isolation}")
    for _ in range(writer.dice.randint(1, 3)):
        writer.insert(db)
        writer.sleep()
    writer.ends(db)


def savepoints(writer: Writer, db: Connection) -> None:
    """The same late bucket, logged in savepoints that are undone and in ones that stay."""
    offset = -writer.dice.uniform(1, HISTORY_SECONDS)
    row = writer.row(offset)
    db.execute("begin")
    for _ in range(writer.dice.randint(1, 4)):
        db.execute("savepoint s")
        db.execute(INSERT, row if writer.dice.random() < 0.6 else writer.row(offset))
        if writer.dice.random() < 0.5:
            db.execute("rollback to s")
        if writer.dice.random() < 0.5:
            db.execute("release s")
        if writer.dice.random() < 0.3:
            writer.sleep()
    db.execute(INSERT, row)
    writer.ends(db)


def prepared(writer: Writer, db: Connection) -> None:
    if not writer.has_prepared:
        return long_transaction(writer, db)
    name = f"stress-{writer.seed}-{time.monotonic_ns()}"
    db.execute("begin")
    for _ in range(writer.dice.randint(1, 4)):
        writer.insert(db)
    db.execute(f"prepare transaction '{name}'")
    writer.sleep()
    verb = "rollback" if writer.dice.random() < 0.2 else "commit"
    db.execute(f"{verb} prepared '{name}'")
    return None


def move(writer: Writer, db: Connection) -> None:
    """Rows go to other buckets, partitions and series."""
    change = writer.dice.choice(
        (
            "ts = ts + %(by)s * interval '1 second'",
            "ts = clock_timestamp() - interval '0.5 seconds' * random()",
            "dev = nullif((random() * 12)::integer, 0)",
            "site = case when site is null then 'a' end, ts = ts - %(by)s * interval '1 second'",
            "v = v + 1",
        )
    )
    db.execute("begin")
    values = {"ids": writer.ids(db), "by": writer.dice.uniform(-5, 5)}
    db.execute(f"update {SOURCE} set {change} where id = any (%(ids)s)", values)
    if writer.dice.random() < 0.3:
        writer.sleep()
    writer.ends(db)


def merge(writer: Writer, db: Connection) -> None:
    values = {"ids": writer.ids(db), "by": -writer.dice.uniform(0, 30)}
    db.execute(
        f"merge into {SOURCE} e using (select unnest(%(ids)s::bigint[]) as id) n on e.id = n.id "
        "when matched and e.dev is null then delete "
        "when matched then update set dev = null "
        "when not matched then insert (ts, dev, site, v) "
        "values (clock_timestamp() + %(by)s * interval '1 second', null, null, 1)",
        values,
    )


def remove(writer: Writer, db: Connection) -> None:
    if writer.dice.random() < 0.5:
        db.execute(f"delete from {SOURCE} where id = any (%s)", [writer.ids(db, 20)])
    else:
        # Whole buckets lose their rows.
        db.execute(
            f"delete from {SOURCE} where ts >= clock_timestamp() + %(by)s * interval '1 second' "
            "and ts < clock_timestamp() + (%(by)s + %(width)s) * interval '1 second'",
            {"by": writer.offset(), "width": writer.dice.choice((0.5, 2, 8))},
        )


def bulk_load(writer: Writer, db: Connection) -> None:
    start = -writer.dice.uniform(2, HISTORY_SECONDS)
    db.execute("begin")
    db.execute(
        "select silver.bulk_load(%s, clock_timestamp() + %s * interval '1 second', "
        "clock_timestamp() + %s * interval '1 second')",
        [SOURCE, start, start + writer.dice.uniform(0.5, 15)],
    )
    # Some lie outside what was announced.
    rows = [writer.row(start + writer.dice.uniform(-1, 10)) for _ in range(40)]
    writer.copy(db, rows)
    writer.ends(db)


def partition(writer: Writer, db: Connection) -> None:
    """Into a partition by its own name."""
    db.execute(
        """
        do $$
        declare
            place record;
        begin
            select e.tableoid::regclass as name, e.ts into place from raw.events e
            where e.id >= (select last_value * random() from raw.event_ids) and isfinite(e.ts)
            order by e.id limit 1;
            if found then
                execute format('insert into %s (ts, dev, site, v) values ($1, 3, null, 3)',
                               place.name) using place.ts;
            end if;
        end
        $$
        """
    )


def odd_times(writer: Writer, db: Connection) -> None:
    time_of_row = writer.dice.choice((None, "infinity", "-infinity"))
    db.execute(f"insert into {SOURCE} (ts, dev, v) values (%s, 1, 1)", [time_of_row])
    db.execute(
        f"update {SOURCE} set ts = clock_timestamp() - interval '5 s' * random() "
        "where id = any (array(select id from raw.events_none limit 1))"
    )


KINDS: dict[str, tuple[int, Callable[[Writer, Connection], None]]] = {
    "single rows": (60, single),
    "many series": (16, many_series),
    "copy": (5, copy),
    "long transaction": (8, long_transaction),
    "savepoints": (8, savepoints),
    "prepared": (6, prepared),
    "move": (22, move),
    "merge": (3, merge),
    "remove": (6, remove),
    "bulk load": (2, bulk_load),
    "partition": (3, partition),
    "odd times": (1, odd_times),
}
