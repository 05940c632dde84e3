"""first_value and last_value: the value at the earliest and latest time, of any type, exactly."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

# (type, earliest value, latest value); texts that the type's own output writes back.
VALUES = [
    ("smallint", "-32768", "32767"),
    ("bigint", "9223372036854775807", "-9223372036854775808"),
    ("numeric", "0.1000", "12345678901234567890.12345678901234567890"),
    ("real", "0.1", "3.4028235e+38"),
    ("double precision", "0.30000000000000004", "NaN"),
    ("text", "(not a row", 'O\'Reilly, \\ "x" \n'),
    ("text", "", "NULL"),
    ("character(5)", "ab   ", "abc  "),
    ('"char"', "a", "z"),
    ("boolean", "t", "f"),
    ("jsonb", '{"a": [1, null]}', "null"),
    ("json", '{"a":  1,"a":2}', "[ ]"),
    ("integer[]", "{1,NULL,3}", "{{1,2},{3,4}}"),
    ("text[]", '{"a b",NULL,"c,\\"d"}', "{}"),
    ("timestamptz", "2026-03-05 12:00:00.123456+05:30", "infinity"),
    ("timestamptz[]", '{"2026-10-25 00:30:00+00"}', "{-infinity}"),
    ("date", "0044-03-15 BC", "2026-01-02"),
    ("interval", "-1 years +2 days -03:04:05.678", "1 mon"),
    ("bytea", "\\x00ff", "\\x"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"),
    ("inet", "192.168.0.1/24", "::1"),
    ("int4range", "[1,5)", "empty"),
    ("mood", "sad", "happy"),
    ("reading", '(1,"a ""b"", c",{1.5})', "(,,)"),
    ("reading[]", '{"(1,x,{2})",NULL}', "{}"),
    ("percent", "0.1", "99.9"),
    ("regclass", "raw.some_table", "pg_class"),
]


@pytest.fixture
def types(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with an enum, a row type and a domain."""
    db.execute("create table raw.some_table ()")
    db.execute("create type mood as enum ('sad', 'happy')")
    db.execute("create type reading as (id int, note text, samples numeric[])")
    db.execute("create domain percent as numeric check (value between 0 and 100)")
    return db


@pytest.mark.parametrize("time_type", ["timestamptz", "timestamp"])
def test_every_type_comes_back_exactly(types: psycopg.Connection[Any], time_type: str) -> None:
    """The bytes of the stored value are those of the source's, in a session with odd settings."""
    types.execute("set extra_float_digits = -15")
    types.execute("set datestyle = 'SQL, DMY'")
    types.execute("set timezone = 'Asia/Kolkata'")
    types.execute("set intervalstyle = 'sql_standard'")
    for type_name, early, late in VALUES:
        types.execute("drop table if exists raw.samples")
        types.execute(f"create table raw.samples (ts {time_type}, v {type_name})")
        times = ("2026-01-02", "2020-01-01", None, None)
        for time, value in zip(times, (late, early, None, late), strict=True):
            types.execute(
                f"insert into raw.samples values (%s::{time_type}, %s::{type_name})", [time, value]
            )
        same = types.execute(
            """
            with found as (select silver.first_value(v, ts) as f, silver.last_value(v,
                ts) as l from raw.samples)
            select pg_typeof(f) = pg_typeof(v0), record_image_eq(row(f), row(v0)),
                record_image_eq(row(l), row(v1))
            from found, (select v from raw.samples where ts < '2021-01-01') e (v0),
                 (select v from raw.samples where ts > '2021-01-01') d (v1)
            """
        ).fetchone()
        assert same == (True, True, True), type_name


def test_null_values_count_and_null_times_do_not(db: psycopg.Connection[Any]) -> None:
    """As TimescaleDB's first and last."""
    row = db.execute(
        """
        select silver.first_value(v, t), silver.last_value(v, t),
               silver.first_value(v, t) filter (where t is null), silver.first_value(v,
                   t) filter (where false)
        from (values (null::int, timestamptz '2026-01-01'), (5, '2026-01-02'), (6, '2026-01-03'),
            (9, null)) s (v, t)
        """
    ).fetchone()
    assert row == (None, 6, None, None)


@pytest.mark.parametrize(
    ("type_name", "values", "first", "last"),
    [
        ("int", ["10", "9", "-3"], "-3", "10"),
        ("double precision", ["1e10", "9", "Infinity"], "9", "Infinity"),
        ("text", ["b", "a", "c"], "a", "c"),
        ("json", ['{"b":1}', '{"a":1}'], '{"a":1}', '{"b":1}'),
        ("int", ["3", None], "3", None),
    ],
)
def test_equal_times_give_the_same_in_every_order(
    db: psycopg.Connection[Any], type_name: str, values: list[str], first: str, last: str | None
) -> None:
    """The smallest value is the first and the greatest the last, whatever the order of the rows."""
    for order in (values, values[::-1], values[1:] + values[:1]):
        row = db.execute(
            f"select silver.first_value(v::{type_name}, now())::text,"
            f" silver.last_value(v::{type_name}, now())::text"
            " from unnest(%s::text[]) v",
            [order],
        ).fetchone()
        assert row == (first, last)


def test_groups_equal_array_agg(db: psycopg.Connection[Any]) -> None:
    """Serial and parallel plans equal an ordered array_agg."""
    db.execute(
        """
        create table raw.samples as
        select timestamptz '2026-01-01' + (i * 7919 % 5000) * interval '1 s' as ts,
            i % 17 as device,
               case when i % 10 > 0 then (i * 31 % 1009)::numeric / 8 end as v
        from generate_series(1, 20000) i
        """
    )
    db.execute("analyze raw.samples")
    query = """
        select device from raw.samples group by device
        having silver.first_value(v, ts) is distinct from (array_agg(v order by ts, v))[1]
            or silver.last_value(v, ts) is distinct from (array_agg(v order by ts desc, v desc))[1]
    """
    assert db.execute(query).fetchall() == []
    parallel = (
        "select device, silver.first_value(v, ts), silver.last_value(v, ts)"
        " from raw.samples group by device"
    )
    serial_rows = db.execute(parallel + " order by device").fetchall()
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        db.execute(f"set {setting} = 0")
    plan = "\n".join(row[0] for row in db.execute("explain " + parallel).fetchall())
    assert "Finalize" in plan
    assert db.execute(parallel + " order by device").fetchall() == serial_rows
