"""Repair: what verifying finds is queued and put right, at every level."""

from __future__ import annotations

import psycopg

from .support import (
    assert_verified,
    column,
    create_ladder,
    make_recent_readings,
    refuse,
    run,
    value,
)


def test_what_differs_is_queued_and_put_right(db: psycopg.Connection) -> None:
    make_recent_readings(db, 3000)
    create_ladder(db, "raw.readings", "r", ["1 hour", "1 day"], dimensions=["device"])
    run(db)
    assert value(db, "select silver.repair_rollup('silver.r_1h')") == 0
    db.execute(
        "delete from silver.r_1h where ts = (select min(ts) + interval '3 h' from silver.r_1h);"
        "update silver.r_1h set sum_power = 0 where device = 'd1' and "
        "ts in (select min(ts) + interval '9 h' from silver.r_1h);"
        "insert into silver.r_1h (ts, device, rollup_count) "
        "select min(ts) + interval '20 h', 'ghost', 4 from silver.r_1h"
    )
    assert value(db, "select silver.repair_rollup('silver.r_1h', now() - interval '2 h')") == 0
    assert value(db, "select silver.repair_rollup('r_1h')") == 3
    assert value(db, "select count(*) from tsconsole.pending_1") == 3
    run(db)
    assert_verified(db, "silver.r_1h")
    assert_verified(db, "silver.r_1d")
    assert value(db, "select silver.repair_rollup('silver.r_1h')") == 0


def test_exact_numbers_are_compared_exactly(db: psycopg.Connection) -> None:
    """Only floating-point sums may differ in their last digits: a counter of 13 digits may not."""
    make_recent_readings(db)
    db.execute("alter table raw.readings alter power type bigint using 1732800000000 + power")
    create_ladder(db, "raw.readings", "r", ["1 hour"], dimensions=["device"])
    run(db)
    db.execute(
        "update silver.r_1h set max_power = max_power + 7, sum_power = sum_power + 1, "
        "max_temperature = max_temperature * (1 + 1e-12), "
        "sum_temperature = sum_temperature * (1 + 1e-12)"
    )
    found = "select distinct column_name from silver.verify_rollup('silver.r_1h')"
    assert set(column(db, found)) == {"max_power", "sum_power", "max_temperature"}
    assert value(db, "select silver.repair_rollup('silver.r_1h')") > 0
    run(db)
    assert_verified(db, "silver.r_1h")


def test_a_month_by_its_zone(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 hour", "1 month"], timezone="Europe/Berlin")
    db.execute("update raw.readings set ts = ts - interval '40 days' where site = 0")
    run(db)
    db.execute("update silver.r_1mon set min_power = -1")
    wrong = value(db, "select count(*) from silver.r_1mon")
    assert value(db, "select silver.repair_rollup('silver.r_1mon')") == wrong
    run(db)
    assert_verified(db, "silver.r_1mon")


def test_refusals(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 hour"])
    refuse(
        db, "select silver.repair_rollup('raw.readings'::regclass)", None, "TS002", "not a rollup"
    )
    refuse(
        db, "select silver.repair_rollup('silver.r_1h', now(), now() - interval '1 h')", None,
        "TS001", "empty",
    )  # fmt: skip
