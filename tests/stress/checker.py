"""The checker: compares every live view with GROUP BY over the source, in single snapshots."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from stress.arena import LEVELS, Level

Connection = psycopg.Connection[Any]
SNAPSHOT = "begin isolation level repeatable read read only"


class Checker:
    """A thread that takes snapshot after snapshot, and keeps the reports of those that differ."""

    def __init__(self, dsn: str, stopping: threading.Event) -> None:
        self.dsn = dsn
        self.stopping = stopping
        self.snapshots = 0
        self.views = 0
        self.reports: list[str] = []
        self.errors: list[str] = []
        self.thread = threading.Thread(target=self.run, name="checker", daemon=True)

    def run(self) -> None:
        while not self.stopping.is_set() and len(self.reports) < 3:
            try:
                with psycopg.connect(
                    self.dsn, autocommit=True, application_name="stress-checker"
                ) as db:
                    db.execute("set jit = off")
                    while not self.stopping.is_set() and len(self.reports) < 3:
                        self.check(db)
            except psycopg.OperationalError as error:
                if error.sqlstate not in (None, "57P01", "57P02", "57P03"):
                    self.errors.append(str(error))
                self.stopping.wait(0.1)
            except psycopg.Error as error:
                self.errors.append(f"{error.sqlstate} {error}")
                return

    def check(self, db: Connection) -> None:
        db.execute(SNAPSHOT)
        levels = existing(db)
        report = differing(db, levels, Level.live_differences)
        if report:
            self.reports.append(report)
        db.execute("commit")
        self.snapshots += 1
        self.views += len(levels)


def existing(db: Connection) -> list[Level]:
    """The levels that are there in this snapshot."""
    found = db.execute("select target_name from silver.timeseries_rollup_config").fetchall()
    return [level for level in LEVELS if (level.target,) in found]


def differing(db: Connection, levels: list[Level], query: Callable[[Level], str]) -> str:
    """What differs, with the state of the engine in the same snapshot; empty when all is equal."""
    parts = []
    for level in levels:
        rows = db.execute(query(level)).fetchall()
        if rows:
            parts.append(f"{level.target} differs (n > 0: missing, n < 0: too many):")
            parts += [f"  {row}" for row in rows]
            parts += pending_around(db, levels, rows[0][1])
    return "\n".join(parts + state(db)) if parts else ""


def pending_around(db: Connection, levels: list[Level], moment: Any) -> list[str]:
    lines = []
    for level in levels:
        rollup = db.execute(
            "select id from silver.timeseries_rollup_config where target_name = %s", [level.target]
        ).fetchone()[0]
        found = db.execute(
            f"select (ctid, xmin, p)::text from tsconsole.pending_{rollup} p "
            "where lo <= %(at)s::timestamptz + interval '30 s' "
            "and hi > %(at)s::timestamptz - interval '30 s' order by lo limit 20",
            {"at": moment},
        ).fetchall()
        lines += [f"  pending of {level.target} near the first: {row}" for row in found]
    return lines


STATE = {
    "rollup": "select id, target_name, last_processed_time, history_from, history_to, is_active "
    "from silver.timeseries_rollup_config order by id",
    "last runs": "select id, rollup_id, work, window_start, window_end, rows_read, rows_written, "
    "rows_deleted, end_time, worker_pid, xmin "
    "from silver.timeseries_refresh_log order by id desc limit 25",
    "heartbeat": "select * from tsconsole.heartbeat order by ceiling desc limit 5",
    "frozen": "select * from tsconsole.frozen_range",
    "partition then": "select partition::regclass, partition, file_node, attached_by, range_start "
    "from tsconsole.source_partition order by range_start",
    "partition now": "select partition::regclass, p.* "
    "from tsconsole.present_partitions('raw.events') p order by 1",
    "retry": "select * from tsconsole.retry",
    "now": "select clock_timestamp(), now(), pg_current_snapshot()",
}


def state(db: Connection) -> list[str]:
    # As text: Python has no infinite times.
    return [
        f"  {name}: {row[0]}"
        for name, query in STATE.items()
        for row in db.execute(f"select q::text from ({query}) q").fetchall()
    ]
