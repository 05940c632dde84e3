"""get_detailed_stats and validate_rollup_config work, and say the truth."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

Connection = psycopg.Connection[Any]


@pytest.fixture
def ladder(db: Connection) -> Connection:
    """Two levels on a source of 5,000 rows, both up to date."""
    db.execute(
        """
        create table raw.m (ts timestamptz, device int, v float8, note text);
        create index on raw.m (ts);
        insert into raw.m select now() - i * interval '1 min', i % 4, i, 'n'
            from generate_series(1, 5000) i;
        insert into silver.timeseries_dimension_config (source_table, dimension_column)
            values ('raw.m', 'device');
        """
    )
    db.execute("select silver.create_rollup_ladder('raw.m', '{5 min,1 hour}', 'm')")
    db.execute("select silver.perform_rollup('raw.m')")
    db.execute("vacuum analyze silver.m_5m")
    return db


def findings(db: Connection) -> set[tuple[str | None, str, str]]:
    """What is not valid: target, check, severity. Every finding has a message and a hint."""
    rows = db.execute("select * from silver.validate_rollup_config()").fetchall()
    assert all(row[5] for row in rows)
    assert all(row[3] == (row[4] == "ok") for row in rows)
    wrong = [row for row in rows if not row[3]]
    assert all(row[6] for row in wrong), wrong
    return {(row[0], row[2], row[4]) for row in wrong}


def test_get_detailed_stats_works(ladder: Connection) -> None:
    """Its figures are those of the tables and logs."""
    row = ladder.execute(
        """
        select s.target_table, s.source_table, s.rollup_interval::text,
               s.partitions = (select count(*) from tsconsole.partitions('silver.m_5m')),
               s.row_estimate = (select count(*) from silver.m_5m),
               s.total_bytes = (select sum(pg_total_relation_size(partition))
                   from tsconsole.partitions('silver.m_5m')),
               s.table_bytes + s.index_bytes = s.total_bytes,
               s.oldest_bucket = (select min(ts) from silver.m_5m),
               s.last_processed_time = (select last_processed_time
                   from silver.timeseries_rollup_config c
                                        where c.target_name = s.target_table),
               s.lag between interval '0' and interval '20 minutes',
               s.runs_24h > 0,
               s.rows_read_24h = (select sum(rollup_count) from silver.m_5m),
               s.rows_written_24h = (select count(*) from silver.m_5m),
               s.avg_duration > interval '0', s.errors_24h, s.health_status
        from silver.get_detailed_stats('silver.m_5m') s
        """
    ).fetchone()
    assert row == ("silver.m_5m", "raw.m", "00:05:00", *(True,) * 11, 0, "OK")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (None, ["silver.m_1h", "silver.m_5m"]),
        ("", ["silver.m_1h", "silver.m_5m"]),
        ("m_1h", ["silver.m_1h"]),
        ("silver.m%", ["silver.m_1h", "silver.m_5m"]),
        ("%5m", ["silver.m_5m"]),
        ("raw.m", []),
    ],
)
def test_get_detailed_stats_by_pattern(
    ladder: Connection, pattern: str | None, found: list[str]
) -> None:
    """LIKE on the name with or without its schema; null and '' mean all."""
    rows = ladder.execute("select target_table from silver.get_detailed_stats(%s)", [pattern])
    assert [row[0] for row in rows.fetchall()] == found


def test_get_detailed_stats_after_a_rename_and_a_drop(ladder: Connection) -> None:
    """A renamed table goes by its new name; a dropped one by its last."""
    ladder.execute(
        'alter table silver.m_5m rename to "Five Minutes"; drop table silver.m_1h cascade'
    )
    rows = ladder.execute(
        "select target_table, source_table, partitions, health_status"
        " from silver.get_detailed_stats('')"
    ).fetchall()
    assert rows == [
        ('silver."Five Minutes"', "raw.m", rows[0][2], "OK"),
        ("silver.m_1h", 'silver."Five Minutes"', 0, "ALERT"),
    ]


def test_validate_rollup_config_finds_nothing_wrong(ladder: Connection) -> None:
    """Every check reports, also those that pass."""
    assert findings(ladder) == set()
    checks = ladder.execute(
        "select target_table, array_agg(check_name order by check_name)"
        " from silver.validate_rollup_config() group by 1 order by 1"
    ).fetchall()
    common = [
        "chunk interval",
        "columns fit",
        "default partition",
        "locks",
        "pending ranges",
        "retention",
        "rollup interval",
        "row level security",
        "tables exist",
        "time index",
        "time zone",
        "unique index",
    ]
    assert checks == [
        ("silver.m_1h", sorted([*common, "ladder"])),
        ("silver.m_5m", common),
        (None, ["dimension"]),
    ]


SET = "update silver.timeseries_rollup_config set {} where target_name = '{}'"
BROKEN = {
    "columns fit": (
        "alter table raw.m drop column v cascade",
        {("silver.m_5m", "columns fit", "error")},
    ),
    "time index": (
        "drop index raw.m_ts_idx",
        {("silver.m_5m", "time index", "warning")},
    ),
    "time zone": (
        SET.format("timezone = 'Mars/Olympus'", "silver.m_5m"),
        # … and the level above is cut in another zone.
        {("silver.m_5m", "time zone", "error"), ("silver.m_1h", "ladder", "error")},
    ),
    "chunk interval": (
        SET.format("chunk_interval = '1 month 1 day'", "silver.m_5m"),
        {("silver.m_5m", "chunk interval", "error")},
    ),
    "ladder": (
        SET.format("rollup_interval = '7 min'", "silver.m_1h"),
        {("silver.m_1h", "ladder", "error")},
    ),
    "unique index": (
        "drop index silver.m_5m_ts_device_idx",
        # … which the level above reads by.
        {("silver.m_5m", "unique index", "error"), ("silver.m_1h", "time index", "warning")},
    ),
    "default partition": (
        "create table silver.m_5m_rest partition of silver.m_5m default",
        {("silver.m_5m", "default partition", "warning")},
    ),
    "row level security": (
        "alter table raw.m enable row level security, force row level security",
        {
            ("silver.m_5m", "row level security", "warning"),
            ("silver.m_5m", "columns fit", "error"),
        },
    ),
    "retention": (
        SET.format("retention_period = '30 min'", "silver.m_5m"),
        {("silver.m_5m", "retention", "error")},
    ),
    "retention of a bucket": (
        SET.format("retention_period = '1 min'", "silver.m_1h"),
        {("silver.m_1h", "retention", "error")},
    ),
    "retention and a reader behind": (
        SET.format("last_processed_time = now() - interval '3 days'", "silver.m_1h")
        + ";"
        + SET.format("retention_period = '1 day'", "silver.m_5m"),
        {("silver.m_5m", "retention", "warning")},
    ),
    "tables exist": (
        "drop table raw.m cascade",
        {("silver.m_5m", "tables exist", "error"), (None, "dimension", "error")},
    ),
    "pending ranges": (
        "drop table tsconsole.pending_1 cascade",
        {("silver.m_5m", "pending ranges", "error")},
    ),
    "dimension": (
        "update silver.timeseries_dimension_config set dimension_column = 'devise'",
        {(None, "dimension", "error")},
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_validate_rollup_config_finds(ladder: Connection, case: str) -> None:
    """One thing broken: that is what it says, and nothing else."""
    statement, expected = BROKEN[case]
    ladder.execute(statement)
    assert findings(ladder) == expected
