"""What can be a dimension: domains that refuse nulls, collations, extension types, expressions."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import (
    assert_same,
    assert_true_rollup,
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    run,
    value,
    watermark,
)

MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"

DOMAINS = {
    "text": "'d' || i % 7",
    "integer": "i % 7",
    "uuid": "md5((i % 7)::text)::uuid",
    "integer[]": "array[i % 7, 1]",
    "raw.size": "(array['s', 'm', 'l'])[i % 3 + 1]::raw.size",
    "numeric(8,2)": "i % 7 / 4.0",
}


@pytest.mark.parametrize("kind", DOMAINS)
def test_a_domain_that_allows_no_null_is_a_dimension(db: psycopg.Connection, kind: str) -> None:
    """All series of a bucket are queued without a value, whatever the domain says."""
    value_of_i = DOMAINS[kind]
    db.execute(
        f"create type raw.size as enum ('s', 'm', 'l'); create domain raw.known as {kind} not null;"
        "create table raw.m (ts timestamptz, k raw.known, v integer); create index on raw.m (ts)"
    )
    rows = (
        "insert into raw.m select timestamptz '2025-03-01 00:00Z' + i * interval '1 minute', "
        f"{value_of_i}, i "
    )
    db.execute(rows + "from generate_series(1, 600) i")
    create_ladder(db, "raw.m", "r", ["1 hour", "1 day"], dimensions=["k"])
    run(db)
    db.execute(
        rows.replace("i * interval '1 minute'", "'90 minutes'") + "from generate_series(1, 9) i"
    )
    db.execute(rows + "from generate_series(1, 3) i")
    for live in ("_live", ""):
        for target, unit in {"r_1h": "hour", "r_1d": "day"}.items():
            assert_same(
                db,
                f"select date_trunc('{unit}', ts, 'UTC'), k, sum(v), count(*) "
                "from raw.m group by 1, 2",
                f"select ts, k, sum_v, rollup_count from silver.{target}{live}",
            )
        run(db)
    db.execute("truncate raw.m")
    run(db)
    assert column(db, "select count(*) from silver.r_1d") == [0]


def test_dimensions_and_texts_whose_collation_is_their_own(db: psycopg.Connection) -> None:
    """What is the least text, and which texts are one, is up to the column, at every level."""
    if not value(db, "select exists (select from pg_collation where collname = 'und-x-icu')"):
        pytest.skip("this server has no ICU")
    db.execute(
        """
        create collation raw.any_case
            (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table raw.m
            (ts timestamptz, k text collate raw.any_case, s text collate "und-x-icu");
        create index on raw.m (ts);
        insert into raw.m select timestamptz '2025-03-01 00:00Z' + i * interval '7 minutes',
               (array['a', 'A', 'b'])[1 + i % 3], (array['a', 'B', 'c', 'D', 'Z'])[1 + i % 5]
          from generate_series(1, 600) i;
        """
    )
    create_ladder(
        db, "raw.m", "r", ["1 hour", "1 day"], dimensions=["k"], measures={"s": ["min", "max"]}
    )
    run(db)
    db.execute(
        "insert into raw.m values ('2025-03-01 05:00Z', 'B', 'a'), ('2025-03-01 06:00Z', 'A', 'Z')"
    )
    for live in ("_live", ""):
        for target, unit in {"r_1h": "hour", "r_1d": "day"}.items():
            assert_same(
                db,
                f"select date_trunc('{unit}', ts, 'UTC'), lower(k), min(s), max(s) "
                "from raw.m group by 1, k, 2",
                f"select ts, lower(k), min_s, max_s from silver.{target}{live}",
            )
        run(db)
    assert_verified(db, "silver.r_1d")


def needs_virtual_columns(db: psycopg.Connection) -> None:
    """Skip the test where the server has none."""
    if db.info.server_version < 180000:
        pytest.skip("virtual generated columns came with PostgreSQL 18")


def test_a_virtual_column_is_a_dimension_like_any_other(db: psycopg.Connection) -> None:
    needs_virtual_columns(db)
    make_readings(db)
    db.execute(
        "alter table raw.readings add half integer generated always as (power / 500) virtual"
    )
    create_ladder(
        db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["half", "half + 1 as more"]
    )
    run(db)
    db.execute("update raw.readings set power = 1009 - power where power % 5 = 0")
    db.execute("insert into raw.readings values ('2025-03-01 10:00:30Z', 'd1', 1, 1, 700)")
    run(db)
    assert_true_rollup(db, "silver.r_1m", MINUTE, keys="half")
    assert_true_rollup(db, "silver.r_1h", HOUR, keys="half")


@pytest.mark.parametrize("virtual", [False, True])
def test_of_a_row_on_time_no_expression_is_computed(db: psycopg.Connection, virtual: bool) -> None:
    """It may be dear, and it may fail, which is the affair of the rollup and not of the writer."""
    make_readings(db)
    expression = "100 / (power + 1)"
    dimension = "share" if virtual else f"{expression} as share"
    if virtual:
        needs_virtual_columns(db)
        db.execute(
            f"alter table raw.readings add share integer generated always as ({expression}) virtual"
        )
    create(db, "raw.readings", "r", "1 hour", dimensions=[dimension])
    run(db)
    db.execute("insert into raw.readings values (clock_timestamp(), 'd1', 1, 1, -1)")
    db.execute("update raw.readings set device = 'd2' where power = -1")
    db.execute("delete from raw.readings where power = -1")
    db.execute("update raw.readings set power = power + 1")
    run(db)
    assert_verified(db, "silver.r")


@pytest.mark.parametrize("dimensions", [[], ["device", "site"], ["device", "site", "power"]])
def test_any_number_of_dimensions(db: psycopg.Connection, dimensions: list[str]) -> None:
    """Of a few, the tracker is told for every row; of many, for late ones."""
    make_readings(db, 500)
    create(db, "raw.readings", "r", "1 hour", dimensions=dimensions, measures={"power": ["sum"]})
    run(db)
    db.execute("insert into raw.readings values (clock_timestamp(), 'd1', 1, 1, 1)")
    assert value(db, "select count(*) from tsconsole.pending_1") == 0
    db.execute("insert into raw.readings values ('2025-03-01 10:00:30Z', null, null, null, null)")
    db.execute("update raw.readings set site = site + 1, power = power + 1 where power < 20")
    db.execute("insert into raw.readings values (null, null, null, null, null)")
    db.execute("delete from raw.readings where power between 40 and 60 or ts is null")
    run(db)
    assert_verified(db, "silver.r")
    assert_same(
        db,
        f"select {HOUR} {''.join(', ' + d for d in dimensions)}, sum(power), count(*) "
        f"from raw.readings where ts < {watermark('silver.r')} "
        f"group by {', '.join(str(n + 1) for n in range(1 + len(dimensions)))}",
        f"select ts {''.join(', ' + d for d in dimensions)}, sum_power, rollup_count from silver.r",
    )


@pytest.mark.parametrize("extension", ["citext", "ltree", "hstore"])
def test_extension_types_are_compared_as_they_compare(
    db: psycopg.Connection,
    require_extension: Callable[[psycopg.Connection, str], None],
    extension: str,
) -> None:
    require_extension(db, extension)
    given = {
        "citext": "(array['Abc', 'aBC', 'x'])[i % 3 + 1]::citext",
        "ltree": "('eu.s' || i % 3)::ltree",
        "hstore": "('a=>' || i % 3)::hstore",
    }[extension]
    make_readings(db)
    db.execute(f"alter table raw.readings add x {extension}")
    db.execute(f"update raw.readings set x = (select {given} from (select power as i) p)")
    levels = create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["x"])
    run(db)
    db.execute("update raw.readings set power = power + 1 where power % 7 = 0")
    db.execute("delete from raw.readings where power % 11 = 0")
    live = "select sum(sum_power), sum(rollup_count) from {}_live"
    for level in levels:
        assert db.execute(live.format(level)).fetchone() == \
            db.execute("select sum(power), count(*) from raw.readings").fetchone()  # fmt: skip
    run(db)
    for level, bucket in zip(levels, (MINUTE, HOUR), strict=True):
        assert_true_rollup(db, level, bucket, keys="x")
        assert_verified(db, level)
