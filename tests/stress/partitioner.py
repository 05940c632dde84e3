"""Whoever manages the partitions of the source, while everybody writes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import psycopg
from psycopg import sql
from stress.chaos import Helper

Connection = psycopg.Connection[Any]
DETACHED = """
    select b.name, b.lo::text, b.hi::text from stress.bounds b
    where not exists (select from pg_inherits i where i.inhrelid = ('raw.' || b.name)::regclass)
"""
PENDING = """
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'raw.events'::regclass and i.inhdetachpending
"""


class Partitioner(Helper):
    """Truncates, detaches, changes and replaces partitions; what it detached comes back."""

    name = "partitioner"
    pause = (0.02, 0.2)

    def __init__(self, dsn: str, dice: random.Random, stopping: threading.Event) -> None:
        super().__init__(dsn, dice, stopping)
        self.journal: list[str] = []

    def act(self, db: Connection) -> None:
        db.execute("set lock_timeout = '1s'")
        db.execute("set statement_timeout = '5s'")
        self.finish_detaching(db)
        detached = db.execute(DETACHED).fetchall()
        if detached and (len(detached) > 2 or self.dice.random() < 0.5):
            chosen = self.dice.choice(detached)
            self.attach(db, *chosen)
            self.note("attached", *chosen)
            return
        kinds: dict[str, Callable[[Connection, str], None]] = {
            "truncated": self.truncate,
            "detached": self.detach,
            "detached concurrently": self.detach_concurrently,
            "re-attached at once": self.detach_and_attach,
            "replaced": self.replace,
        }
        kind = self.dice.choice(list(kinds))
        names = "select name from stress.bounds where lo < now() and name <> all (%s)"
        attached = db.execute(names, [[row[0] for row in detached]]).fetchall()
        name = self.dice.choice(attached)[0]
        kinds[kind](db, name)
        self.note(kind, name)

    def note(self, kind: str, *of: str) -> None:
        self.done[kind] += 1
        self.journal.append(f"{datetime.now(timezone.utc).time()} {kind} {' '.join(of)}")

    def truncate(self, db: Connection, name: str) -> None:
        db.execute(self.of("truncate {}", name))

    def detach(self, db: Connection, name: str) -> None:
        db.execute(self.of("alter table raw.events detach partition {}", name))
        self.change(db, name)

    def detach_concurrently(self, db: Connection, name: str) -> None:
        db.execute(self.of("alter table raw.events detach partition {} concurrently", name))
        self.change(db, name)

    def detach_and_attach(self, db: Connection, name: str) -> None:
        with db.transaction():
            db.execute(self.of("alter table raw.events detach partition {}", name))
            self.change(db, name)
            bounds = "select lo::text, hi::text from stress.bounds where name = %s"
            self.attach(db, name, *db.execute(bounds, [name]).fetchone())

    def replace(self, db: Connection, name: str) -> None:
        """By a table with other rows, filled and attached in one transaction."""
        other = f"events_r{time.monotonic_ns()}"
        with db.transaction():
            db.execute(self.of("create table {} (like raw.events including all)", other))
            db.execute(self.of("insert into {} select * from {} where random() < 0.8", other, name))
            db.execute(self.of("alter table raw.events detach partition {}", name))
            db.execute(self.of("drop table {}", name))
            row = db.execute(
                "update stress.bounds set name = %s where name = %s "
                "returning name, lo::text, hi::text",
                [other, name],
            ).fetchone()
            self.attach(db, *row)
            # If its forerunner was noted as gone, nothing else tells that this one is whole.
            db.execute("select silver.thaw('raw.events', %s, %s)", row[1:])

    def change(self, db: Connection, name: str) -> None:
        """Behind the triggers' back: a detached table has none."""
        db.execute(self.of("delete from {} where random() < 0.2", name))
        db.execute(
            self.of(
                "insert into {} (ts, dev, site, v) select ts, 5, site, 11 from {} limit 20",
                name,
                name,
            )
        )

    def attach(self, db: Connection, name: str, lo: str, hi: str) -> None:
        attach = self.of("alter table raw.events attach partition {} for values from ", name)
        db.execute(attach + sql.SQL("({}) to ({})").format(sql.Literal(lo), sql.Literal(hi)))

    def finish_detaching(self, db: Connection) -> None:
        for (name,) in db.execute(PENDING).fetchall():
            while True:
                # It locks the partition, and then waits for whoever may be about to look at it.
                with suppress(psycopg.errors.DeadlockDetected):
                    db.execute(self.of("alter table raw.events detach partition {} finalize", name))
                    break
            self.note("finalized", name)

    def attach_all(self, db: Connection) -> None:
        self.finish_detaching(db)
        for row in db.execute(DETACHED).fetchall():
            self.attach(db, *row)
            self.note("attached at the end", *row)

    def of(self, statement: str, *names: str) -> sql.Composed:
        tables = [sql.Identifier("raw", name) for name in names]
        return sql.SQL(statement).format(*tables)
