"""pg_partman as the manager of a target: the same rows, its partitions, its default kept empty."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_true_rollup,
    assert_verified,
    column,
    create,
    make_readings,
    refuse,
    refuse_create,
    run,
    value,
    watermark,
)

Require = Callable[[psycopg.Connection, str], None]
HOUR = "date_trunc('hour', ts, 'UTC')"


@pytest.fixture
def managed(db: psycopg.Connection, require_extension: Require) -> psycopg.Connection:
    """An hourly rollup of sixty days until now in partitions of a day, made by pg_partman."""
    require_extension(db, "pg_partman")
    db.execute("set timezone = 'America/New_York'")
    make_readings(db, 0)
    start = value(db, "select (now() - interval '60 days')::text")
    add_readings(db, start, 60 * 24 * 4, "15 minutes")
    create(db, "raw.readings", "h", "1 hour", dimensions=["device"], chunk_interval="1 day",
           partition_manager="partman")  # fmt: skip
    return db


def test_the_statement_for_each_version(db: psycopg.Connection) -> None:
    """4 calls declarative partitioning native, 5 range; everything else is the same."""
    statement = (
        "select tsconsole.partman_parent_statement(%s, 'partman', 'silver.we\"ird', 'ts', "
        "'7 days', '2026-01-05 00:00Z')"
    )
    expected = (
        "select partman.create_parent(p_parent_table := 'silver.we\"ird', p_control := 'ts', "
        "p_type := '{}', p_interval := '7 days', p_premake := 2, "
        "p_start_partition := '2026-01-05 00:00:00+00', p_automatic_maintenance := 'off', "
        "p_jobmon := false)"
    )
    assert value(db, statement, [4]) == expected.format("native")
    assert value(db, statement, [5]) == expected.format("range")


def test_without_the_extension(db: psycopg.Connection) -> None:
    make_readings(db, 10)
    if value(db, "select count(*) from pg_extension where extname = 'pg_partman'"):
        pytest.skip("pg_partman is in every database here")
    said = refuse_create(db, "TS004", "pg_partman is not installed", partition_manager="partman")
    assert "create extension pg_partman" in (said.message_hint or "")
    refuse_create(db, "TS001", "there is no partition_manager 'pg'", partition_manager="pg")
    create(db, "raw.readings", "h", "1 hour")
    assert column(db, "select setting from silver.partman_settings('silver.h')") == []


def test_rows_and_partitions(managed: psycopg.Connection) -> None:
    path = value(managed, "show search_path")
    run(managed)
    assert_true_rollup(managed, "silver.h", HOUR, keys="device",
                       where=f"ts < {watermark('silver.h')}")  # fmt: skip
    assert_verified(managed, "silver.h")
    parts = managed.execute(
        "select range_end - range_start from tsconsole.partitions('silver.h') "
        "where range_start is not null"
    ).fetchall()
    assert len(parts) >= 60 and {str(row[0]) for row in parts} == {"1 day, 0:00:00"}
    assert value(managed, "select not tsconsole.has_rows('silver.h_default')")
    assert value(managed, "show search_path") == path


def test_the_default_partition_is_emptied(managed: psycopg.Connection) -> None:
    """Rows older than the partitions go there; maintenance moves them, and says so."""
    run(managed)
    older = value(managed, "select (now() - interval '75 days')::text")
    add_readings(managed, older, 3 * 24 * 4, "15 minutes")
    run(managed)
    assert value(managed, "select tsconsole.has_rows('silver.h_default')")
    findings = (
        "select message from silver.validate_rollup_config() where check_name = 'default partition'"
    )
    assert "silver.h_default" in value(managed, findings)
    settings = dict(managed.execute("select * from silver.partman_settings('silver.h')").fetchall())
    assert settings["default partition has rows"] == "yes"
    assert settings["partition_interval"] == "1 day"
    said = managed.execute(
        "select outcome, detail from silver.maintain_timeseries_tables('silver.h') "
        "where task = 'premake'"
    ).fetchone()
    assert said[0] == "done", said
    assert "rows were moved out of its default partition" in said[1], said
    assert value(managed, "select not tsconsole.has_rows('silver.h_default')")
    assert value(managed, findings) == "the default partition of pg_partman is empty"
    assert_verified(managed, "silver.h")
    assert_true_rollup(managed, "silver.h", HOUR, keys="device",
                       where=f"ts < {watermark('silver.h')}")  # fmt: skip


def test_a_step_in_hand_is_waited_for(
    managed: psycopg.Connection, connect: Callable[..., psycopg.Connection]
) -> None:
    """A row that a step changes while pg_partman moves it would be lost."""
    step = connect(autocommit=False)
    step.execute("select tsconsole.claim(c.id, 'recompute') from tsconsole.rollup('silver.h') c")
    said = managed.execute(
        "select outcome, detail from silver.maintain_timeseries_tables('silver.h', '{premake}')"
    ).fetchone()
    assert said == ("skipped", "busy: a step is running")


def test_retention_and_drop(managed: psycopg.Connection) -> None:
    run(managed)
    managed.execute("select silver.set_retention('silver.h', '20 days', 'archive')")
    for _ in range(20):
        gone = managed.execute("select action from silver.apply_retention('silver.h')").fetchall()
        if not gone:
            break
        assert gone[0] == ("archive",), gone
    assert value(managed, "select min(ts) > now() - interval '22 days' from silver.h")
    assert_verified(managed, "silver.h")
    managed.execute("select * from tsconsole.maintain_partman(tsconsole.rollup('silver.h'))")
    managed.execute("select silver.drop_rollup('silver.h')")
    assert value(managed, "select count(*) from partman.part_config") == 0
    assert value(managed, "select count(*) from pg_class where relname like 'template%'") == 0


def test_what_it_cannot_do(managed: psycopg.Connection) -> None:
    refuse_create(managed, "TS004", "dot in its name", target_table_name='silver."a.b"',
                  partition_manager="partman")  # fmt: skip
    refuse_create(managed, "TS001", "too short for pg_partman", target_table_name="x",
                  rollup_interval="1 minute", chunk_interval="10 minutes",
                  partition_manager="partman")  # fmt: skip
    refuse(managed, "select silver.alter_rollup('silver.h', chunk_interval := '2 days')", None,
           "TS004", "are made by pg_partman")  # fmt: skip
    refuse(managed, "call silver.rebuild_partitions('silver.h')", None,
           "TS004", "are managed by partman")  # fmt: skip
    run(managed)
    choice = managed.execute("select * from silver.optimize_chunk_interval('silver.h')").fetchone()
    assert choice[1] == choice[2] and "pg_partman makes the partitions" in choice[4]


def test_maintenance_catches_up_after_a_long_pause(managed: psycopg.Connection) -> None:
    """Nobody made partitions for 25 days: what went to the default partition is moved in parts."""
    managed.execute(
        """
        do $$ declare part regclass; begin
            for part in select p.partition from tsconsole.partitions('silver.h') p
                         where p.range_end > now() - interval '25 days'
            loop execute format('drop table %s', part); end loop;
        end $$
        """
    )
    run(managed)
    query = "select outcome, detail from silver.maintain_timeseries_tables('silver.h', '{premake}')"
    for _ in range(4):
        said = managed.execute(query).fetchone()
        assert said[0] == "done", said
    assert "its default partition is empty" in said[1]
    assert value(managed, "select max(range_end) > now() from tsconsole.partitions('silver.h')")
    assert_verified(managed, "silver.h")
    assert_true_rollup(managed, "silver.h", HOUR, keys="device",
                       where=f"ts < {watermark('silver.h')}")  # fmt: skip
