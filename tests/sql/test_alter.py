"""Changing a rollup without losing it: its settings and its measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import psycopg
import pytest

from .support import (
    assert_same,
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    make_recent_readings,
    refuse,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]
HOUR = "date_bin('1 hour', ts, '2000-01-03 00:00Z')"


def alter(db: psycopg.Connection, arguments: str, target: str = "silver.r_1h") -> dict[str, object]:
    rows = db.execute(f"select * from silver.alter_rollup('{target}', {arguments})").fetchall()
    return {setting: (old, new) for setting, old, new in rows}


@pytest.fixture
def hourly(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings, 50 hours, rolled up by hour and device; only the minimum temperature."""
    make_recent_readings(db, 3000)
    create(
        db, "raw.readings", "r_1h", "1 hour",
        dimensions=["device"], measures={"temperature": ["min"]},
    )  # fmt: skip
    run(db)
    return db


@pytest.fixture
def ladder(db: psycopg.Connection) -> psycopg.Connection:
    make_recent_readings(db, 3000)
    create_ladder(
        db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"],
        dimensions=["device"], measures={"temperature": ["min", "avg"]},
    )  # fmt: skip
    run(db)
    return db


def test_settings_change_and_go_back(hourly: psycopg.Connection) -> None:
    changed = alter(hourly, "retention_period := '90 days', max_retries := 3")
    assert changed == {"max_retries": ("8", "3"), "retention_period": (None, "90 days")}
    assert alter(hourly, "retention_period := '90 days'") == {}
    assert alter(hourly, "clear := '{retention_period, max_retries}'") == {
        "max_retries": ("3", "8"),
        "retention_period": ("90 days", None),
    }


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("refresh_interval := '0'", "TS001", "zero or negative"),
        ("allowed_lateness := '-1 s'", "TS001", "zero or negative"),
        ("max_retries := -1", "TS001", "max_retries"),
        ("clear := '{is_active}'", "TS001", "is_active"),
        ("clear := array[null]", "TS001", "null"),
        ("retention_period := '1 d', clear := '{retention_period}'", "TS001", "both"),
        ("look_back_window := '1 day'", "TS004", "look_back_window"),
    ],
)
def test_settings_that_make_no_sense(
    hourly: psycopg.Connection, arguments: str, sqlstate: str, message: str
) -> None:
    refuse(
        hourly, f"select silver.alter_rollup('silver.r_1h', {arguments})", None, sqlstate, message
    )


def test_a_shorter_lateness_reaches_the_triggers_first(
    hourly: psycopg.Connection, connect: Connect
) -> None:
    alter(hourly, "allowed_lateness := '2 s'")
    trackers = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'noted' limit 1"
    assert "00:00:02" in value(hourly, trackers)
    lateness = "select tsconsole.lateness(tsconsole.rollup('silver.r_1h'))::text"
    assert value(hourly, lateness) == "00:00:02"
    hourly.execute(
        "insert into raw.readings values (clock_timestamp() - interval '10 s', 'd1', 0, 1)"
    )
    assert value(hourly, "select count(*) from tsconsole.pending_1") == 1
    # Longer again: the frontier stays back, the triggers go on logging.
    alter(hourly, "allowed_lateness := '1 minute'")
    assert value(hourly, lateness) == "00:01:00"
    assert value(hourly, "select lateness::text from tsconsole.tracked_source") == "00:00:02"


