"""Every type of column, every aggregate, every kind of time column, against GROUP BY."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import (
    assert_same,
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    run,
    value,
)

Require = Callable[[psycopg.Connection, str], None]
HOUR = "date_trunc('hour', ts, 'UTC')"

# Column, its type, and an expression of i that gives it values; every fifth row holds NULLs.
COLUMNS = {
    "small": ("smallint", "i % 300 - 150"),
    "int": ("integer", "i % 1000 * 2147483"),
    "big": ("bigint", "i % 7 * 1317624576693539401"),
    "num": ("numeric", "(i % 89)::numeric / 7"),
    "money2": ("numeric(8,2)", "i / 3.0"),
    "real": ("real", "i % 100"),
    "double": ("double precision", "i % 100"),
    "cash": ("money", "(i % 100)::money"),
    "price": ("raw.price", "i % 50 + 0.5"),
    "mood": ("raw.mood", "(array['sad', 'ok', 'happy'])[i % 3 + 1]::raw.mood"),
    "flag": ("boolean", "i % 3 = 0"),
    "uid": ("uuid", "md5((i % 5)::text)::uuid"),
    "addr": ("inet", "('10.0.0.' || i % 9)::inet"),
    "net": ("cidr", "('10.0.' || i % 4 || '.0/24')::cidr"),
    "mac": ("macaddr", "'08:00:2b:01:02:03'::macaddr"),
    "label": ("text", "'l' || i % 4"),
    "short": ("varchar(5)", "'v' || i % 4"),
    "fixed": ("char(3)", "'c' || i % 4"),
    "sys": ('"char"', '(chr(65 + i % 4))::"char"'),
    "named": ("name", "'n' || i % 4"),
    "bits": ("bit(3)", "(i % 8)::bit(3)"),
    "more_bits": ("varbit", "(i % 8)::bit(3)::varbit"),
    "bytes": ("bytea", "decode(lpad(to_hex(i % 16), 2, '0'), 'hex')"),
    "day": ("date", "date '2025-01-01' + i % 10"),
    "clock": ("time", "time '10:00' + i % 10 * interval '1 min'"),
    "zoned": ("timetz", "timetz '10:00+01' + i % 10 * interval '1 min'"),
    "moment": ("timestamp", "timestamp '2025-01-01' + i % 10 * interval '1 min'"),
    "instant": ("timestamptz", "timestamptz '2025-01-01Z' + i % 10 * interval '1 min'"),
    "span": ("interval", "i % 10 * interval '1 day 1 hour'"),
    "tags": ("integer[]", "array_fill(i % 3, array[1 + i % 4])"),
    "words": ("text[]", "array['a', 'b' || i % 3]"),
    "js": ("json", "json_build_object('a', i % 3)"),
    "jsb": ("jsonb", "jsonb_build_object('a', i % 3)"),
    "js_list": ("json[]", "array[json_build_object('a', i % 3)]"),
    "extent": ("int4range", "int4range(i % 5, i % 5 + 10)"),
    "spot": ("point", "point(i % 3, i % 4)"),
    "found": ("tsvector", "to_tsvector('simple', 'w' || i % 3)"),
    "lsn": ("pg_lsn", "'0/1'::pg_lsn"),
    "ref": ("oid", "(i % 4)::int::oid"),
}


@pytest.fixture
def types(db: psycopg.Connection) -> psycopg.Connection:
    """raw.types: 1,000 rows with a column of every type."""
    db.execute(
        "create domain raw.price as numeric check (value > 0);"
        "create type raw.mood as enum ('sad', 'ok', 'happy');"
    )
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in COLUMNS.items())
    values = ", ".join(f"case when i % 5 <> 4 then {sql} end" for _, sql in COLUMNS.values())
    db.execute(
        f"create table raw.types (ts timestamptz, {columns}); create index on raw.types (ts);"
        "insert into raw.types select timestamptz '2025-03-01 00:00Z' + i * interval '20 s', "
        f"{values} from generate_series(1, 1000) i"
    )
    return db


def wrote_nothing_again(db: psycopg.Connection, target: str) -> None:
    """Reading everything again finds every stored row as it should be."""
    db.execute("select silver.invalidate(%s, '2025-01-01', '2025-06-01')", [target])
    assert {written for *_, written, _ in run(db, target)} == {0}
    assert_verified(db, target)


def test_all_types_at_once_with_what_is_proposed_for_them(types: psycopg.Connection) -> None:
    create(types, "raw.types", "all_types", "1 hour")
    run(types)
    wrote_nothing_again(types, "silver.all_types")
    assert_same(
        types,
        f"select {HOUR}, min(small), max(int), sum(big), avg(num), sum(real::float8), avg(price), "
        "mode() within group (order by mood), mode() within group (order by flag), "
        "mode() within group (order by addr), mode() within group (order by tags), "
        "mode() within group (order by fixed), count(*) from raw.types group by 1",
        "select ts, min_small, max_int, sum_big, avg_num, sum_real, avg_price, mode_mood, "
        "mode_flag, mode_addr, mode_tags, mode_fixed, rollup_count from silver.all_types",
    )
    # A level above takes what can be merged, and says what it leaves out.
    heard: list[str] = []
    types.add_notice_handler(lambda said: heard.append(said.message_primary or ""))
    create(types, "silver.all_types", "above", "1 day")
    assert "mode of mood" in heard[0]
    run(types)
    assert_same(
        types,
        "select date_trunc('day', ts, 'UTC'), min(small), sum(big), avg(num), count(*) "
        "from raw.types group by 1",
        "select ts, min_small, sum_big, avg_num, rollup_count from silver.above",
    )


def expected_of(aggregate: str, name: str) -> str:
    quoted = f'"{name}"'
    kind = COLUMNS[name][0]
    if aggregate in ("first", "last"):
        return f"silver.{aggregate}_value({quoted}, ts)::text"
    if aggregate == "mode":
        return f"(mode() within group (order by {quoted}))::text"
    if aggregate == "array_agg":
        return f"array_agg({quoted} order by ts)::text"
    if aggregate == "sum" and kind == "real":
        return f"sum({quoted}::float8)::text"
    if aggregate == "avg" and kind == "real":
        return f"avg({quoted}::float8)::text"
    return f"{aggregate}({quoted})::text"


def test_every_aggregate_that_is_offered_for_a_type(types: psycopg.Connection) -> None:
    offered = dict(
        types.execute(
            "select column_name, aggregates from tsconsole.source_columns('raw.types') "
            "where column_name <> 'ts'"
        ).fetchall()
    )
    assert set(offered) == set(COLUMNS)
    assert all("count" in names for names in offered.values())
    create(types, "raw.types", "every", "1 hour", measures=offered)
    run(types)
    wrote_nothing_again(types, "silver.every")
    for name, aggregates in offered.items():
        for aggregate in aggregates:
            found = column(
                types,
                f"select ts::text || (f is not distinct from e) from (select ts, "
                f'"{aggregate}_{name}"::text as f from silver.every) f join (select {HOUR} as ts, '
                f"{expected_of(aggregate, name)} as e from raw.types group by 1) e using (ts) "
                "where f is distinct from e",
            )
            assert not found, (name, aggregate)


def test_every_type_that_can_be_grouped_is_a_dimension(types: psycopg.Connection) -> None:
    proposed = types.execute(
        "select column_name, proposed_role, 'mode' = any (aggregates) "
        "from tsconsole.source_columns('raw.types')"
    ).fetchall()
    # What is proposed is possible.
    assert [name for name, role, can in proposed if role == "dimension" and not can] == []
    for name, _, can in proposed:
        if not can or name == "ts":
            continue
        target = create(
            types, "raw.types", f"by_{name}", "1 hour", dimensions=[name],
            measures={"small": ["sum"]} if name != "small" else {"int": ["sum"]},
        )  # fmt: skip
        run(types, target)
        assert_same(
            types,
            f'select {HOUR}, "{name}", count(*) from raw.types group by 1, 2',
            f'select ts, "{name}", rollup_count from {target}',
        )
        wrote_nothing_again(types, target)
        types.execute("select silver.drop_rollup(%s)", [target])


def test_numbers_that_are_no_numbers(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.odd (ts timestamptz, series text, f float8, r real, n numeric);"
        "create index on raw.odd (ts);"
        "insert into raw.odd select timestamptz '2025-03-01Z' + i * interval '10 min', s, "
        "v::float8, v::real, v::numeric from generate_series(0, 20) i, "
        "unnest('{nan,inf,minus,none,both}'::text[]) s, lateral (select case "
        "when i % 3 > 0 then i::text when s = 'nan' then 'NaN' when s = 'inf' then 'Infinity' "
        "when s = 'minus' then '-Infinity' when s = 'both' then "
        "(array['Infinity', '-Infinity'])[1 + i % 2] end) x (v)"
    )
    create_ladder(db, "raw.odd", "odd", ["1 hour", "1 day"], dimensions=["series"])
    run(db)
    for level, bucket in {"1h": "hour", "1d": "day"}.items():
        assert_same(
            db,
            f"select date_trunc('{bucket}', ts, 'UTC'), series, min(f), max(f), avg(f), sum(f), "
            "min(r), max(r), avg(r::float8), sum(r::float8), min(n), max(n), avg(n), sum(n), "
            "count(n) from raw.odd group by 1, 2",
            "select ts, series, min_f, max_f, avg_f, sum_f, min_r, max_r, avg_r, sum_r, min_n, "
            f"max_n, avg_n, sum_n, count_n from silver.odd_{level}",
        )
        wrote_nothing_again(db, f"silver.odd_{level}")


def test_sums_outgrow_the_column_and_not_the_rollup(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.big (ts timestamptz, s smallint, i integer, b bigint);"
        "create index on raw.big (ts);"
        "insert into raw.big select timestamptz '2025-03-01Z' + i * interval '1 s', 32767, "
        "2147483647, 9223372036854775807 from generate_series(1, 7000) i"
    )
    create_ladder(db, "raw.big", "big", ["1 minute", "1 hour", "1 day"])
    run(db)
    assert_same(
        db,
        "select sum(s), sum(i), sum(b), avg(s), avg(i), avg(b), count(*) from raw.big",
        "select sum_s, sum_i, sum_b, avg_s, avg_i, avg_b, rollup_count from silver.big_1d",
    )


@pytest.mark.parametrize("kind", ["timestamp", "date", "timestamptz(3)", "raw.moment"])
def test_every_kind_of_time_column(db: psycopg.Connection, kind: str) -> None:
    make_readings(db, 6000)
    db.execute("create domain raw.moment as timestamptz")
    db.execute(
        f'create table raw.k ("when" {kind}, other date, power integer);'
        'create index on raw.k ("when");'
        "insert into raw.k select (ts at time zone 'UTC')::timestamp, null, power "
        "from raw.readings"
        if kind in ("timestamp", "date")
        else f'create table raw.k ("when" {kind}, power integer); create index on raw.k ("when");'
        "insert into raw.k select ts, power from raw.readings"
    )
    db.execute("insert into raw.k (\"when\") values ('infinity'), ('-infinity'), (null)")
    intervals = ["1 day", "1 month"] if kind == "date" else ["1 hour", "1 day", "1 month"]
    db.execute("set timezone = 'America/New_York'")
    create_ladder(db, "raw.k", "k", intervals, time_column="when", timezone="Europe/Berlin")
    run(db)
    for width in intervals:
        unit = width.split()[1]
        bucket = f"date_trunc('{unit}', \"when\")"
        if "timestamptz" in kind or kind == "raw.moment":
            bucket = f"date_trunc('{unit}', \"when\", 'Europe/Berlin')"
        name = {"hour": "1h", "day": "1d", "month": "1mon"}[unit]
        assert_same(
            db,
            f"select {bucket}{'::date' if kind == 'date' else ''}, sum(power), count(*) "
            'from raw.k where isfinite("when") group by 1',
            f'select "when", sum_power, rollup_count from silver.k_{name}',
        )
        assert_verified(db, f"silver.k_{name}")
    # Late rows are found whatever the time column is.
    db.execute("insert into raw.k (\"when\", power) values ('2025-03-02 00:00', 12345)")
    run(db)
    assert value(db, "select max(max_power) from silver.k_1mon") == 12345


def test_first_and_last_do_not_depend_on_the_session(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.a (ts timestamp, tags int[], n int); create index on raw.a (ts);"
        "insert into raw.a values ('2024-03-31 02:30', '{1}', 1), ('2024-03-31 03:10', '{2}', 2)"
    )
    db.execute("set timezone = 'Europe/Berlin'")
    wanted = {"tags": ["first", "last"], "n": ["first", "last"]}
    create(db, "raw.a", "a", "1 day", measures=wanted)
    run(db)
    row = db.execute("select first_tags, last_tags, first_n, last_n from silver.a").fetchone()
    assert row == ([1], [2], 1, 2)


def test_the_time_column_is_found_or_asked_for(db: psycopg.Connection) -> None:
    found = {
        "a timestamptz": "a",
        "order_date date, a timestamp": "a",
        "day date": "day",
        "created timestamptz, ts timestamptz": "ts",
        "time timestamptz, ts timestamptz": "ts",
        "time timestamptz, stamp timestamptz": "time",
        '"timestamp" timestamptz, ts timestamptz': "timestamp",
    }
    for number, (columns, name) in enumerate(found.items()):
        db.execute(f"create table raw.t{number} ({columns})")
        create(db, f"raw.t{number}", f"t{number}", "1 day")
        stored = value(db, "select max(time_column) from silver.timeseries_rollup_config "
                           "where target_table = %s::regclass", [f"silver.t{number}"])  # fmt: skip
        assert stored == name, columns
    db.execute("create table raw.p (x timestamptz, y timestamptz) partition by range (y)")
    create(db, "raw.p", "p", "1 day")
    assert value(db, "select time_column from silver.timeseries_rollup_config "
                     "where target_table = 'silver.p'::regclass") == "y"  # fmt: skip


def test_dimensions_that_are_expressions(db: psycopg.Connection) -> None:
    make_readings(db, 2000)
    db.execute("update raw.readings set device = null where power % 11 = 0")
    keys = {
        "upper(device) as name": "upper(device)",
        "case when site = 1 then 'x AS y' else 'FROM z' end as kind": "case when site = 1 then "
        "'x AS y' else 'FROM z' end",
        "power / 500": "power / 500",
        "extract(dow from ts at time zone 'UTC') as dow": "extract(dow from ts at time zone 'UTC')",
        'site as "a""b; c"': "site",
        "device collate \"C\" as c": 'device collate "C"',
        "coalesce(device, 'none') = 'd1' as is_one": "coalesce(device, 'none') = 'd1'",
    }  # fmt: skip
    create(db, "raw.readings", "r", "1 hour", dimensions=list(keys), measures={"power": ["sum"]})
    run(db)
    names = column(db, "select quote_ident(column_name) from tsconsole.rollup_dimension "
                       "order by position")  # fmt: skip
    grouped = ", ".join(str(n + 1) for n in range(1 + len(keys)))
    expected = (
        f"select {HOUR}, {', '.join(keys.values())}, sum(power), count(*) "
        f"from raw.readings group by {grouped}"
    )
    found = f"select ts, {', '.join(names)}, sum_power, rollup_count from silver.r"
    assert_same(db, expected, found)
    db.execute("update raw.readings set device = 'late', site = 5 where power < 100")
    run(db)
    assert_same(db, expected, found)
    # The statement that would create it again creates the same.
    statement = value(db, "select create_statement from tsconsole.rollup_definition('silver.r')")
    db.execute(statement.replace("silver.r'", "silver.again'"))
    run(db)
    assert_same(db, "table silver.r", "table silver.again")
