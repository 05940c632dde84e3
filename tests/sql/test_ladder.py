"""Ladders: every level exact at every moment, whatever the levels below still have to do."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_same,
    assert_true_rollup,
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    make_recent_readings,
    run,
    value,
    watermark,
)

Connect = Callable[..., psycopg.Connection]
MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"
DAY = "date_trunc('day', ts, 'UTC')"
LEVELS = {"r_1m": MINUTE, "r_1h": HOUR, "r_1d": DAY}


def step(db: psycopg.Connection, target: str) -> tuple[str | None, str]:
    row = db.execute("select work, outcome from silver.perform_step(%s)", [target]).fetchone()
    assert row[1] in ("done", "idle"), row
    return row


def assert_no_wrong_bucket(db: psycopg.Connection, target: str, bucket: str) -> None:
    """What is there equals GROUP BY over the whole source, though not all may be there yet."""
    wrong = db.execute(
        f"select ts, rollup_count, sum_power from silver.{target} except all "
        f"select {bucket}, count(*), sum(power) from raw.readings group by 1 limit 3"
    ).fetchall()
    assert not wrong, (target, wrong)


def assert_ladder(db: psycopg.Connection, keys: str = "") -> None:
    for target, bucket in LEVELS.items():
        assert_true_rollup(db, f"silver.{target}", bucket, keys=keys)
        assert_verified(db, f"silver.{target}")


def test_a_child_is_never_ahead_of_its_parents_history(db: psycopg.Connection) -> None:
    make_readings(db, 6000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"])
    db.execute("update silver.timeseries_rollup_config set processing_window = '7 hours'")
    works = []
    for _ in range(60):
        # The top first: it must wait for what lies below, bucket by bucket.
        for target in reversed(LEVELS):
            works.append((target, *step(db, f"silver.{target}")))
        for target, bucket in LEVELS.items():
            assert_no_wrong_bucket(db, target, bucket)
        marks = column(db, "select last_processed_time from silver.timeseries_rollup_config "
                           "order by id")  # fmt: skip
        assert marks == sorted(marks, reverse=True)
        if all(outcome == "idle" for _, _, outcome in works[-3:]):
            break
    assert_ladder(db)
    # Each bucket was written once: nothing was computed early and recomputed.
    assert {work for _, work, outcome in works if outcome == "done"} <= {"history", "frontier"}
    assert_same(
        db,
        "select 'silver.r_1d', sum(rows_written)::int from silver.timeseries_refresh_log "
        "where table_name = 'silver.r_1d' group by 1",
        "select 'silver.r_1d', count(*)::int from silver.r_1d",
    )


@pytest.mark.parametrize("done", [0, 3, 1000], ids=["at once", "halfway", "at the end"])
def test_a_level_put_on_top_later_is_exact(db: psycopg.Connection, done: int) -> None:
    make_readings(db, 6000)
    create(db, "raw.readings", "r_1m", "1 minute", processing_window="9 hours")
    for _ in range(done):
        if step(db, "silver.r_1m")[1] == "idle":
            break
    create_ladder(db, "silver.r_1m", "r", ["1 hour", "1 day"])
    for _ in range(40):
        for target in reversed(LEVELS):
            step(db, f"silver.{target}")
            assert_no_wrong_bucket(db, target, LEVELS[target])
    assert_ladder(db)


def test_only_rows_that_differ_are_written_and_handed_up(db: psycopg.Connection) -> None:
    make_readings(db, 6000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"], dimensions=["device"])
    run(db)
    untouched = "select xmin, * from silver.{} where ts <> all (%s) order by ts, device"
    changed = {
        "r_1m": ["2025-03-02 10:31Z", "2025-03-04 00:00Z"],
        "r_1h": ["2025-03-02 10:00Z", "2025-03-04 00:00Z"],
        "r_1d": ["2025-03-02 00:00Z", "2025-03-04 00:00Z"],
    }
    before = {t: db.execute(untouched.format(t), [changed[t]]).fetchall() for t in LEVELS}
    db.execute("update raw.readings set power = power + 1 where ts = any (%s)", [changed["r_1m"]])
    db.execute("select silver.invalidate('silver.r_1m', '2025-03-01', '2025-03-06')")
    steps = run(db, "raw.readings")
    # One device in two minutes; above, only that device is read: 20 minutes an hour, 24 hours.
    assert [s[:4] for s in steps if s[0] == "recompute"] == [
        ("recompute", "done", 6000, 2),
        ("recompute", "done", 40, 2),
        ("recompute", "done", 48, 2),
    ]
    for target in LEVELS:
        after = db.execute(untouched.format(target), [changed[target]]).fetchall()
        assert after == before[target], target
    assert_ladder(db, keys="device")


def test_buckets_that_lost_their_rows_go_at_every_level(db: psycopg.Connection) -> None:
    make_readings(db, 6000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"], dimensions=["device"])
    run(db)
    db.execute(
        "delete from raw.readings where ts between '2025-03-02 22:30Z' and '2025-03-04 01:30Z';"
        "delete from raw.readings where device = 'd1' and ts > '2025-03-04 00:00Z'"
    )
    db.execute("select silver.bulk_load('raw.readings', '2025-03-02 22:00Z', '2025-03-08')")
    run(db)
    assert_ladder(db, keys="device")
    assert value(db, "select count(*) from silver.r_1d where ts = '2025-03-03Z'") == 0
    deleted = "select array_agg(distinct table_name order by table_name) " \
              "from silver.timeseries_refresh_log where rows_deleted > 0"  # fmt: skip
    assert value(db, deleted) == [f"silver.{t}" for t in sorted(LEVELS)]


def test_changes_below_while_history_above_is_unfinished(db: psycopg.Connection) -> None:
    make_readings(db, 6000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"])
    db.execute("update silver.timeseries_rollup_config set processing_window = '11 hours'")
    for round_number in range(12):
        step(db, "silver.r_1m")
        at = f"timestamptz '2025-03-01Z' + interval '{round_number * 8} hours'"
        db.execute(
            f"update raw.readings set power = power + 1000 where ts between {at} and {at} + "
            "interval '20 minutes'"
        )
        db.execute(f"select silver.invalidate('silver.r_1m', {at}, {at} + interval '21 minutes')")
        for target in ("r_1d", "r_1h"):
            step(db, f"silver.{target}")
    run(db)
    assert_ladder(db)


def test_created_on_an_empty_source_and_loaded_later(db: psycopg.Connection) -> None:
    make_readings(db, 0)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"], dimensions=["site"])
    run(db)
    assert [value(db, f"select count(*) from silver.{t}") for t in LEVELS] == [0, 0, 0]
    add_readings(db, "2025-03-01 00:00Z", 4000)
    run(db)
    assert_ladder(db, keys="site")
    # What comes to an end below stays right: the table is emptied and loaded again.
    db.execute("truncate raw.readings")
    db.execute("select silver.bulk_load('raw.readings', '2025-01-01', '2026-01-01')")
    add_readings(db, "2025-03-02 00:00Z", 100)
    run(db)
    assert_ladder(db, keys="site")


def test_fewer_dimensions_and_expressions_of_them_upwards(db: psycopg.Connection) -> None:
    make_readings(db, 4000)
    db.execute("update raw.readings set device = null where power % 7 = 0")
    create(db, "raw.readings", "r_1m", "1 minute", dimensions=["device", "site"])
    create(db, "silver.r_1m", "by_site", "1 hour", dimensions=["site"])
    create(db, "silver.by_site", "none", "1 day", dimensions=[])
    create(db, "silver.r_1m", "upper", "1 hour", dimensions=["upper(device) as name"])
    run(db)
    assert_true_rollup(db, "silver.by_site", HOUR, keys="site")
    assert_true_rollup(db, "silver.none", DAY)
    assert_same(
        db,
        f"select {HOUR}, upper(device), count(*), sum(power), avg(power) "
        "from raw.readings group by 1, 2",
        "select ts, name, rollup_count, sum_power, avg_power from silver.upper",
    )
    db.execute("update raw.readings set site = 1 - site, device = lower(device)")
    db.execute("select silver.bulk_load('raw.readings', '2025-01-01', '2026-01-01')")
    run(db)
    assert_true_rollup(db, "silver.by_site", HOUR, keys="site")
    assert_true_rollup(db, "silver.none", DAY)


def test_first_and_last_up_a_ladder_of_the_same_series(db: psycopg.Connection) -> None:
    make_readings(db, 4000)
    db.execute("update raw.readings set power = null where site = 0 and power % 5 = 0")
    wanted = {"power": ["first", "last", "min"], "temperature": ["last", "avg"]}
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"],
                  dimensions=["device"], measures=wanted)  # fmt: skip
    run(db)
    for target, bucket in LEVELS.items():
        assert_same(
            db,
            f"select {bucket}, device, silver.first_value(power, ts), "
            "silver.last_value(power, ts), min(power), silver.last_value(temperature, ts), "
            "avg(temperature) "
            "from raw.readings group by 1, 2",
            "select ts, device, first_power, last_power, min_power, last_temperature, "
            f"avg_temperature from silver.{target}",
        )


def test_zones_a_day_in_a_zone_from_quarters_in_utc(db: psycopg.Connection) -> None:
    make_readings(db, 3000, start="2025-10-25 00:00Z")
    add_readings(db, "2025-03-29 00:00Z", 3000)
    create(db, "raw.readings", "quarters", "15 minutes")
    for zone in ("Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"):
        target = "day_" + zone[-5:].lower()
        create(db, "silver.quarters", target, "1 day", timezone=zone)
        run(db)
        assert_true_rollup(db, f"silver.{target}", f"date_trunc('day', ts, '{zone}')")


@pytest.mark.parametrize(
    ("zone", "start"),
    [("Africa/Monrovia", "1971-12-20"), ("Europe/Amsterdam", "1937-06-25"),
     ("Europe/Berlin", "1893-03-25"), ("America/New_York", "1883-11-10")],
)  # fmt: skip
def test_zones_with_odd_offsets_are_exact_or_refused(
    db: psycopg.Connection, zone: str, start: str
) -> None:
    """Offsets of seconds, as in old data, fit no quarter of an hour."""
    make_readings(db, 2500, start=f"{start} 00:07:45Z")
    add_readings(db, f"{start} 00:07:45Z", 3000, "13 minutes")
    create(db, "raw.readings", "quarters", "15 minutes")
    try:
        create(db, "silver.quarters", "days", "1 day", timezone=zone)
        steps = db.execute("select sql_state from silver.perform_rollup('raw.readings')").fetchall()
    except psycopg.Error as error:
        assert error.sqlstate == "TS004"
        return
    if ("TS004",) not in steps:
        assert_true_rollup(db, "silver.days", f"silver.time_bucket('1 day', ts, '{zone}')")


def test_a_zone_that_was_odd_for_some_years_only_is_refused(db: psycopg.Connection) -> None:
    """Singapore was 7:20 ahead from 1933 to 1941: the range starts and ends on whole quarters."""
    make_readings(db, 1, start="1930-01-01 00:07:45Z")
    add_readings(db, "1932-12-25 00:07:45Z", 1000, "4 days 7 minutes")
    create(db, "raw.readings", "quarters", "15 minutes")
    create(db, "silver.quarters", "days", "1 day", timezone="Asia/Singapore")
    steps = db.execute("select sql_state from silver.perform_rollup('raw.readings')").fetchall()
    assert ("TS004",) in steps


@pytest.mark.parametrize(
    "zone", ["Africa/Monrovia", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"]
)
def test_one_zone_all_the_way_up_is_exact_at_odd_offsets_too(
    db: psycopg.Connection, zone: str
) -> None:
    starts = {"Africa/Monrovia": "1972-01-05", "Europe/Berlin": "1893-03-30",
              "America/New_York": "1883-11-17", "Pacific/Kiritimati": "1979-09-29"}  # fmt: skip
    make_readings(db, 4000, start=f"{starts[zone]} 00:00:30Z")
    levels = {"1 minute": "r_1m", "1 hour": "r_1h", "1 day": "r_1d", "1 month": "r_1mon"}
    create_ladder(db, "raw.readings", "r", list(levels), timezone=zone)
    create(db, "raw.readings", "quarters", "15 minutes", timezone=zone)
    quarter = f"silver.time_bucket('15 minutes', ts, '{zone}')"
    assert_true_rollup(db, "silver.quarters_live", quarter)
    run(db)
    assert_true_rollup(db, "silver.quarters", quarter)
    for width, target in levels.items():
        bucket = f"silver.time_bucket('{width}', ts, '{zone}')"
        assert_true_rollup(db, f"silver.{target}", bucket)


def test_retention_below_freezes_what_stands_above(db: psycopg.Connection) -> None:
    make_recent_readings(db, 4 * 1440)
    create(db, "raw.readings", "r_1m", "1 minute", chunk_interval="1 day", retention_period="1 day")
    create(db, "silver.r_1m", "r_1h", "1 hour")
    run(db)
    before = db.execute("select * from silver.r_1h order by ts").fetchall()
    db.execute("select * from silver.maintain_timeseries_tables()")
    kept = value(db, "select min(ts) from silver.r_1m")
    assert value(db, "select %s = date_trunc('day', %s::timestamptz, 'UTC')", [kept, kept])
    assert (
        value(db, "select retained_from from silver.timeseries_rollup_config where id = 1") == kept
    )
    # A correction of everything reaches the upper level only where the lower one is still whole.
    db.execute("update raw.readings set power = power + 1000")
    db.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    db.execute("select silver.invalidate('silver.r_1h', '-infinity', 'infinity')")
    run(db)
    after = db.execute("select * from silver.r_1h order by ts").fetchall()
    assert [r for r in after if r[0] < kept] == [r for r in before if r[0] < kept]
    assert_true_rollup(db, "silver.r_1h", HOUR,
                       where=f"ts >= '{kept}' and ts < {watermark('silver.r_1h')}")  # fmt: skip
    assert_verified(db, "silver.r_1h")
    assert_verified(db, "silver.r_1m")
    assert value(db, "select min(ts) from silver.r_1m") == kept


def test_retention_never_takes_what_a_level_above_has_not_read(db: psycopg.Connection) -> None:
    make_recent_readings(db, 4 * 1440)
    create(db, "raw.readings", "r_1m", "1 minute", chunk_interval="1 day", retention_period="1 day")
    create(db, "silver.r_1m", "r_1h", "1 hour", is_active=False)
    run(db, "silver.r_1m")
    maintain = "select outcome, detail from silver.maintain_timeseries_tables('silver.r_1m') " \
               "where task = 'retention'"  # fmt: skip
    outcome, detail = db.execute(maintain).fetchone()
    assert outcome == "skipped"
    assert "silver.r_1h" in detail
    db.execute("select silver.resume_rollup('silver.r_1h')")
    run(db)
    assert db.execute(maintain).fetchone()[0] == "done"
    assert_true_rollup(db, "silver.r_1h", HOUR, where=f"ts < {watermark('silver.r_1h')}")


def test_a_ladder_is_dropped_from_the_top(db: psycopg.Connection) -> None:
    make_readings(db, 1000)
    levels = create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"])
    run(db)
    with pytest.raises(psycopg.Error, match=r"silver\.r_1m is read by silver\.r_1h"):
        db.execute("select silver.drop_rollup('silver.r_1m')")
    db.execute("select silver.drop_rollup('silver.r_1d', keep_data := true)")
    for level in (levels[1], levels[0]):
        db.execute("select silver.drop_rollup(%s)", [level])
    assert value(db, "select count(*) from silver.r_1d") > 0
    assert column(db, "select relname from pg_class where relname ~ '^(r_1[mh]|pending_)'") == []
    assert value(db, "select count(*) from silver.timeseries_refresh_log") >= 3
