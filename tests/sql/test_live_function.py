"""silver.live: exactly the live view for a range, planned for that range alone."""

from __future__ import annotations

import psycopg
import pytest

from .support import (
    assert_same,
    create_ladder,
    make_readings,
    make_recent_readings,
    refuse,
    run,
    value,
)

BOUNDS = [
    "null, null",
    "now() - interval '7 hours 13 minutes', null",
    "null, now() - interval '7 hours 13 minutes'",
    "now() - interval '30 hours', now() - interval '90 minutes'",
    "'-infinity', 'infinity'",
    "'infinity', null",
    "null, '-infinity'",
    "'1900-01-01', '1900-01-02'",
    "now() - interval '2 hours', 'infinity'",
]


def assert_live(db: psycopg.Connection, level: str, time: str = "ts") -> None:
    for bounds in BOUNDS:
        lo, hi = bounds.split(", ")
        axis = time if time == "ts" else f"{time}::timestamp at time zone 'UTC'"
        assert_same(
            db,
            f"select * from silver.{level}_live "
            f"where {axis} >= coalesce(({lo})::timestamptz, '-infinity') "
            f"and {axis} < coalesce(({hi})::timestamptz, 'infinity')",
            f"select * from silver.live(null::silver.{level}, {bounds})",
        )


def make_stale(db: psycopg.Connection) -> None:
    """Late rows of single series, of many series in one bucket, a delete, a whole range."""
    db.execute(
        "insert into raw.readings select now() - h * interval '1 h', 'd1', 1, 5, 7 "
        "from generate_series(3, 40, 9) h;"
        "insert into raw.readings select now() - interval '9 h', 'n' || i, 1, 5, 7 "
        "from generate_series(1, 9) i;"
        "delete from raw.readings where ts between now() - interval '20 h' and "
        "now() - interval '18 h'; insert into raw.readings values (now(), null, 0, 1, 1);"
    )


@pytest.mark.parametrize("dimensions", [["device"], [], ["upper(device) as d", "site"]])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_equal_to_the_view(db: psycopg.Connection, dimensions: list[str], zone: str) -> None:
    make_recent_readings(db, 2400)
    create_ladder(db, "raw.readings", "r", ["5 minutes", "1 hour", "1 day"],
                  dimensions=dimensions, timezone=zone)  # fmt: skip
    db.execute("set jit = off")  # the view of a third level in a named zone compiles for seconds
    for _ in range(2):
        for level in ("r_5m", "r_1h", "r_1d"):
            assert_live(db, level)
        run(db)
        make_stale(db)
    db.execute("select silver.invalidate('silver.r_1h', now() - interval '30 h', now())")
    db.execute("select silver.add_measures('silver.r_5m', '{\"power\": [\"last\"]}')")
    for level in ("r_5m", "r_1h", "r_1d"):
        assert_live(db, level)


@pytest.mark.parametrize(("kind", "width"), [("timestamp", "1 hour"), ("date", "1 day")])
def test_local_times(db: psycopg.Connection, kind: str, width: str) -> None:
    db.execute(
        f"create table raw.local as select (now() - i * interval '7 min')::{kind} as t, "
        "'d' || i % 3 as device, i as v from generate_series(1, 900) i; "
        "create index on raw.local (t)"
    )
    levels = create_ladder(db, "raw.local", "l", [width, "7 days"], dimensions=["device"])
    for _ in range(2):
        for level in levels:
            assert_live(db, level.removeprefix("silver."), "t")
        run(db)
        db.execute(f"insert into raw.local values ((now() - interval '2 d')::{kind}, 'd1', 9)")


def test_frozen_buckets_and_other_columns(db: psycopg.Connection) -> None:
    make_recent_readings(db, 3000)
    create_ladder(db, "raw.readings", "r", ["1 hour", "1 day"])
    run(db)
    db.execute("select silver.alter_rollup('silver.r_1h', source_retention := '20 hours')")
    db.execute("delete from raw.readings where ts < now() - interval '21 hours'")
    db.execute("alter table silver.r_1h add column note text")
    rows = "select count(*), sum(rollup_count), count(note) from"
    assert_same(db, f"{rows} silver.live(null::silver.r_1h)",
                "select count(*), sum(rollup_count), 0::bigint from silver.r_1h_live")  # fmt: skip
    assert value(db, "select sum(rollup_count) from silver.live(null::silver.r_1d)") == 3000


def test_one_snapshot_with_the_query_around_it(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 minute"])
    run(db)
    difference = value(
        db,
        "with late as (insert into raw.readings select min(ts), 'x', 0, 0, 0 from raw.readings "
        "returning 1) select (select sum(rollup_count) from silver.live(null::silver.r_1m)) - "
        "(select count(*) from raw.readings) from late",
    )
    assert difference == 0


def test_few_partitions_are_planned_for(db: psycopg.Connection) -> None:
    make_readings(db, 0)
    db.execute(
        "create table raw.parts (like raw.readings) partition by range (ts); do $$ begin "
        "for i in 0..199 loop execute format('create table raw.parts_%s partition of raw.parts "
        "for values from (%L) to (%L)', i, timestamptz '2025-01-01 00:00Z' + i * interval '1 d', "
        "timestamptz '2025-01-02 00:00Z' + i * interval '1 d'); end loop; end $$;"
        "create index on raw.parts (ts); insert into raw.parts select timestamptz "
        "'2025-01-01 00:00Z' + i * interval '1 h', 'a', 1, 1, 1 from generate_series(0, 4700) i"
    )
    create_ladder(db, "raw.parts", "p", ["1 hour", "1 day"], chunk_interval="1 day")
    run(db)
    with db.transaction():
        list(
            db.execute(
                "select * from silver.live(null::silver.p_1d, '2025-03-03 00:00Z', "
                "'2025-03-04 00:00Z')"
            )
        )
        locked = value(
            db,
            "select count(*) from pg_locks l join pg_class c on c.oid = l.relation "
            "where l.pid = pg_backend_pid() and c.relname ~ '^(parts|p_1[hd])_p?\\d+$'",
        )
    assert locked <= 8


def test_refusals(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 hour"])
    live = "select count(*) from silver.live(%s)"
    for argument, sqlstate, message in (
        ("1", "TS001", "integer"),
        ("null::raw.readings", "TS002", "not a rollup"),
        ("null::silver.r_1h, now(), now() - interval '1 h'", "TS001", "empty"),
    ):
        refuse(db, live % argument, None, sqlstate, message)
