"""The step: windows, gaps, pausing, committing, renames, clocks and concurrent sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
    monitor,
    perform,
    run,
    value,
    wait_until,
)

Connect = Callable[..., psycopg.Connection]
MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"


def partitions(db: psycopg.Connection, target: str) -> int:
    return int(value(db, "select count(*) from tsconsole.partitions(%s)", [target]))


def with_outlier(db: psycopg.Connection, outlier: str, index: str = "yes") -> None:
    make_readings(db, 5000, index=index)
    add_readings(db, outlier, 1)


@pytest.mark.parametrize("index", ["yes", "no"], ids=["indexed", "unindexed"])
@pytest.mark.parametrize("when", ["before", "after"], ids=["created after", "created before"])
@pytest.mark.parametrize("outlier", ["1970-01-01 00:00:30Z", "0001-01-01 00:00:30Z"])
def test_a_gap_of_years_is_jumped(
    db: psycopg.Connection, outlier: str, when: str, index: str
) -> None:
    """One row of another age, there before the rollup or not: quick, exact, few partitions."""
    if when == "before":
        with_outlier(db, outlier, index)
        create(db, "raw.readings", "r1m", "1 minute")
    else:
        make_readings(db, 0, index=index)
        create(db, "raw.readings", "r1m", "1 minute")
        add_readings(db, "2025-03-01 00:00Z", 5000)
        add_readings(db, outlier, 1)
    started = time.monotonic()
    done = [s for s in call_run(db) if s["outcome"] == "done"]
    assert time.monotonic() - started < 5
    assert len(done) < 30
    assert_true_rollup(db, "silver.r1m", MINUTE)
    assert partitions(db, "silver.r1m") < 8
    started = time.monotonic()
    db.execute("select silver.invalidate('silver.r1m', '-infinity', 'infinity')")
    assert {s[3] for s in run(db)} == {0}
    assert_verified(db, "silver.r1m")
    assert time.monotonic() - started < 5
    assert partitions(db, "silver.r1m") < 8
    db.execute("select silver.drop_rollup('silver.r1m')")


def test_an_invalid_range_without_rows_is_settled(db: psycopg.Connection) -> None:
    make_readings(db, 500)
    create(db, "raw.readings", "r1h", "1 hour")
    run(db)
    for start in ("2025-06-01", "1990-01-01", "2090-01-01"):
        db.execute("select silver.invalidate('silver.r1h', %s, 'infinity')", [start])
        run(db)
        db.execute("update silver.timeseries_rollup_config "
                   "set last_processed_time = last_processed_time - interval '1 hour'")  # fmt: skip
        run(db)
    assert monitor(db, "silver.r1h")["pending_ranges"] == 0
    assert_true_rollup(db, "silver.r1h", HOUR)


def test_times_that_are_no_times_break_no_step(db: psycopg.Connection) -> None:
    make_readings(db, 500)
    db.execute(
        "insert into raw.readings select t::timestamptz, 'd0', 0, 1, 1 from unnest(array["
        "'-infinity', 'infinity', null, '2999-12-31', '9999-12-31 23:59:59', '294276-12-31']) t"
    )
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    run(db)
    db.execute("select silver.invalidate('silver.r_1m', '-infinity', 'infinity')")
    run(db)
    for target, bucket in {"r_1m": MINUTE, "r_1h": HOUR}.items():
        assert_true_rollup(db, f"silver.{target}", bucket, keys="device", where="ts < now()")
        assert value(db, f"select sum(rollup_count) from silver.{target}") == 500
        assert_verified(db, f"silver.{target}")


@pytest.mark.parametrize("width", ["1 hour", "1 month"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
def test_times_at_the_ends_of_time_are_in_no_bucket(
    db: psycopg.Connection, kind: str, zone: str, width: str
) -> None:
    """One garbled row neither keeps others from being read live nor steps from working."""
    db.execute(f"create table raw.m (ts {kind}, v integer); create index on raw.m (ts)")
    db.execute(
        "insert into raw.m select now() - i * interval '1 hour', i from generate_series(1, 99) i"
    )
    create(db, "raw.m", "r", width, timezone=zone)
    create(db, "silver.r", "above", "1 year", timezone=zone)
    run(db)
    db.execute(
        "insert into raw.m select t, 0 from unnest(array['4713-01-01 BC', '4700-02-03 BC', "
        f"'290000-01-02', '294276-12-31']::{kind}[]) t"
    )
    db.execute("insert into raw.m select now() - interval '50 hours', 1")
    for view in ("silver.r_live", "silver.live(null::silver.r)", "silver.above_live"):
        # The second row is in a bucket: further from now than anybody measures, but computable.
        assert value(db, f"select sum(rollup_count) from {view}") == 101, view
    run(db)
    assert_verified(db, "silver.r")
    ends = "timestamptz '294276-12-31', timestamptz 'infinity'"
    for call in (f"verify_rollup('silver.r', {ends})", f"repair_rollup('silver.r', {ends})",
                 f"invalidate('silver.r', {ends})", f"live(null::silver.r, {ends})"):  # fmt: skip
        db.execute(f"select * from silver.{call}")
    db.execute("select silver.invalidate('silver.r', '4713-01-01 BC', '294276-12-31')")
    run(db)
    assert_verified(db, "silver.r")


@pytest.mark.parametrize(("width", "zone"), [
    ("1 minute", "UTC"), ("1 day", "Europe/Berlin"), ("1 month", "UTC"),
    ("1 year", "UTC")])  # fmt: skip
def test_the_oldest_times_there_are_break_nothing(
    db: psycopg.Connection, width: str, zone: str
) -> None:
    make_readings(db, 500)
    add_readings(db, "4000-01-01 00:00Z BC", 1)
    add_readings(db, "4714-11-24 00:00:01Z BC", 1)
    create(db, "raw.readings", "r", width, timezone=zone, chunk_interval="100 years")
    run(db)
    assert value(db, "select sum(rollup_count) from silver.r where ts > '1900-01-01'") == 500
    assert value(db, "select sum(rollup_count) from silver.r") >= 501
    assert_verified(db, "silver.r")


def test_only_future_rows_then_history(db: psycopg.Connection) -> None:
    """A source that holds only a row of the future is as empty as can be: what comes is new."""
    make_readings(db, 0)
    add_readings(db, "2999-01-01 00:00Z", 1)
    create(db, "raw.readings", "r1h", "1 hour")
    add_readings(db, "2025-03-01 00:00Z", 500)
    run(db)
    assert_true_rollup(db, "silver.r1h", HOUR, where="ts < now()")
    assert value(db, "select sum(rollup_count) from silver.r1h") == 500


def notices_of(db: psycopg.Connection) -> list[tuple[str, str]]:
    """Message and hint of every notice from now on."""
    heard: list[tuple[str, str]] = []
    db.add_notice_handler(lambda said: heard.append((said.message_primary, said.message_hint)))
    return heard


def test_an_unindexed_source_is_allowed_with_a_notice(db: psycopg.Connection) -> None:
    make_readings(db, 3000, index="no")
    heard = notices_of(db)
    create(db, "raw.readings", "r1h", "1 hour")
    ((message, hint),) = heard
    assert "no index that begins with ts" in message
    assert hint == "create index concurrently on raw.readings (ts);"
    run(db)
    assert_true_rollup(db, "silver.r1h", HOUR)
    # The hint can be run as it stands.
    db.execute(hint)
    create(db, "raw.readings", "again", "1 hour")
    assert len(heard) == 1
    db.execute(
        'create table raw."Odd One" ("The Time" timestamptz) partition by range ("The Time")'
    )
    create(db, 'raw."Odd One"', "odd", "1 hour")
    assert heard[1][1].startswith('create index on raw."Odd One" ("The Time")')
    db.execute(heard[1][1].split("--")[0])


def test_an_unlogged_source_is_allowed_with_a_notice(db: psycopg.Connection) -> None:
    make_readings(db)
    db.execute("alter table raw.readings set unlogged")
    heard = notices_of(db)
    create(db, "raw.readings", "r1h", "1 hour")
    ((message, hint),) = heard
    assert "unlogged" in message
    assert "silver.invalidate('silver.r1h'" in hint
    findings = (
        "select count(*) from silver.validate_rollup_config() where not is_valid and message = %s"
    )
    assert value(db, findings, [message]) == 1
    run(db)
    # As after a crash: no trigger tells.
    db.execute("alter table raw.readings disable trigger user")
    db.execute("delete from raw.readings; select silver.refresh_source('raw.readings')")
    db.execute("alter table raw.readings set logged")
    assert value(db, findings, [message]) == 0
    db.execute("select silver.invalidate('silver.r1h', '-infinity', 'infinity')")
    run(db)
    assert value(db, "select count(*) from silver.r1h") == 0


def test_pause_and_resume(db: psycopg.Connection) -> None:
    make_readings(db, 1000)
    create(db, "raw.readings", "r1h", "1 hour")
    db.execute("select silver.pause_rollup('r1h')")
    assert perform(db) == [(None, "paused", 0, 0, None)]
    assert call_run(db) == []
    assert db.execute("select * from tsconsole.due_rollups()").fetchall() == []
    # What becomes stale meanwhile is remembered.
    assert value(db, "select silver.bulk_load('raw.readings', '2025-03-01', '2025-03-02')") == 1
    db.execute("select silver.resume_rollup('r1h')")
    run(db)
    assert_true_rollup(db, "silver.r1h", HOUR)


def test_run_rollups_commits_each_step_and_raises_at_the_end(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db, 2000)
    db.execute("create table raw.broken as table raw.readings; create index on raw.broken (ts)")
    create(db, "raw.broken", "broken", "1 hour")
    create(db, "raw.readings", "r1h", "1 hour", processing_window="6 hours")
    db.execute("alter table raw.broken rename column power to strength")
    with pytest.raises(psycopg.Error) as caught:
        db.execute("call silver.run_rollups()")
    said = caught.value.diag
    assert said.sqlstate == "TS008"
    assert "steps failed; the first: column s.power does not exist (silver.broken)" \
        in said.message_primary  # fmt: skip
    assert said.message_hint
    # The good one was done, step by step, and the failure is logged.
    assert_true_rollup(connect(), "silver.r1h", HOUR)
    commits = "select count(distinct xmin::text) from silver.timeseries_refresh_log"
    assert value(db, commits) == value(db, "select count(*) from silver.timeseries_refresh_log") > 3
    assert value(db, "select count(*) from silver.timeseries_error_log") == 1


def test_run_rollups_stops_after_max_steps(db: psycopg.Connection) -> None:
    make_readings(db, 3000)
    create(db, "raw.readings", "r1h", "1 hour", processing_window="6 hours")
    assert [s["work"] for s in call_run(db, "r1h", max_steps=2)] == ["history", "history"]
    progress = db.execute("select fraction, remaining from silver.progress('r1h')").fetchone()
    assert 0 < progress[0] < 1
    assert call_run(db, "r1h", max_steps=0) == []
    call_run(db, "r1h")
    assert value(db, "select fraction from silver.progress('r1h')") == 1


@pytest.mark.parametrize("look_back", [False, True])
def test_a_run_ends_though_buckets_end_faster_than_steps(
    db: psycopg.Connection, look_back: bool
) -> None:
    make_readings(db, 50, start=value(db, "select (now() - interval '51 minutes')::text"))
    options = {"look_back_window": "1 hour", "change_tracking": "look_back"} if look_back else {}
    for number in range(12):
        create(db, "raw.readings", f"r{number}", "1 ms", **options)
    db.execute("set statement_timeout = '60 s'")
    started = time.monotonic()
    run(db)
    call_run(db)
    assert time.monotonic() - started < 60


def test_renames_of_source_and_target_need_nothing(db: psycopg.Connection) -> None:
    make_readings(db, 3000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    db.execute("update silver.timeseries_rollup_config set processing_window = '6 hours'")
    db.execute("select silver.perform_step('silver.r_1m')")
    db.execute(
        'alter table raw.readings rename to "Die Werte";'
        'alter table raw."Die Werte" set schema gold;'
        'alter table silver.r_1m rename to "Minuten";'
        'alter table silver."Minuten" set schema gold'
    )
    run(db, 'gold."Die Werte"')
    assert_true_rollup(db, 'gold."Minuten"', MINUTE, 'gold."Die Werte"', "device")
    assert_true_rollup(db, "silver.r_1h", HOUR, 'gold."Die Werte"', "device")
    assert monitor(db, 'gold."Minuten"')["health_status"] == "OK"
    names = column(db, "select table_name from silver.timeseries_refresh_log order by id desc")
    assert 'gold."Minuten"' in names


def test_tables_are_found_by_the_names_people_type(db: psycopg.Connection) -> None:
    make_readings(db, 500)
    create(db, "raw.readings", "Mixed-Case", "1 hour")
    create(db, "raw.readings", "plain", "1 hour")
    for name in ("Mixed-Case", '"Mixed-Case"', "silver.Mixed-Case", 'silver."Mixed-Case"'):
        assert perform(db, name)[0][1] in ("done", "idle"), name
    for name in ("plain", "PLAIN", "silver.plain", "readings", "raw.readings", "Silver.Plain"):
        assert perform(db, name)[0][1] in ("done", "idle"), name
        db.execute("call silver.run_rollups(%s)", [name])
    assert_true_rollup(db, 'silver."Mixed-Case"', HOUR)
    assert_true_rollup(db, "silver.plain", HOUR)


def test_custom_origins(db: psycopg.Connection) -> None:
    make_readings(db, 3000)
    origin = "2024-02-29 05:17:11Z"
    for width in ("7 minutes", "1 day", "1 week"):
        create(db, "raw.readings", width.replace(" ", ""), width, bucket_origin=origin)
    create(db, "raw.readings", "months", "1 month", bucket_origin="2024-02-15 06:00Z")
    run(db)
    for width in ("7 minutes", "1 day", "1 week"):
        bucket = f"date_bin('{width}', ts, '{origin}')"
        assert_true_rollup(db, f'silver."{width.replace(" ", "")}"', bucket)
    bucket = (
        "date_trunc('month', ts - interval '14 days 6 hours', 'UTC') + interval '14 days 6 hours'"
    )
    assert_true_rollup(db, "silver.months", bucket)


def test_two_sessions_share_a_history(db: psycopg.Connection, connect: Connect) -> None:
    make_readings(db, 20_000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    db.execute("update silver.timeseries_rollup_config set processing_window = '6 hours'")
    workers = [connect() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(20):
            rounds = list(pool.map(lambda w: call_run(w, max_steps=30), workers))
            failed = [s for results in rounds for s in results if s["outcome"] == "failed"]
            assert not failed, failed
            if not any(s["outcome"] == "done" for results in rounds for s in results):
                break
    shares = column(
        db,
        "select count(*) from silver.timeseries_refresh_log "
        "where work = 'history' and table_name = 'silver.r_1m' group by worker_pid",
    )
    assert len(shares) > 1, "one session did all of it"
    assert_true_rollup(db, "silver.r_1m", MINUTE, keys="device")
    assert_true_rollup(db, "silver.r_1h", HOUR, keys="device")
    assert value(db, "select sum(rows_read) from silver.timeseries_refresh_log "
                     "where table_name = 'silver.r_1m'") == 20_000  # fmt: skip


def test_a_rolled_back_history_step_is_done_by_the_next(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db, 6000)
    create(db, "raw.readings", "r1h", "1 hour", processing_window="20 hours")
    # One transaction that makes a partition holds the lock for that to its end.
    db.execute("select tsconsole.ensure_partitions(1, '2025-03-01', '2025-03-06')")
    first = connect(autocommit=False)
    step = "select outcome, window_start from silver.perform_step('silver.r1h')"
    outcome, newest = first.execute(step).fetchone()
    # The second takes older history meanwhile, and does not wait.
    started = time.monotonic()
    taken = [s for s in call_run(connect()) if s["outcome"] == "done"]
    assert time.monotonic() - started < 3
    assert outcome == "done"
    assert taken
    assert monitor(db, "silver.r1h")["health_status"] == "RUNNING"
    first.rollback()
    wait_until(lambda: monitor(db, "silver.r1h")["health_status"] == "OK")
    run(db)
    assert_same(
        db, f"select {HOUR}, count(*) from raw.readings group by 1",
        "select ts, rollup_count from silver.r1h",
    )  # fmt: skip
    assert value(db, "select count(*) from silver.r1h where ts >= %s", [newest]) > 0


def test_an_idle_step_writes_nothing(db: psycopg.Connection) -> None:
    """Without a transaction id nothing was written: no row, no WAL, nothing to vacuum."""
    make_readings(db, 5000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"])
    run(db)
    with db.transaction():
        assert perform(db, "silver.r_1h")[0][1] == "idle"
        assert value(db, "select pg_current_xact_id_if_assigned()") is None


@pytest.mark.parametrize("start", [None, "-infinity", "2025-03-01 00:00Z"])
@pytest.mark.parametrize("end", [None, "infinity", "2025-03-02 00:00Z"])
def test_verification_finds_a_difference(
    db: psycopg.Connection, start: str | None, end: str | None
) -> None:
    """Without a range as with one: all others that compare trust in it."""
    make_readings(db, 600)
    create(db, "raw.readings", "r", "1 hour")
    run(db)
    query = "select column_name from silver.verify_rollup('silver.r', %s, %s)"
    assert db.execute(query, [start, end]).fetchall() == []
    db.execute("update silver.r set max_power = -1 where ts = '2025-03-01 05:00Z'")
    assert db.execute(query, [start, end]).fetchall() == [("max_power",)]
