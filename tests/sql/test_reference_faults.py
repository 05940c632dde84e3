"""What the reference system got wrong about results; each test is named after its fault."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_same,
    assert_true_rollup,
    assert_verified,
    call_run,
    column,
    create,
    create_ladder,
    make_readings,
    perform,
    refuse_create,
    run,
    value,
)

MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"
DAY = "date_trunc('day', ts, 'UTC')"


def test_quick_start__works_as_the_reference_prints_it(db: psycopg.Connection) -> None:
    db.execute("set search_path = raw, public")
    make_readings(db)
    add_readings(db, value(db, "select (now() - interval '2 days')::text"), 2000)
    db.execute(
        """
        SELECT silver.create_rollup_table(
            source_table_name := 'readings',
            target_table_name := 'your_target_table',
            rollup_interval := '1 hour',
            look_back_window := '7 days'
        );
        """
    )
    db.execute("SELECT silver.perform_rollup('your_target_table');")
    # Only the last seven days: that is what look_back_window says.
    first = "silver.time_bucket('1 hour', now() - interval '7 days')"
    assert_true_rollup(db, "silver.your_target_table", HOUR, where=f"ts >= {first}")
    assert value(db, "select sum(rollup_count) from silver.your_target_table") == 2000
    db.execute("SELECT * FROM silver.timeseries_operations_monitor;")
    db.execute("SELECT * FROM silver.get_detailed_stats('your_table_pattern');")
    db.execute("SELECT * FROM silver.get_partition_stats('your_target_table');")
    db.execute("SELECT silver.optimize_chunk_interval('your_target_table');")
    db.execute("SELECT silver.maintain_timeseries_tables('your_target_table');")
    db.execute("SELECT silver.handle_rollup_retries();")


def test_quick_start__the_longer_form_works_too(db: psycopg.Connection) -> None:
    make_readings(db)
    db.execute(
        """
        select silver.create_rollup_table(
            source_table_name := 'raw.readings', target_schema := 'gold',
            target_table_name := 'readings_15m', rollup_table_interval := '15 minutes',
            look_back_window := null, retention_period := '10 years',
            processing_window := '1 day', initial_status := 'idle', is_active := true)
        """
    )
    run(db, "gold.readings_15m")
    bucket = "date_bin('15 min', ts, '2000-01-01 00:00Z')"
    assert_true_rollup(db, "gold.readings_15m", bucket)


def test_window_edges__no_row_is_lost_in_a_backfill(db: psycopg.Connection) -> None:
    make_readings(db, 5000)
    # Windows of 7 hours 13 minutes fit no bucket: the engine must cut them on bucket edges.
    create(db, "raw.readings", "r1h", "1 hour", processing_window="7:13", dimensions=["device"])
    create(db, "raw.readings", "r1d", "1 day", processing_window="00:10", dimensions=["device"])
    assert len([s for s in call_run(db) if s["outcome"] == "done"]) > 5
    assert_true_rollup(db, "silver.r1h", HOUR, keys="device")
    assert_true_rollup(db, "silver.r1d", DAY, keys="device")
    for table in ("r1h", "r1d"):
        assert value(db, f"select sum(rollup_count) from silver.{table}") == 5000


def test_window_edges__nothing_is_overwritten_when_run_again(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    run(db)
    before = db.execute("select xmin, * from silver.r1h order by ts").fetchall()
    for _ in range(3):
        run(db)
    assert db.execute("select xmin, * from silver.r1h order by ts").fetchall() == before


def test_chaining__every_level_is_exact(db: psycopg.Connection) -> None:
    make_readings(db, 5000)
    db.execute("update raw.readings set temperature = null where power % 5 = 0")
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"], dimensions=["device"])
    run(db)
    for level, bucket in {"1m": MINUTE, "1h": HOUR, "1d": DAY}.items():
        assert_true_rollup(db, f"silver.r_{level}", bucket, keys="device")
        assert_verified(db, f"silver.r_{level}")


def test_types__an_average_of_integers_is_no_integer(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.n (ts timestamptz, a smallint, b integer, c bigint, d numeric, e real, "
        "f double precision); create index on raw.n (ts);"
        "insert into raw.n values ('2025-01-01 00:00Z', 1, 1, 1, 1, 1, 1), "
        "('2025-01-01 00:01Z', 2, 2, 2, 2, 2, 2)"
    )
    create(db, "raw.n", "n_1h", "1 hour")
    run(db)
    row = db.execute("select avg_a, avg_b, avg_c, avg_d, avg_e, avg_f from silver.n_1h").fetchone()
    assert row == (Decimal("1.5"),) * 4 + (1.5, 1.5)
    assert_same(
        db,
        "select avg(a), avg(b), avg(c), avg(d), avg(e), avg(f), sum(a), sum(b), sum(c), sum(d), "
        "sum(e::float8), sum(f), min(e), max(e) from raw.n",
        "select avg_a, avg_b, avg_c, avg_d, avg_e, avg_f, sum_a, sum_b, sum_c, sum_d, sum_e, "
        "sum_f, min_e, max_e from silver.n_1h",
    )


HOSTILE_NAMES = [
    "Temp C", "order", "TempC", "minutes_on", "max_power", "a.b", 'say "hi"', "it's", "select",
    "x; drop table raw.hostile", "%s %I $1", "ümläut", "rollup_count", "sum", "$1", "$$", "x" * 63,
]  # fmt: skip
# What the engine's own statements call their columns, aliases and variables.
OWN_NAMES = [
    "cells", "is_expected", "expected", "found", "stale", "rows read", "kind", "d1", "lo", "hi",
    "bucket", "ranges", "series", "whole", "claimed", "fresh", "gone", "changed", "written",
    "deleted", "frozen", "granule", "remembered", "logged", "at", "new", "old", "u1", "all_series",
    *"abcdefghklmnopqrstuvwx",
]  # fmt: skip


def test_names__hostile_names_are_just_names(db: psycopg.Connection) -> None:
    quoted = column(db, "select quote_ident(n) from unnest(%s::text[]) n", [HOSTILE_NAMES])
    db.execute(
        f'create table raw.hostile (ts timestamptz, "DeviceId" text, '
        f"{', '.join(f'{name} integer' for name in quoted)}); create index on raw.hostile (ts);"
        "insert into raw.hostile select timestamptz '2025-01-01 00:00Z' + i * interval '1 min', "
        f"'d' || i % 3{', i % 100' * len(quoted)} from generate_series(1, 1000) i"
    )
    target = "Tar-get.With 'quotes' \"and\" dots; drop table x"
    create_ladder(db, "raw.hostile", f'"{target[:50].replace(chr(34), chr(34) * 2)}"', ["1 hour"])
    names = column(db, "select target_name from silver.timeseries_rollup_config")
    create(db, "raw.hostile", "Capitals-60" + "x" * 49, "1 hour", dimensions=["DeviceId"])
    create(db, "raw.hostile", '"a.b""c"', "1 hour", dimensions=["DeviceId", *HOSTILE_NAMES[:6]])
    run(db)
    assert value(db, "select count(*) from raw.hostile") == 1000
    for name in column(db, "select target_name from silver.timeseries_rollup_config"):
        assert value(db, f"select sum(rollup_count) from {name}") == 1000
        assert_verified(db, name)
    assert len(names) == 1
    # Each column is found under <aggregate>_<its name>, unless that is too long.
    for name in HOSTILE_NAMES[:-1]:
        found = value(db, "select quote_ident('sum_' || %s)", [name])
        own = value(db, "select quote_ident(%s)", [name])
        expected = f"select sum({own}) from raw.hostile"
        assert value(db, f"select sum({found}) from {names[0]}") == value(db, expected)


def make_own_names(db: psycopg.Connection) -> None:
    """raw.readings with a text column for each name that the engine uses itself."""
    make_readings(db, 2000)
    db.execute(
        ";".join(f'alter table raw.readings add "{name}" text' for name in OWN_NAMES)
        + ";update raw.readings set "
        + ", ".join(f"\"{name}\" = 'v' || power % 2" for name in OWN_NAMES)
    )


def change_and_verify(db: psycopg.Connection, levels: list[str]) -> None:
    run(db)
    db.execute("update raw.readings set power = power + 1 where power < 500")
    db.execute("delete from raw.readings where power > 900")
    for level in levels:
        fresh = f"select ts, sum(sum_power), sum(rollup_count) from {level}_live group by 1"
        unit = "minute" if level.endswith("1m") else "hour"
        assert_same(
            db,
            f"select date_trunc('{unit}', ts, 'UTC'), sum(power), count(*) "
            "from raw.readings group by 1",
            fresh,
        )
    run(db)
    for level in levels:
        assert_verified(db, level)


def test_names__columns_may_be_called_as_the_engine_calls_its_own(db: psycopg.Connection) -> None:
    make_own_names(db)
    measures = {name: ["min", "mode"] for name in OWN_NAMES} | {"power": ["sum"]}
    create(db, "raw.readings", "m_1m", "1 minute", dimensions=["device"], measures=measures)
    change_and_verify(db, ["silver.m_1m"])


def test_names__dimensions_may_be_called_as_the_engine_calls_its_own(
    db: psycopg.Connection,
) -> None:
    make_own_names(db)
    # An index holds 32 columns.
    for first in range(0, len(OWN_NAMES), 28):
        names = OWN_NAMES[first : first + 28]
        widths = ["1 minute", "1 hour"]
        wanted = {"power": ["sum"], "temperature": ["avg"]}
        levels = create_ladder(
            db, "raw.readings", f"r{first}", widths, dimensions=names, measures=wanted
        )
        change_and_verify(db, levels)


def test_names__expressions_may_read_columns_of_any_name(db: psycopg.Connection) -> None:
    make_own_names(db)
    for first in range(0, len(OWN_NAMES), 28):
        names = OWN_NAMES[first : first + 28]
        expressions = [f'upper("{name}") as up{n}' for n, name in enumerate(names)]
        target = create(db, "raw.readings", f"e{first}_1h", "1 hour", dimensions=expressions,
                        measures={"power": ["sum"]})  # fmt: skip
        change_and_verify(db, [target])


@pytest.mark.parametrize(
    "dimensions", [[], ["device"], ["device", "site"]], ids=["none", "one", "two"]
)
def test_dimensions__none_null_and_many_are_exact(
    db: psycopg.Connection, dimensions: list[str]
) -> None:
    make_readings(db, 2000)
    db.execute("update raw.readings set device = null where device = 'd1'")
    db.execute("update raw.readings set site = null where power % 3 = 0")
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=dimensions)
    run(db)
    for level, bucket in {"1m": MINUTE, "1h": HOUR}.items():
        # What is grouped by is no measure, so the comparison fits every case.
        assert_true_rollup(db, f"silver.r_{level}", bucket, keys=", ".join(dimensions))
    # Run again over the NULLs: nothing may be doubled or fail.
    db.execute("select silver.invalidate('silver.r_1m', '2025-03-01', '2025-03-04')")
    run(db)
    assert_true_rollup(db, "silver.r_1m", MINUTE, keys=", ".join(dimensions))


def test_dimensions__a_second_rollup_does_not_inherit_the_first_ones(
    db: psycopg.Connection,
) -> None:
    make_readings(db)
    db.execute(
        "create table raw.other as table raw.readings; create index on raw.other (ts);"
        "insert into silver.timeseries_dimension_config (source_table, dimension_column, is_active)"
        " values ('raw.readings', 'device', true), ('raw.readings', 'site', false)"
    )
    create(db, "raw.readings", "a", "1 hour")
    create(db, "raw.other", "b", "1 hour")
    create(db, "raw.readings", "c", "1 hour", dimensions=[])
    run(db)
    dimensions = "select dimensions from tsconsole.rollup_definition(%s)"
    assert value(db, dimensions, ["silver.a"]) == ["device"]
    assert value(db, dimensions, ["silver.b"]) == []
    assert value(db, dimensions, ["silver.c"]) == []
    assert_true_rollup(db, "silver.a", HOUR, keys="device")
    assert_true_rollup(db, "silver.b", HOUR, source="raw.other")


def test_empty_window__the_watermark_advances_and_a_gap_is_jumped(db: psycopg.Connection) -> None:
    make_readings(db, 120)
    add_readings(db, "2025-03-05 12:00Z", 120)
    add_readings(db, "2026-01-01 00:00Z", 120)
    create(db, "raw.readings", "r1m", "1 minute")
    db.execute(
        "update silver.timeseries_rollup_config set processing_window = '1 hour', "
        "last_processed_time = history_from; delete from tsconsole.pending_1"
    )
    done = [s for s in call_run(db) if s["outcome"] == "done"]
    assert len(done) <= 12, "61 empty buckets or ten months of nothing are one jump"
    assert_true_rollup(db, "silver.r1m", MINUTE)
    marked = value(db, "select last_processed_time > now() - interval '3 minutes' "
                       "from silver.timeseries_rollup_config")  # fmt: skip
    assert marked
    assert perform(db) == [(None, "idle", 0, 0, None)]


def test_look_back__shorter_than_the_bucket_works(db: psycopg.Connection) -> None:
    make_readings(db, 60, start=value(db, "select (now() - interval '61 minutes')::text"))
    create(db, "raw.readings", "r1d", "1 day", look_back_window="1 minute", allowed_lateness="0")
    create(db, "raw.readings", "r1s", "1 second", look_back_window="10 ms", allowed_lateness="0")
    earliest = value(db, day := "select silver.time_bucket('1 day', now() - interval '1 minute')")
    run(db)
    db.execute("insert into raw.readings select clock_timestamp(), 'd0', 0, 1, 1")
    db.execute("select pg_sleep(1.1)")
    assert ("frontier", "done", 1, 1, None) in run(db, "silver.r1s")
    first = f"select first_bucket between %s and ({day}) from silver.timeseries_rollup_config"
    assert value(db, first + " where id = 1", [earliest])


@pytest.mark.parametrize(
    ("width", "says"),
    [
        ("0", "is zero"), ("-1 minute", "is negative"), ("1 month -1 day", "is negative"),
        ("1 month 1 day", "mixes months"), ("1 year 1 second", "mixes months"), (None, "is null"),
    ],
)  # fmt: skip
def test_interval__nonsense_is_refused(
    db: psycopg.Connection, width: str | None, says: str
) -> None:
    make_readings(db, 10)
    refuse_create(db, "TS001", says, rollup_interval=width)


@pytest.mark.parametrize(
    ("width", "bucket"),
    [
        ("100 ms", "date_bin('100 ms', ts, '2000-01-01Z')"),
        ("500 ms", "date_bin('500 ms', ts, '2000-01-01Z')"),
        ("3 months", "date_trunc('quarter', ts, 'UTC')"),
        ("1 month", "date_trunc('month', ts, 'UTC')"),
        ("30 days", "date_bin('30 days', ts, '2000-01-03Z')"),
        ("1 minute", "date_trunc('minute', ts, 'UTC')"),
        ("1 year", "date_trunc('year', ts, 'UTC')"),
        ("7 days", "date_trunc('week', ts, 'UTC')"),
    ],
)
def test_interval__every_width_is_exact_in_every_session(
    db: psycopg.Connection, width: str, bucket: str
) -> None:
    make_readings(db, 400, start="1969-12-30 23:59:59.6Z")
    add_readings(db, "2025-03-01 12:14:59.6Z", 400, "1 hour 59 minutes 59.9 seconds")
    db.execute("set timezone = 'America/St_Johns'")
    create(db, "raw.readings", "r", width, chunk_interval="1 year")
    run(db)
    db.execute("set timezone = 'Asia/Kathmandu'")
    db.execute("select silver.invalidate('silver.r', '1960-01-01', '2026-01-01')")
    steps = run(db)
    assert {s[3] for s in steps} == {0}, "another session's zone changes no bucket"
    assert_true_rollup(db, "silver.r", bucket)
    assert_verified(db, "silver.r")


def test_late_rows__found_exactly_and_cheaply(db: psycopg.Connection) -> None:
    make_readings(db, 6000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    create(db, "raw.readings", "other", "1 hour")
    run(db)
    db.execute("insert into raw.readings values ('2025-03-02 10:10:30Z', 'd7', 1, 99, 99)")
    db.execute("update raw.readings set power = 5000 where ts = '2025-03-03 07:00Z'")
    db.execute("delete from raw.readings where ts = '2025-03-04 00:00Z'")
    steps = run(db)
    # The series and buckets that changed, of 6,000 rows.
    assert sum(s[2] for s in steps) < 400, steps
    assert [s[3] for s in steps if s[0] == "recompute"] == [2, 3, 3]
    for table, bucket, keys in (
        ("r_1m", MINUTE, "device"), ("r_1h", HOUR, "device"), ("other", HOUR, "")
    ):  # fmt: skip
        assert_true_rollup(db, f"silver.{table}", bucket, keys=keys)


def test_late_rows__a_bulk_load_is_announced_once(db: psycopg.Connection) -> None:
    make_readings(db)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"])
    create(db, "raw.readings", "other", "1 hour")
    run(db)
    with db.transaction():
        assert value(db, "select silver.bulk_load('raw.readings', '2025-03-01', '2025-03-02')") == 2
        add_readings(db, "2025-03-01 05:00:30Z", 100)
        assert value(db, "select count(*) from tsconsole.pending_1") == 1
        # What is loaded beside the range is still found.
        add_readings(db, "2025-03-02 05:00:30Z", 10)
    run(db)
    for table, bucket in {"r_1m": MINUTE, "r_1h": HOUR, "other": HOUR}.items():
        assert_true_rollup(db, f"silver.{table}", bucket)


def test_row_counts__rows_read_and_rows_written(db: psycopg.Connection) -> None:
    make_readings(db, 600)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    steps = run(db)
    assert [s[:4] for s in steps if s[1] == "done"] == [
        ("history", "done", 600, 600),
        ("history", "done", 600, 30),
    ]
    runs = db.execute(
        "select table_name, records_processed, rows_read, rows_written, rows_deleted "
        "from silver.timeseries_refresh_log order by id"
    ).fetchall()
    assert runs == [("silver.r_1m", 600, 600, 600, 0), ("silver.r_1h", 600, 600, 30, 0)]


def test_first_last_value__are_aggregates(db: psycopg.Connection) -> None:
    make_readings(db, 500)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"],
                  measures={"temperature": ["first", "last"], "power": ["last"]})  # fmt: skip
    run(db)
    assert_same(
        db,
        f"select {HOUR}, device, silver.first_value(temperature, ts), "
        "silver.last_value(temperature, ts), silver.last_value(power, ts) "
        "from raw.readings group by 1, 2",
        "select ts, device, first_temperature, last_temperature, last_power from silver.r_1h",
    )