def test_a_shorter_lateness_waits_for_writers(hourly: psycopg.Connection, connect: Connect) -> None:
    with connect(autocommit=False) as writer:
        writer.execute("insert into raw.readings values (now(), 'd1', 0, 1)")
        hourly.execute("set statement_timeout = '1500ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            alter(hourly, "allowed_lateness := '1 s'")
        writer.rollback()
    assert value(hourly, "select allowed_lateness::text from silver.timeseries_rollup_config") == (
        "00:00:30"
    )


def test_a_longer_source_retention_does_not_thaw_what_may_be_gone(
    hourly: psycopg.Connection,
) -> None:
    alter(hourly, "source_retention := '1 day'")
    stored = "select * from silver.r_1h order by 1, 2"
    before = hourly.execute(stored).fetchall()
    hourly.execute("delete from raw.readings where ts < now() - interval '25 hours'")
    alter(hourly, "clear := '{source_retention}'")
    hourly.execute("select silver.invalidate('silver.r_1h', now() - interval '3 days', now())")
    run(hourly)
    # Another hour may have ended meanwhile.
    assert hourly.execute(stored).fetchall()[: len(before)] == before
    assert_same(hourly, "select * from silver.r_1h", "select * from silver.r_1h_live where ts < "
                "(select last_processed_time from silver.timeseries_rollup_config)")  # fmt: skip
    assert_verified(hourly, "silver.r_1h")


def test_a_new_measure_is_live_at_once_and_filled_newest_first(
    hourly: psycopg.Connection,
) -> None:
    hourly.execute("grant select on silver.r_1h_live to public")
    alter(hourly, "processing_window := '5 hours'")
    added = value(
        hourly, 'select silver.add_measures(\'silver.r_1h\', \'{"power": ["max", "avg"]}\')'
    )
    assert added == ["max_power", "avg_power", "sum_power", "count_power"]
    expected = (
        f"select {HOUR}, device, max(power), avg(power), count(*) from raw.readings group by 1, 2"
    )
    live = "select ts, device, max_power, avg_power, rollup_count from silver.r_1h_live"
    assert_same(hourly, expected, live)
    assert value(hourly, "select count(distinct kind) from tsconsole.pending_1 where kind = 'r'")
    # A late row has its turn between.
    late = hourly.execute(
        "insert into raw.readings select min(ts) + interval '1 h', 'd1', 0, 5, 6 from raw.readings "
        f"returning {HOUR}"
    ).fetchone()[0]
    works = []
    filled: list[object] = []
    while (step := hourly.execute("select * from silver.perform_step('silver.r_1h')").fetchone())[
        2
    ] == "done":
        if step[1] != "frontier":  # of an hour that has just ended
            works.append(step[1])
            filled.append(step[3])
        assert_same(hourly, expected, live)
    assert set(works) == {"recompute"} and len(works) > 5
    filled.remove(late)
    assert filled == sorted(filled, reverse=True)
    assert_verified(hourly, "silver.r_1h")
    assert value(hourly, "select count(*) from silver.r_1h where sum_power is null") == 0
    assert value(hourly, "select has_table_privilege('public', 'silver.r_1h_live', 'select')")


def test_measures_of_a_ladder_one_level_at_a_time(ladder: psycopg.Connection) -> None:
    wanted = '{"power": ["max", "avg"], "temperature": ["last"]}'
    said = refuse(
        ladder, "select silver.add_measures('silver.r_1h', %s)", [wanted], "TS004", "silver.r_1m"
    )
    assert "silver.add_measures('silver.r_1m'" in said.message_hint
    for level in ("1m", "1h", "1d"):
        ladder.execute(f"select silver.add_measures('silver.r_{level}', %s)", [wanted])
    for _ in range(2):
        assert_same(
            ladder,
            "select date_bin('1 day', ts, '2000-01-03 00:00Z'), device, max(power), avg(power), "
            "silver.last_value(temperature, ts), avg(temperature) from raw.readings group by 1, 2",
            "select ts, device, max_power, avg_power, last_temperature, avg_temperature "
            "from silver.r_1d_live",
        )
        run(ladder)
    for level in ("1m", "1h", "1d"):
        assert_verified(ladder, f"silver.r_{level}")
        assert value(ladder, f"select count(*) from silver.r_{level} where max_power is null") == 0


def test_a_new_level_merges_an_added_average(hourly: psycopg.Connection) -> None:
    hourly.execute("select silver.add_measures('silver.r_1h', '{\"power\": [\"avg\"]}')")
    create(hourly, "silver.r_1h", "r_1d", "1 day")
    run(hourly)
    assert_same(
        hourly,
        "select date_bin('1 day', ts, '2000-01-03 00:00Z'), device, avg(power) from raw.readings "
        "group by 1, 2",
        "select ts, device, avg_power from silver.r_1d_live",
    )
    assert_verified(hourly, "silver.r_1d")


def test_an_average_joins_its_sum_and_count(hourly: psycopg.Connection) -> None:
    hourly.execute("select silver.add_measures('silver.r_1h', '{\"power\": [\"sum\"]}')")
    added = value(hourly, "select silver.add_measures('silver.r_1h', '{\"power\": [\"avg\"]}')")
    assert added == ["avg_power", "count_power"]
    run(hourly)
    assert_verified(hourly, "silver.r_1h")
    assert_same(
        hourly,
        f"select {HOUR}, device, avg(power) from raw.readings group by 1, 2",
        "select ts, device, avg_power from silver.r_1h_live",
    )


@pytest.mark.parametrize(
    ("measures", "sqlstate", "message"),
    [
        ('{"temperature": ["min"]}', "TS003", "min of temperature"),
        ('{"nothing": ["min"]}', "TS001", "nothing"),
        ('{"device": ["avg"]}', "TS004", "device"),
        ("{}", "TS001", "empty"),
        ("[]", "TS001", "object"),
        (None, "TS001", "object"),
    ],
)
def test_measures_that_cannot_be_added(
    hourly: psycopg.Connection, measures: str | None, sqlstate: str, message: str
) -> None:
    refuse(
        hourly, "select silver.add_measures('silver.r_1h', %s::jsonb)", [measures],
        sqlstate, message,
    )  # fmt: skip


def test_measures_go_from_the_top(ladder: psycopg.Connection) -> None:
    ladder.execute("grant select on silver.r_1d_live to public")
    average = '{"temperature": ["avg", "sum", "count"]}'
    drop = "select silver.drop_measures(%s, %s)"
    refuse(ladder, drop, ["silver.r_1m", average], "TS004", "read by silver.r_1h")
    refuse(ladder, drop, ["silver.r_1d", '{"temperature": ["sum"]}'], "TS004", "average")
    refuse(ladder, drop, ["silver.r_1d", '{"temperature": ["max"]}'], "TS001", "no measure max")
    for level in ("1d", "1h", "1m"):
        gone = value(ladder, drop, [f"silver.r_{level}", average])
        assert gone == ["avg_temperature", "sum_temperature", "count_temperature"]
        assert value(ladder, "select count(*) from silver.r_1d_live") > 0
    assert value(ladder, "select has_table_privilege('public', 'silver.r_1d_live', 'select')")
    assert column(ladder, "select distinct kind from tsconsole.pending_1") == []
    ladder.execute("insert into raw.readings select min(ts), 'd1', 0, -5, 6 from raw.readings")
    run(ladder)
    assert_verified(ladder, "silver.r_1d")
    assert value(ladder, "select min(min_temperature) from silver.r_1d") == -5


def test_a_view_of_somebody_stands_in_the_way(hourly: psycopg.Connection) -> None:
    hourly.execute("select silver.add_measures('silver.r_1h', '{\"power\": [\"max\"]}')")
    hourly.execute("create view raw.mine as select max_power from silver.r_1h_live")
    said = refuse(
        hourly, "select silver.drop_measures('silver.r_1h', '{\"power\": [\"max\"]}')", None,
        "TS004", "r_1h_live",
    )  # fmt: skip
    assert "raw.mine" in (said.message_detail or "")


@pytest.mark.parametrize("dimensions", [[], ["upper(device) as d"], ["device", "site"]])
def test_adding_with_other_dimensions(db: psycopg.Connection, dimensions: list[str]) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r_1h", "1 hour", dimensions=dimensions,
           measures={"temperature": ["min"]}, timezone="Europe/Berlin")  # fmt: skip
    run(db)
    db.execute("alter table silver.r_1h rename to other")
    db.execute("select silver.add_measures('silver.other', '{\"power\": [\"sum\"]}')")
    run(db)
    assert_verified(db, "silver.other")
    assert value(db, "select sum(sum_power) from silver.r_1h_live") == value(
        db, "select sum(power) from raw.readings"
    )


