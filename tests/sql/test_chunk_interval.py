"""optimize_chunk_interval measures, chooses, says why, and the next partitions are so wide."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

Connection = psycopg.Connection[Any]

CHOICE = (
    "select previous_interval::text, chunk_interval::text, bytes_per_hour, reason"
    " from silver.optimize_chunk_interval('silver.m_1h', %s)"
)


def one(db: Connection, query: str, *arguments: Any) -> Any:
    row = db.execute(query, arguments).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_chunk_interval_is_measured_and_used(hourly: Connection) -> None:
    """Bytes over hours of complete partitions; the next partitions have the new width."""
    measured = one(
        hourly,
        """
        select (sum(pg_total_relation_size(partition)) / 96)::float8
        from (select * from tsconsole.partitions('silver.m_1h')
              where range_end <= (select last_processed_time from silver.timeseries_rollup_config)
              order by range_end desc limit 4) p
        """,
    )
    size = int(measured * 24 * 7.5)
    previous, chosen, per_hour, reason = one(hourly, CHOICE, size)
    assert (previous, chosen) == ("1 day", "7 days")
    assert per_hour == pytest.approx(float(measured))
    assert "the last 4 complete partitions hold" in reason
    before = hourly.execute("select * from tsconsole.partitions('silver.m_1h')").fetchall()
    hourly.execute("select silver.maintain_timeseries_tables('silver.m_1h')")
    added = hourly.execute(
        "select range_start, range_end from tsconsole.partitions('silver.m_1h')"
        " where partition <> all (%s::text[]::regclass[]) order by 1",
        [[row[0] for row in before]],
    ).fetchall()
    assert added[0][0] == max(row[2] for row in before)
    assert all(low[1] == high[0] for low, high in pairwise(added))
    assert added[-1][1] - added[-1][0] == timedelta(days=7)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0.2, "01:00:00"),
        (5, "04:00:00"),
        (70, "2 days"),
        (24 * 20, "14 days"),
        (24 * 45, "1 mon"),
        (24 * 400, "1 year"),
    ],
)
def test_chunk_interval_is_a_round_one(hourly: Connection, hours: float, expected: str) -> None:
    """The widest whole hours, days, weeks, months or years within the size; a bucket at least."""
    [[per_hour]] = hourly.execute(
        "select bytes_per_hour from silver.optimize_chunk_interval('silver.m_1h')"
    ).fetchall()
    hourly.execute("update silver.timeseries_rollup_config set chunk_interval = '100 years'")
    assert one(hourly, CHOICE, int(hours * per_hour) + 1)[1] == expected


def test_chunk_interval_near_the_size_stays(hourly: Connection) -> None:
    """No change for a small gain."""
    [[per_hour]] = hourly.execute(
        "select bytes_per_hour from silver.optimize_chunk_interval('silver.m_1h')"
    ).fetchall()
    hourly.execute("update silver.timeseries_rollup_config set chunk_interval = '1 day'")
    previous, chosen, _, reason = one(hourly, CHOICE, int(per_hour * 24 * 1.4))
    assert previous == chosen == "1 day"
    assert "near enough" in reason


def test_chunk_interval_without_data_is_the_default(db: Connection) -> None:
    """And the reason is given."""
    db.execute("create table raw.m (ts timestamptz, v int)")
    db.execute("select silver.create_rollup_table('raw.m', 'm_1h', '1 hour', "
               "chunk_interval := '3 days')")  # fmt: skip
    previous, chosen, per_hour, reason = one(db, CHOICE, 1000)
    assert (previous, chosen) == ("3 days", "1 mon")
    assert per_hour is None
    assert reason == "the target has no rows yet, so it gets the default for buckets of 01:00:00"


@pytest.mark.parametrize("size", [0, -1, None])
def test_chunk_interval_refuses_a_size_that_is_none(hourly: Connection, size: int | None) -> None:
    with pytest.raises(psycopg.Error) as failure:
        hourly.execute(CHOICE, [size])
    assert failure.value.sqlstate == "TS001"
    assert failure.value.diag.message_hint
