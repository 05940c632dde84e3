"""recommend_indexes: indexes that pay by hypopg's trial, and indexes that are in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from .support import column, create, refuse, run, value

Connection = psycopg.Connection[Any]
Require = Callable[[Connection, str], None]

COLUMNS = (
    "advice, kind, index_name, definition, cost_before, cost_after, size_bytes, reason, statement"
)


@pytest.fixture
def fleet(db: Connection) -> Connection:
    """A month of 500 devices without any index, rolled up by hour into partitions of a day."""
    db.execute(
        """
        create table raw.fleet (ts timestamptz, device int, site text, v float8);
        insert into raw.fleet
        select date_trunc('minute', now()) - i * interval '20 s', i % 500, 's' || i % 5, i
        from generate_series(1, 100000) i;
        analyze raw.fleet
        """
    )
    create(
        db, "raw.fleet", "fleet_1h", "1 hour", dimensions=["device", "site"], chunk_interval="1 day"
    )
    run(db)
    db.execute("analyze raw.fleet; analyze silver.fleet_1h")
    return db


def advice(db: Connection, table: str) -> list[dict[str, Any]]:
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(
            f"select {COLUMNS} from silver.recommend_indexes(%s::text)", [table]
        ).fetchall()


def of_kind(db: Connection, table: str, kind: str) -> list[dict[str, Any]]:
    return [row for row in advice(db, table) if row["kind"] == kind]


def build(db: Connection, statement: str) -> None:
    for line in statement.splitlines():
        db.execute(line.encode())


def test_a_source_gets_its_time_index_first_and_then_its_dimensions(
    fleet: Connection, require_extension: Require
) -> None:
    require_extension(fleet, "hypopg")
    found = [row for row in advice(fleet, "raw.fleet") if row["advice"] == "create"]
    assert found[0]["definition"] == "using btree (ts)"
    assert found[1]["definition"].startswith("using btree (device, ")
    for row in found:
        assert row["cost_after"] < 0.8 * row["cost_before"]
        assert row["size_bytes"] > 1_000_000
        assert "times cheaper" in row["reason"] and "silver.fleet_1h" in row["reason"]
    assert found[0]["statement"] == (
        "create index concurrently fleet_ts_idx on raw.fleet using btree (ts);"
    )
    assert column(fleet, "select indexname from pg_indexes where tablename = 'fleet'") == []
    # Nothing hypothetical is left in the session either.
    assert column(fleet, "select count(*) from hypopg()") == [0]


def test_what_was_built_as_advised_is_used_and_not_advised_again(
    fleet: Connection, require_extension: Require
) -> None:
    require_extension(fleet, "hypopg")
    for _ in range(5):
        wanted = [row for row in advice(fleet, "raw.fleet") if row["advice"] == "create"]
        if not wanted:
            break
        build(fleet, wanted[0]["statement"])
    assert wanted == []
    sizes = column(
        fleet,
        "select pg_relation_size(indexrelid) from pg_index where indrelid = 'raw.fleet'::regclass",
    )
    assert 2 <= len(sizes) <= 3


def test_a_partitioned_target_is_built_partition_by_partition(
    fleet: Connection, require_extension: Require
) -> None:
    require_extension(fleet, "hypopg")
    wanted = of_kind(fleet, "silver.fleet_1h", "dimensions")[0]
    lines = wanted["statement"].splitlines()
    assert " on only silver.fleet_1h using btree (device" in lines[0]
    assert sum(" concurrently " in line for line in lines) == sum(
        " attach partition " in line for line in lines
    )
    assert len(lines) == 1 + 2 * value(
        fleet, "select count(*) from pg_inherits where inhparent = 'silver.fleet_1h'::regclass"
    )
    # Interrupted in the middle, it is named as incomplete, and the rest completes it.
    for line in lines[:6]:
        fleet.execute(line.encode())
    rest = of_kind(fleet, "silver.fleet_1h", "incomplete")
    assert rest[0]["index_name"] == wanted["index_name"]
    assert rest[0]["statement"].splitlines()[0] in lines[6:9]
    build(fleet, rest[0]["statement"])
    index = wanted["index_name"]
    assert value(fleet, "select indisvalid from pg_index where indexrelid = %s::regclass", [index])
    assert of_kind(fleet, "silver.fleet_1h", "incomplete") == []


def test_without_hypopg_it_says_so_and_still_names_what_is_certain(fleet: Connection) -> None:
    if value(fleet, "select exists (select from pg_extension where extname = 'hypopg')"):
        try:
            fleet.execute("drop extension hypopg")
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("hypopg is here, and belongs to another role")
    found = advice(fleet, "raw.fleet")
    assert [(row["advice"], row["kind"]) for row in found] == [
        ("note", "hypopg"),
        ("create", "time"),
    ]
    assert found[0]["statement"] == "create extension hypopg;"
    build(fleet, found[1]["statement"])
    assert [row["kind"] for row in advice(fleet, "raw.fleet")] == ["hypopg"]


def test_duplicate_redundant_unused_and_invalid_indexes_are_named(db: Connection) -> None:
    db.execute(
        """
        create table raw.m (id int, ts timestamptz not null, device int, v float8);
        insert into raw.m select i, now() - i * interval '1 min', i % 9, i % 7
        from generate_series(1, 20000) i;
        create index m_time on raw.m (ts);
        create index m_time_again on raw.m (ts);
        create index m_device on raw.m (device);
        create unique index m_device_ts on raw.m (device, ts, id);
        create index m_value on raw.m (v);
        create index m_some_value on raw.m (v) where v > 5;
        create index m_value_desc on raw.m (v desc);
        create unique index m_id on raw.m (id);
        analyze raw.m
        """
    )
    create(db, "raw.m", "m_1h", "1 hour", dimensions=["device"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("create unique index concurrently m_broken on raw.m (device)")
    db.execute("alter table raw.m add primary key using index m_id")
    for _ in range(100):
        db.execute("select count(*) from raw.m where ts > now() - interval '1 hour'")
    db.execute("select pg_stat_force_next_flush()")
    found = {
        row["index_name"]: (row["kind"], row["statement"])
        for row in advice(db, "raw.m")
        if row["advice"] == "drop"
    }
    unused = {name for name, (kind, _) in found.items() if kind == "unused"}
    assert unused == {"raw.m_value", "raw.m_some_value", "raw.m_value_desc"}
    assert found["raw.m_time_again"][0] == "duplicate"
    assert found["raw.m_device"][0] == "redundant"
    assert found["raw.m_broken"] == ("invalid", "drop index concurrently raw.m_broken;")
    assert set(found) == unused | {"raw.m_time_again", "raw.m_device", "raw.m_broken"}
    for _, statement in found.values():
        build(db, statement)
    assert [row for row in advice(db, "raw.m") if row["advice"] == "drop"] == []


def test_the_only_time_index_is_never_called_unused(db: Connection) -> None:
    db.execute(
        "create table raw.m (ts timestamptz, v int); create index on raw.m (ts);"
        "insert into raw.m select now() - i * interval '1 min', i from generate_series(1, 100) i"
    )
    create(db, "raw.m", "m_1h", "1 hour")
    for _ in range(110):
        db.execute("select count(*) from raw.m")
    db.execute("select pg_stat_force_next_flush()")
    assert of_kind(db, "raw.m", "unused") == []


def test_odd_names_and_expressions(db: Connection, require_extension: Require) -> None:
    require_extension(db, "hypopg")
    db.execute(
        """
        create table raw."Odd ""Table" ("The Time" timestamp, "De vice" text, site text, v int);
        insert into raw."Odd ""Table"
        select now() - i * interval '20 s', 'd' || i % 400, 'S' || i % 300, i
        from generate_series(1, 60000) i;
        analyze raw."Odd ""Table"
        """
    )
    create(
        db, 'raw."Odd ""Table"', "odd_1h", "1 hour", dimensions=["De vice", "upper(site) as region"]
    )
    run(db)
    for _ in range(4):
        wanted = [row for row in advice(db, 'raw."Odd ""Table"') if row["advice"] == "create"]
        if not wanted:
            break
        build(db, wanted[0]["statement"])
    assert wanted == []
    built = column(db, "select indexdef from pg_indexes where schemaname = 'raw'")
    assert any('("The Time")' in one for one in built), built
    assert any('"De vice"' in one or "upper(site)" in one for one in built), built
    db.execute("analyze silver.odd_1h")
    advice(db, "silver.odd_1h")


@pytest.mark.parametrize("has_btree_gin", [False, True])
def test_gin_for_arrays_and_json(
    db: Connection, require_extension: Require, has_btree_gin: bool
) -> None:
    if has_btree_gin:
        require_extension(db, "btree_gin")
    elif value(db, "select exists (select from pg_extension where extname = 'btree_gin')"):
        pytest.skip("btree_gin is in the template")
    db.execute(
        """
        create table raw.m (ts timestamptz, tags text[], extra jsonb, note json, v int);
        insert into raw.m
        select now() - i * interval '20 s', array['a' || i % 997, 'b' || i % 1009],
               jsonb_build_object('x', i % 800), '{}', i
        from generate_series(1, 20000) i;
        create index on raw.m (ts); analyze raw.m
        """
    )
    create(db, "raw.m", "m_1h", "1 hour", dimensions=["tags", "extra"])
    run(db)
    db.execute("analyze silver.m_1h")
    found = of_kind(db, "raw.m", "gin")
    both = ", ts)" if has_btree_gin else ")"
    assert {row["definition"] for row in found} == {
        "using gin (tags" + both,
        "using gin (extra" + both,
    }
    for row in found:
        assert row["cost_after"] < row["cost_before"] / 2 and row["size_bytes"] > 100_000
        assert "sample of 20000 rows" in row["reason"]
        build(db, row["statement"])
    assert of_kind(db, "raw.m", "gin") == []
    plan = column(db, "explain select * from silver.m_1h where tags @> '{a5}'")
    assert not any("Bitmap" in line for line in plan)
    for row in of_kind(db, "silver.m_1h", "gin"):
        build(db, row["statement"])
    db.execute("set enable_seqscan = off")
    plan = column(db, "explain select * from silver.m_1h where tags @> '{a5}'")
    assert any("Bitmap" in line for line in plan), plan
    assert value(db, "select to_regclass('pg_temp.tsconsole_sample')") is None


def test_what_has_no_indexes_and_what_is_no_rollup(db: Connection) -> None:
    db.execute("create table raw.m (ts timestamptz, v int); create view raw.w as table raw.m")
    create(db, "raw.w", "w_1h", "1 hour", look_back_window="1 day")
    [note] = advice(db, "raw.w")
    assert (note["advice"], note["statement"]) == ("note", None) and "view" in note["reason"]
    refuse(
        db, "select * from silver.recommend_indexes('raw.m'::regclass)", None, "TS002", "raw.m is"
    )
