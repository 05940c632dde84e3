"""Dimensions of types with rules of their own: domains that refuse nulls, collations."""

from __future__ import annotations

import psycopg
import pytest
from sql.support import assert_same, assert_verified, column, create_ladder, run, value

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