def test_a_new_measure_waits_for_the_live_view_without_holding_the_table(
    hourly: psycopg.Connection, connect: Connect
) -> None:
    """Whoever reads the view locks it first: holding the table meanwhile ended in deadlocks."""
    holder, changer, reader = connect(autocommit=False), connect(), connect()
    # A lock of the view alone.
    holder.execute("comment on view silver.r_1h_live is 'looked at'")
    changing = Thread(
        target=changer.execute,
        args=["""select silver.add_measures('silver.r_1h', '{"temperature": ["max"]}')"""],
    )
    changing.start()
    reader.execute("set lock_timeout = '900ms'")
    for _ in range(20):
        reader.execute("select count(*) from silver.r_1h")
        time.sleep(0.1)
    assert changing.is_alive()
    holder.commit()
    changing.join(20)
    run(hourly)
    assert_verified(hourly, "silver.r_1h")
    assert value(hourly, "select count(*) from silver.r_1h_live where max_temperature is null") == 0


def test_late_rows_that_never_end_do_not_keep_a_new_measure_waiting(
    hourly: psycopg.Connection,
) -> None:
    hourly.execute("select silver.add_measures('silver.r_1h', '{\"temperature\": [\"max\"]}')")
    for _ in range(60):
        hourly.execute(
            "insert into raw.readings (ts, device, temperature) "
            "select max(ts) - interval '5 hours', 'd1', 1 from raw.readings"
        )
        hourly.execute("select silver.perform_step('silver.r_1h')")
    assert value(hourly, "select not tsconsole.is_refilling('silver.r_1h')")


def test_a_refill_leaps_over_a_gap(db: psycopg.Connection) -> None:
    """Between the last row and the watermark are thousands of ranges; one step passes them."""
    make_readings(db, 300)
    create(db, "raw.readings", "r_1h", "1 hour", processing_window="1 hour")
    run(db)
    db.execute("select silver.drop_measures('silver.r_1h', '{\"power\": [\"max\"]}')")
    db.execute("select silver.add_measures('silver.r_1h', '{\"power\": [\"max\"]}')")
    pending = "select count(*) from tsconsole.pending_1"
    assert value(db, pending) > 1000
    # A step that asks for every range would take minutes; this one asks a few times.
    db.execute(
        "alter function tsconsole.edge_row rename to edge_row_itself;"
        "create sequence public.asked;"
        "create function tsconsole.edge_row(config silver.timeseries_rollup_config, "
        "direction text, lo timestamptz, hi timestamptz, relation regclass default null) "
        "returns timestamptz language plpgsql as 'begin perform nextval(''public.asked''); "
        "return tsconsole.edge_row_itself(config, direction, lo, hi, relation); end'"
    )
    db.execute("select silver.perform_step('silver.r_1h')")
    assert value(db, "select last_value from public.asked") < 50
    assert value(db, pending) < 10
    run(db)
    assert_verified(db, "silver.r_1h")
