"""get_partition_stats: exactly the partitions, with true figures that no scan was needed for."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sql.support import clear_of_midnight

Connection = psycopg.Connection[Any]


def test_get_partition_stats_lists_exactly_the_partitions(db: Connection) -> None:
    """No index, no table of a similar name, in order of time, sub-partitions by their leaves."""
    db.execute(
        """
        create table raw.events (ts timestamptz, region text, v int) partition by range (ts);
        create table raw.events_2 partition of raw.events for values
            from ('2026-02-01 00:00Z') to ('2026-03-01 00:00Z');
        create table raw.events_1 partition of raw.events for values
            from (minvalue) to ('2026-02-01 00:00Z')
            partition by list (region);
        create table raw.events_1_eu partition of raw.events_1 for values in ('eu');
        create table raw.events_1_us partition of raw.events_1 for values in ('us');
        create table raw.events_rest partition of raw.events default;
        create table raw.events_3 (ts timestamptz);
        create index on raw.events (ts);
        """
    )
    rows = db.execute(
        "select partition_name, range_start::text, range_end at time zone 'UTC', state"
        " from silver.get_partition_stats('raw.events')"
    ).fetchall()
    assert [row[0] for row in rows] == [
        "raw.events_1_eu",
        "raw.events_1_us",
        "raw.events_2",
        "raw.events_rest",
    ]
    assert [row[1] for row in rows][:2] == ["-infinity", "-infinity"]
    assert [str(row[2]) for row in rows] == [
        "2026-02-01 00:00:00",
        "2026-02-01 00:00:00",
        "2026-03-01 00:00:00",
        "None",
    ]
    assert [row[3] for row in rows][-1] == "open"


def test_get_partition_stats_figures(db: Connection) -> None:
    """Rows, sizes and times are those of the table."""
    db.execute(
        """
        create table raw.events (ts timestamptz, note text) partition by range (ts);
        create table raw.events_1 partition of raw.events for values
            from ('2026-02-01 00:00Z') to ('2026-03-01 00:00Z');
        create index on raw.events (ts);
        insert into raw.events select '2026-02-03', repeat('x', 50) from generate_series(1, 5000);
        """
    )
    db.execute("vacuum analyze raw.events")
    row = db.execute(
        """
        select s.row_estimate, s.table_bytes = pg_table_size('raw.events_1'),
            s.index_bytes = pg_indexes_size('raw.events_1'),
               s.total_bytes = pg_total_relation_size('raw.events_1'),
                   abs(s.bytes_per_row - s.total_bytes / 5000.0) < 0.01,
               s.estimated_at > now() - interval '1 minute',
                   s.last_vacuum > now() - interval '1 minute',
               s.last_analyze > now() - interval '1 minute', s.dead_rows
        from silver.get_partition_stats('raw.events') s
        """
    ).fetchone()
    assert row == (5000, True, True, True, True, True, True, True, 0)


def test_get_partition_stats_of_a_plain_table_and_of_a_view(db: Connection) -> None:
    """A plain table is one row; a view holds no rows of its own."""
    db.execute('create table raw."we.ird""name" (ts timestamptz); create view raw.v as select 1')
    rows = db.execute(
        "select partition_name, range_start, state"
        ' from silver.get_partition_stats(\'raw."we.ird""name"\')'
    ).fetchall()
    assert rows == [('raw."we.ird""name"', None, "open")]
    assert db.execute("select * from silver.get_partition_stats('raw.v')").fetchall() == []


@pytest.mark.parametrize("time_type", ["timestamptz", "timestamp", "date"])
def test_states(db: Connection, time_type: str) -> None:
    """expired, closed, open (now; the watermark), premade."""
    clear_of_midnight(db)
    db.execute(f"create table raw.m (ts {time_type}, v int)")
    db.execute("insert into raw.m values (now() - interval '20 days', 1)")
    db.execute(
        "select silver.create_rollup_table('raw.m', 'm_1d', '1 day', chunk_interval := '1 day',"
        " retention_period := '30 days')"
    )
    db.execute(
        """
        select tsconsole.ensure_partitions(id, now() + d * interval '1 day',
            now() + d * interval '1 day' + interval '1 second')
        from silver.timeseries_rollup_config, unnest(array[-40, -10, -5, 0, 3]) d
        """
    )
    db.execute(
        "update silver.timeseries_rollup_config"
        " set last_processed_time = now() - interval '10 days'"
    )
    rows = db.execute("select state from silver.get_partition_stats('silver.m_1d')").fetchall()
    assert [row[0] for row in rows] == ["expired", "open", "closed", "open", "premade"]


def test_a_source_expires_by_what_its_rollups_declare(db: Connection) -> None:
    """Only when all rollups on it declare that its rows may vanish."""
    db.execute(
        """
        create table raw.m (ts timestamptz, v int) partition by range (ts);
        create table raw.m_old partition of raw.m for values
            from ('2020-01-01 00:00Z') to ('2020-02-01 00:00Z');
        """
    )
    state = "select state from silver.get_partition_stats('raw.m')"
    db.execute(
        "select silver.create_rollup_table('raw.m', 'a', '1 hour', source_retention := '90 days')"
    )
    assert db.execute(state).fetchall() == [("expired",)]
    db.execute("select silver.create_rollup_table('raw.m', 'b', '1 day')")
    assert db.execute(state).fetchall() == [("closed",)]
