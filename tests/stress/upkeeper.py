"""Whoever looks after the partitions of the targets, while everybody reads and writes them."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from stress.arena import LEVELS
from stress.chaos import Helper

Connection = psycopg.Connection[Any]
WIDTHS = ("30 seconds", "1 minute", "2 minutes", "5 minutes", "1 hour")


class Upkeeper(Helper):
    """Changes chunk intervals, splits and merges partitions step by step, makes them ahead."""

    name = "upkeeper"
    pause = (0.01, 0.06)

    def act(self, db: Connection) -> None:
        db.execute("set statement_timeout = '5s'")
        target = self.dice.choice(LEVELS).target
        if not db.execute("select to_regclass(%s)", [target]).fetchone()[0]:
            return
        kind = self.dice.choices(["width", "premake", "step"], [2, 1, 12])[0]
        if kind == "width":
            width = self.dice.choice(WIDTHS)
            query = "select silver.alter_rollup(%s::regclass, chunk_interval := %s)"
            db.execute(query, [target, width])
            self.done["changed intervals"] += 1
        elif kind == "premake":
            query = "select tsconsole.maintain_premake(tsconsole.rollup(%s::regclass))"
            db.execute(query, [target])
            self.done["made ahead"] += 1
        else:
            query = "select outcome from tsconsole.rebuild_step(%s::regclass)"
            self.done[db.execute(query, [target]).fetchone()[0]] += 1


def finish(db: Connection) -> None:
    """Give every target's partitions the interval it has now; none overlaps or is left behind."""
    deadline = time.monotonic() + 60
    for level in LEVELS:
        while True:
            query = "select outcome, detail from tsconsole.rebuild_step(%s::regclass)"
            outcome, detail = db.execute(query, [level.target]).fetchone()
            if outcome == "done":
                break
            # Somebody's transaction, a vacuum's perhaps, may still be open.
            assert outcome != "busy" or time.monotonic() < deadline, detail
            time.sleep(0.1 if outcome == "busy" else 0)
        overlapping = db.execute(
            "select count(*) from tsconsole.partitions(%(t)s::regclass) a "
            "join tsconsole.partitions(%(t)s::regclass) b on a.partition <> b.partition "
            "and tstzrange(a.range_start, a.range_end) && tstzrange(b.range_start, b.range_end)",
            {"t": level.target},
        ).fetchone()
        assert overlapping == (0,)
    left = db.execute(
        "select count(*) from pg_class c where c.relname like '%\\_new' and c.relkind = 'r'"
    ).fetchone()
    assert left == (0,)
