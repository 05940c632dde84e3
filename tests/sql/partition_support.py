"""A rollup of an empty source, and its partitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import psycopg

UTC = timezone.utc
Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


def make_rollup(db: Connection, time_type: str = "timestamptz", target: str = "m_1h") -> int:
    """A rollup of an empty source with partitions of a day; returns its id."""
    db.execute(f"create table raw.m (ts {time_type}, device text, v float8)")
    width = "1 day" if time_type == "date" else "1 hour"
    db.execute(
        "select silver.create_rollup_table('raw.m', %s, %s, dimensions := '{device}',"
        " chunk_interval := '1 day')",
        [target, width],
    )
    [[number]] = db.execute("select id from silver.timeseries_rollup_config").fetchall()
    return int(number)


def ranges(db: Connection, table: str = "silver.m_1h") -> list[tuple[datetime, datetime]]:
    return db.execute(
        "select range_start, range_end from tsconsole.partitions(%s::text::regclass) order by 1",
        [table],
    ).fetchall()


def ensure(db: Connection, rollup: int, start: datetime, end: datetime) -> int:
    [[made]] = db.execute(
        "select tsconsole.ensure_partitions(%s, %s, %s)", [rollup, start, end]
    ).fetchall()
    return int(made)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)
