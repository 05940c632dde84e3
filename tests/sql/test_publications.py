"""Publications: steps work where the tables of the core and the targets are published."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from sql.support import assert_true_rollup, create_ladder, make_readings, run, value

TABLES = """
    select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('raw', 'silver', 'tsconsole') and c.relkind in ('r', 'p')
      and not c.relispartition
"""


def publish(db: psycopg.Connection) -> None:
    """As FOR ALL TABLES does it, which only a superuser may."""
    names = ", ".join(row[0] for row in db.execute(TABLES))
    # From 18 on a whole row is an identity only where its generated columns are published, too.
    stored = db.info.server_version >= 180000
    db.execute(
        sql.SQL("create publication everything for table {} {}").format(
            sql.SQL(names), sql.SQL("with (publish_generated_columns = stored)" if stored else "")
        )
    )
    db.execute("alter table raw.readings replica identity full")


def change_and_compare(db: psycopg.Connection) -> None:
    db.execute("update raw.readings set power = power + 1 where ts < '2025-03-01 05:00Z'")
    db.execute("delete from raw.readings where ts >= '2025-03-01 22:00Z' and power > 500")
    run(db)
    for target, width in (("silver.r_1m", "minute"), ("silver.r_1h", "hour")):
        assert_true_rollup(db, target, f"date_trunc('{width}', ts, 'UTC')", keys="device")


def test_steps_beside_a_publication_of_all_tables(db: psycopg.Connection) -> None:
    make_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    publish(db)
    run(db)
    change_and_compare(db)


def test_targets_of_earlier_versions_are_repaired_where_they_are_published(
    db: psycopg.Connection,
) -> None:
    make_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    run(db)
    without = tables_of_targets(db)
    for name in without:
        db.execute(f"alter table {name} replica identity default")
    repair = (
        "select string_agg(detail, ' ') "
        "from silver.maintain_timeseries_tables(null, array['indexes'])"
    )
    assert "replica identity" not in value(db, repair)
    publish(db)
    with pytest.raises(AssertionError, match="replica identity"):
        change_and_compare(db)
    assert value(db, repair).count("replica identity full") == 2
    db.execute("select silver.retry_rollup('silver.r_1m'), silver.retry_rollup('silver.r_1h')")
    change_and_compare(db)


def tables_of_targets(db: psycopg.Connection) -> list[str]:
    query = "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p') and "
    return [row[0] for row in db.execute(query + "c.oid::regclass::text ~ '^silver.r_1'")]
