"""Settings of a session that writes, creates or steps change nothing about what is stored."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import assert_same, assert_verified, create, run

HOUR = "date_bin('1 hour', ts, '2000-01-03 00:00Z')"
WIDTHS = {"15m": "15 minutes", "1h": "1 hour", "1d": "1 day", "1w": "1 week", "1mon": "1 month"}
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata"]


def make_source(db: psycopg.Connection, device: str = "integer", rows: int = 500) -> None:
    """raw.m: a row a minute up to now, of three devices."""
    db.execute(f"create table raw.m (ts timestamptz, device {device}, v double precision)")
    db.execute("create index on raw.m (ts)")
    db.execute(
        "insert into raw.m select now() - i * interval '1 minute', (i %% 3)::text::"
        f"{device}, i from generate_series(1, %s) i",
        [rows],
    )


def assert_live(db: psycopg.Connection, target: str, bucket: str = HOUR) -> None:
    assert_same(
        db,
        # psycopg reads times in the ISO style only.
        f"select ({bucket})::text, device, count(*), sum(v) from raw.m group by 1, 2",
        f"select ts::text, device, rollup_count, sum_v from {target}_live",
    )


@pytest.mark.parametrize("zone", ZONES)
def test_dates_that_read_otherwise_elsewhere(
    db: psycopg.Connection, connect: Callable[..., psycopg.Connection], zone: str
) -> None:
    """03/01/2000 is a day in January or in March, and IST an hour of India or of Israel."""
    db.execute("set datestyle = 'SQL, DMY'")
    db.execute("set timezone = 'Asia/Kolkata'")
    make_source(db, rows=1500)
    for name, width in WIDTHS.items():
        create(db, "raw.m", f"r{name}", width, dimensions=["device"], timezone=zone)
    run(db)
    late = "insert into raw.m select now() - i * interval '7 minutes', i % 5, i "
    other = connect()
    for writer in (db, other):
        writer.execute(late + "from generate_series(1, 150) i")
    for _ in ("late", "recomputed"):
        for name, width in WIDTHS.items():
            for reader in (db, other):
                assert_live(
                    reader, f"silver.r{name}", f"silver.time_bucket('{width}', ts, '{zone}')"
                )
        run(db)
    for name in WIDTHS:
        assert_verified(other, f"silver.r{name}")


def test_late_series_whose_texts_are_the_same_in_the_writers_session(
    db: psycopg.Connection,
) -> None:
    make_source(db, "double precision")
    create(db, "raw.m", "r", "1 hour", dimensions=["device"])
    run(db)
    with db.transaction():
        db.execute("set local extra_float_digits = -15")
        for device in (1.11, 1.12, 1.13):
            db.execute(f"insert into raw.m values (now() - interval '3 hours', {device}, 1)")
    assert_live(db, "silver.r")
    run(db)
    assert_verified(db, "silver.r")


def test_values_whose_texts_are_the_same_in_the_session_of_a_step(db: psycopg.Connection) -> None:
    make_source(db)
    create(db, "raw.m", "r", "1 hour", dimensions=["device"], measures={"v": ["last", "mode"]})
    run(db)
    db.execute("update raw.m set v = v + 0.001 where ts < now() - interval '2 hours'")
    db.execute("set extra_float_digits = -15")
    run(db)
    db.execute("update silver.r set mode_v = mode_v + 0.001 where device = 1")
    found = db.execute(
        "select distinct column_name from silver.verify_rollup('silver.r')"
    ).fetchall()
    assert found == [("mode_v",)]
    db.execute("reset extra_float_digits")
    assert_same(
        db,
        f"select {HOUR}, device, (array_agg(v order by ts desc))[1] from raw.m group by 1, 2",
        "select ts, device, last_v from silver.r_live",
    )


def test_a_search_path_that_hides_what_is_built_in(db: psycopg.Connection) -> None:
    make_source(db)
    create(db, "raw.m", "r", "1 hour", dimensions=["device"])
    create(db, "raw.m", "berlin", "15 minutes", dimensions=["device"], timezone="Europe/Berlin")
    run(db)
    db.execute(
        """
        create schema own;
        create function own.date_bin(interval, timestamptz, timestamptz) returns timestamptz
            language sql as $$ select timestamptz '2001-01-01' $$;
        create domain own.text as varchar(2);
        create domain own.int4 as pg_catalog.int4 check (value < 0);
        create domain own.timestamptz as pg_catalog.date;
        create function own.always(pg_catalog.timestamptz, pg_catalog.timestamptz) returns boolean
            language sql as 'select true';
        create operator own.>= (function = own.always,
            leftarg = pg_catalog.timestamptz, rightarg = pg_catalog.timestamptz);
        set search_path = own, pg_catalog;
        insert into raw.m select pg_catalog.now() - i * interval '11 minutes', i % 3, i
            from pg_catalog.generate_series(1, 50) i;
        reset search_path;
        """
    )
    assert_live(db, "silver.r")
    run(db)
    for target in ("silver.r", "silver.berlin"):
        assert_verified(db, target)


def test_procedures_under_a_search_path_that_hides_types(db: psycopg.Connection) -> None:
    """They commit, and so cannot have a search path of their own."""
    make_source(db)
    db.execute("alter table raw.m add part integer default 7")
    create(db, "raw.m", "r", "1 hour", dimensions=["device"], measures={"v": ["sum"]})
    db.execute("create schema own")
    for name in ("timestamptz", "text", "jsonb", "regclass"):
        db.execute(f"create domain own.{name} as pg_catalog.int4 check (value < 0)")
    db.execute("set search_path = own, pg_catalog")
    for statement in (
        "call silver.run_rollups()",
        "insert into raw.m select pg_catalog.now() - i * interval '11 minutes', i % 3, i"
        " from generate_series(1, 50) i",
        "call silver.run_due_rollups()",
        "call silver.run_maintenance(only_due => false)",
        "call silver.rebuild_partitions('silver.r')",
        "call silver.add_dimensions('silver.r', '{part}')",
        "call silver.run_rollups()",
        "call silver.drop_dimensions('silver.r', '{part}')",
        "select silver.prepare_source_ddl('raw.m')",
        "select silver.refresh_source('raw.m')",
        "call silver.run_rollups()",
    ):
        db.execute(statement)
    db.execute("reset search_path")
    assert_live(db, "silver.r")
    assert_verified(db, "silver.r")
    db.execute("set search_path = own, pg_catalog")
    db.execute("call silver.drop_large_rollup('silver.r')")
    assert db.execute("select count(*) from silver.timeseries_rollup_config").fetchone() == (0,)


def test_settings_of_old_applications(
    db: psycopg.Connection, connect: Callable[..., psycopg.Connection]
) -> None:
    """Backslashes that escape in plain strings, names that are all quoted, one plan for all."""
    make_source(db)
    db.execute('alter table raw.m rename device to "one"; alter table raw.m add at text')
    for setting in (
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "quote_all_identifiers = on",
        "plan_cache_mode = force_generic_plan",
        "bytea_output = escape",
        "intervalstyle = sql_standard",
        "search_path = ''",
    ):
        db.execute(f"set {setting}")
    dimensions = ["one * 2 as twice", "upper(at)  as   at"]
    create(db, "raw.m", "r", "1 hour", dimensions=dimensions)
    create(db, "silver.r", "above", "1 day", dimensions=["twice"])
    run(db)
    db.execute("update raw.m set at = 'x' || one where v::integer % 5 = 0")
    for reader in (db, connect()):
        for _ in ("late", "recomputed"):
            assert_same(
                reader,
                "select date_trunc('day', ts, 'UTC'), one * 2, count(*), sum(v) "
                "from raw.m group by 1, 2",
                "select ts, twice, rollup_count, sum_v from silver.above_live",
            )
            assert_same(
                reader,
                f"select {HOUR}, one * 2, upper(at), count(*) from raw.m group by 1, 2, 3",
                "select ts, twice, at, rollup_count from silver.r_live",
            )
            run(db)
    assert_verified(db, "silver.r")
    db.execute("select silver.drop_rollup('silver.above')")
    db.execute("select silver.drop_rollup('silver.r')")
