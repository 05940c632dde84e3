"""Every bucket of a rollup equals GROUP BY over its source, on real and on generated data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from importlib.resources import files

import psycopg
import pytest
from psycopg import sql

ZONE = "Europe/Berlin"
DATA = files("bokeh_sampledata") / "_data"


def sample(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open("rb") as packed, gzip.open(packed, "rt") as text:
        yield from csv.DictReader(text)


def reading(text: str) -> str | None:
    return None if text in ("", "nil") else text


@pytest.fixture
def glucose(db: psycopg.Connection) -> psycopg.Connection:
    """raw.glucose: readings every 5 minutes from March to October 2010, across a DST change."""
    db.execute(
        "create table raw.glucose (ts timestamptz not null, wall timestamp, isig float8, "
        "glucose integer)"
    )
    with db.cursor().copy("copy raw.glucose (ts, wall, isig, glucose) from stdin") as copy:
        for row in sample("CGM.csv.gz"):
            # The readings are local; an hour that summer time skips has none.
            copy.write_row(
                (
                    row["datetime"] + " " + ZONE,
                    row["datetime"],
                    reading(row["isig"]),
                    reading(row["glucose"]),
                )
            )
    db.execute("create index on raw.glucose (ts); create index on raw.glucose (wall)")
    db.execute("analyze raw.glucose")
    return db


def differences(db: psycopg.Connection, expected: str, found: str) -> list[tuple[object, ...]]:
    """The rows of either query that the other does not have."""
    both_ways = sql.SQL(
        "(select 'missing', * from ({e}) a except all select 'missing', * from ({f}) b) union all "
        "(select 'not expected', * from ({f}) b except all select 'not expected', * from ({e}) a) "
        "limit 5"
    )
    return db.execute(both_ways.format(e=sql.SQL(expected), f=sql.SQL(found))).fetchall()


def run(db: psycopg.Connection, table: str) -> None:
    outcomes = db.execute(
        "select target_table, outcome, error_message from silver.perform_rollup(%s)", [table]
    ).fetchall()
    assert all(outcome in ("done", "idle") for _, outcome, _ in outcomes), outcomes


GLUCOSE_MEASURES = """min(glucose), max(glucose), round(avg(glucose), 6), sum(glucose),
    count(glucose), round(avg(isig)::numeric, 6), count(*)"""
GLUCOSE_COLUMNS = """min_glucose, max_glucose, round(avg_glucose, 6), sum_glucose, count_glucose,
    round(avg_isig::numeric, 6), rollup_count"""


def test_glucose_ladder_in_a_named_zone_across_a_clock_change(glucose: psycopg.Connection) -> None:
    glucose.execute(
        "select silver.create_rollup_ladder('raw.glucose', '{1 minute,1 hour,1 day,1 month}', "
        "'glucose', time_column := 'ts', timezone := %s)",
        [ZONE],
    )
    run(glucose, "raw.glucose")
    for level, unit in {"1m": "minute", "1h": "hour", "1d": "day", "1mon": "month"}.items():
        assert not differences(
            glucose,
            f"select date_trunc('{unit}', ts, '{ZONE}'), {GLUCOSE_MEASURES} from raw.glucose "
            "group by 1",
            f"select ts, {GLUCOSE_COLUMNS} from silver.glucose_{level}",
        ), level
        verified = glucose.execute(
            f"select * from silver.verify_rollup('silver.glucose_{level}')"
        ).fetchall()
        assert verified == []


def test_glucose_by_a_timestamp_without_zone(glucose: psycopg.Connection) -> None:
    glucose.execute(
        "select silver.create_rollup_ladder('raw.glucose', '{15 minutes,6 hours,1 week}', "
        "'wall', time_column := 'wall', timezone := %s)",
        [ZONE],
    )
    run(glucose, "raw.glucose")
    for level, width in {"15m": "15 minutes", "6h": "6 hours", "1w": "7 days"}.items():
        assert not differences(
            glucose,
            f"select date_bin('{width}', wall, timestamp '2000-01-03'), {GLUCOSE_MEASURES} "
            "from raw.glucose group by 1",
            f"select wall, {GLUCOSE_COLUMNS} from silver.wall_{level}",
        ), level


def test_glucose_by_date(glucose: psycopg.Connection) -> None:
    glucose.execute(
        "create table raw.daily as select wall::date as day, glucose from raw.glucose;"
        "create index on raw.daily (day)"
    )
    glucose.execute(
        "select silver.create_rollup_ladder('raw.daily', '{1 day,1 month,1 year}', 'daily')"
    )
    run(glucose, "raw.daily")
    for level, unit in {"1d": "day", "1mon": "month", "1y": "year"}.items():
        assert not differences(
            glucose,
            f"select date_trunc('{unit}', day)::date, sum(glucose), count(*) from raw.daily "
            "group by 1",
            f"select day, sum_glucose, rollup_count from silver.daily_{level}",
        ), level


def test_sea_temperatures(db: psycopg.Connection) -> None:
    db.execute("create table raw.sea (ts timestamptz, temperature numeric)")
    with db.cursor().copy("copy raw.sea from stdin") as copy:
        for row in sample("sea_surface_temperature.csv.gz"):
            copy.write_row((row["time (UTC)"], row["temperature (celsius)"]))
    db.execute("create index on raw.sea (ts)")
    db.execute("select silver.create_rollup_ladder('raw.sea', '{1 hour,1 day,1 week}', 'sea')")
    db.execute("select silver.create_rollup_table('raw.sea', 'sea_quarter', '3 months')")
    run(db, "raw.sea")
    expected = "min(temperature), max(temperature), avg(temperature), sum(temperature), count(*)"
    found = "min_temperature, max_temperature, avg_temperature, sum_temperature, rollup_count"
    for target, bucket in {
        "sea_1h": "date_trunc('hour', ts, 'UTC')",
        "sea_1d": "date_trunc('day', ts, 'UTC')",
        "sea_1w": "date_trunc('week', ts, 'UTC')",
        "sea_quarter": "date_trunc('quarter', ts, 'UTC')",
    }.items():
        assert not differences(
            db,
            f"select {bucket}, {expected} from raw.sea group by 1",
            f"select ts, {found} from silver.{target}",
        ), target


NUMERIC_TYPES = ("smallint", "integer", "bigint", "numeric", "real", "double precision")


def test_generated_data_with_every_numeric_type_and_null_dimensions(
    db: psycopg.Connection,
) -> None:
    columns = ", ".join(f"x{i} {name}" for i, name in enumerate(NUMERIC_TYPES))
    values = ", ".join(
        f"case when i % 11 <> {i} then ((i * 7919) % 20011 - 10000)::{name} end"
        for i, name in enumerate(NUMERIC_TYPES)
    )
    db.execute(f"create table raw.many (ts timestamptz, device integer, site text, {columns})")
    db.execute(
        "insert into raw.many select timestamptz '1969-12-31 20:00+00' + i * interval '1.7 s', "
        f"nullif(i % 7, 3), nullif('s' || i % 3, 's1'), {values} from generate_series(1, 20000) i"
    )
    db.execute("create index on raw.many (ts)")
    db.execute(
        "select silver.create_rollup_ladder('raw.many', '{500 milliseconds,1 minute,1 hour}', "
        "'many', dimensions := '{device,site}')"
    )
    run(db, "raw.many")
    for level, width in {"500ms": "500 ms", "1m": "1 minute", "1h": "1 hour"}.items():
        for i, name in enumerate(NUMERIC_TYPES):
            is_float = name in ("real", "double precision")
            expected_sum = f"sum(x{i}::double precision)" if is_float else f"sum(x{i})"
            expected_avg = f"avg(x{i}::double precision)" if is_float else f"avg(x{i})"
            assert not differences(
                db,
                f"select date_bin('{width}', ts, '2000-01-03 00:00+00'), device, site, min(x{i}), "
                f"max(x{i}), round({expected_sum}::numeric, 6), round({expected_avg}::numeric, 6), "
                f"count(x{i}), count(*) from raw.many group by 1, 2, 3",
                f"select ts, device, site, min_x{i}, max_x{i}, round(sum_x{i}::numeric, 6), "
                f"round(avg_x{i}::numeric, 6), count_x{i}, rollup_count from silver.many_{level}",
            ), (level, name)


def test_an_average_equals_avg_to_the_last_digit(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.exact as select timestamptz '2026-01-01 00:00+00' + i * interval '1 s' "
        "as ts, i % 97 as n, (i % 89)::numeric / 7 as m from generate_series(1, 10000) i"
    )
    db.execute("select silver.create_rollup_ladder('raw.exact', '{1 minute,1 hour}', 'exact')")
    run(db, "raw.exact")
    assert not differences(
        db,
        "select date_trunc('hour', ts, 'UTC'), avg(n), avg(m) from raw.exact group by 1",
        "select ts, avg_n, avg_m from silver.exact_1h",
    )


def test_a_frontier_that_moves_while_rows_arrive(db: psycopg.Connection) -> None:
    db.execute("create table raw.live (ts timestamptz, v integer); create index on raw.live (ts)")
    db.execute(
        "select silver.create_rollup_ladder('raw.live', '{100 milliseconds,1 second}', 'live', "
        "allowed_lateness := '0')"
    )
    for i in range(30):
        db.execute("insert into raw.live select clock_timestamp(), generate_series(1, %s)", [i])
        run(db, "raw.live")
    db.execute("select pg_sleep(1.1)")
    run(db, "raw.live")
    assert not differences(
        db,
        "select date_trunc('second', ts, 'UTC'), sum(v), count(*) from raw.live group by 1",
        "select ts, sum_v, rollup_count from silver.live_1s",
    )
