"""What several SQL tests start from."""

from __future__ import annotations

import psycopg
import pytest
from sql.support import clear_of_midnight


@pytest.fixture
def hourly(db: psycopg.Connection) -> psycopg.Connection:
    """40 days of minutes until now, rolled up by hour into partitions of a day."""
    clear_of_midnight(db)
    db.execute(
        """
        create table raw.m (ts timestamptz, device int, v float8);
        create index on raw.m (ts);
        insert into raw.m
        select date_trunc('minute', now()) - i * interval '5 min', i % 4, i
            from generate_series(1, 11520) i;
        """
    )
    db.execute(
        "select silver.create_rollup_table('raw.m', 'm_1h', '1 hour', dimensions := '{device}',"
        " chunk_interval := '1 day')"
    )
    db.execute("select silver.perform_rollup('silver.m_1h')")
    return db
