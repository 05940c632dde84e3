"""Maintenance acts, says what it did, and stays out of the way of readers and steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]
TASKS = [
    "watchdog",
    "log_pruning",
    "indexes",
    "analyze",
    "vacuum",
    "interval",
    "premake",
    "retention",
]
DUPLICATE = (
    "insert into silver.m_1h (ts, device, rollup_count)"
    " select ts, device, rollup_count from silver.m_1h limit 1"
)
PARTITIONS = "select count(*) from tsconsole.partitions('silver.m_1h')"


def run(db: Connection, table: str) -> None:
    outcomes = db.execute("select outcome, error_message from silver.perform_rollup(%s)", [table])
    assert {row[0] for row in outcomes.fetchall()} <= {"done", "idle"}


def maintain(db: Connection, table: str | None = "silver.m_1h") -> dict[str, tuple[str, str]]:
    """Outcome and detail of every task of the first target."""
    rows = db.execute(
        "select target_table, task, outcome, detail, duration"
        " from silver.maintain_timeseries_tables(%s::text)",
        [table],
    ).fetchall()
    assert all(row[4] >= timedelta(0) for row in rows)
    return {row[1]: (row[2], row[3]) for row in rows if row[0] == rows[0][0]}


def one(db: Connection, query: str, *arguments: Any) -> Any:
    row = db.execute(query, arguments).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_every_task_says_what_it_did(hourly: Connection) -> None:
    """One row a task, in order; a second run finds nothing left to do."""
    first = maintain(hourly)
    assert list(first) == TASKS
    assert {task: outcome for task, (outcome, _) in first.items()} == {
        task: "skipped" if task == "retention" else "done" for task in TASKS
    }
    assert first["retention"][1] == "no retention_period: rows are kept for ever"
    second = maintain(hourly)
    assert second["premake"][1].startswith("made 0 partitions")
    assert second["indexes"][1] == "all indexes are there and valid"


def test_one_target_a_source_or_all(hourly: Connection) -> None:
    """A source means all rollups on it and their ladders."""
    hourly.execute("select silver.create_rollup_table('silver.m_1h', 'm_1d', '1 day')")
    count = "select count(distinct target_table) from silver.maintain_timeseries_tables({})"
    assert one(hourly, count.format("'silver.m_1d'")) == 1
    assert one(hourly, count.format("'raw.m'")) == 2
    assert one(hourly, count.format("")) == 2
    with pytest.raises(psycopg.Error) as failure:
        hourly.execute("select silver.maintain_timeseries_tables('silver.timeseries_refresh_log')")
    assert failure.value.sqlstate == "TS002"


def test_premake(hourly: Connection) -> None:
    """Partitions for now and the next two intervals."""
    before = one(hourly, PARTITIONS)
    outcome, detail = maintain(hourly)["premake"]
    assert outcome == "done"
    assert one(hourly, PARTITIONS) - before == int(detail.split()[1])
    ahead = "select count(*) from silver.get_partition_stats('silver.m_1h') where state = 'premade'"
    assert one(hourly, ahead) == 2
    assert one(
        hourly,
        "select max(range_end) > now() + interval '2 days'"
        " from tsconsole.partitions('silver.m_1h')",
    )


def test_premake_waits_for_the_first_row(db: Connection) -> None:
    """An empty source makes no partitions."""
    db.execute("create table raw.m (ts timestamptz, v int)")
    db.execute("select silver.create_rollup_table('raw.m', 'm_1h', '1 hour')")
    assert maintain(db)["premake"] == ("skipped", "the source has no rows yet")
    assert one(db, PARTITIONS) == 0


def set_retention(db: Connection, period: str, target: str = "silver.m_1h") -> None:
    db.execute(
        "update silver.timeseries_rollup_config set retention_period = %s::interval"
        " where target_table = %s::text::regclass",
        [period, target],
    )


def test_retention_drops_what_expired(hourly: Connection) -> None:
    """Whole partitions, only those that end before the period; retained_from says so."""
    set_retention(hourly, "10 days")
    expired = one(
        hourly,
        "select count(*) from silver.get_partition_stats('silver.m_1h') where state = 'expired'",
    )
    since = one(hourly, "select now() - interval '10 days'")
    rows = "select * from silver.m_1h where ts >= %s order by ts, device"
    kept = hourly.execute(rows, [since]).fetchall()
    before = one(hourly, PARTITIONS)
    gone = 0
    while gone < expired:
        # On a slow machine one call does not get through all in the time that it may hold locks.
        outcome, detail = maintain(hourly)["retention"]
        assert outcome == "done", detail
        went = detail.split("; ")[0].count("silver.m_1h_p")
        assert went > 0, detail
        gone += went
    assert gone == expired > 25
    # Made ahead: in the first hour of a day today's, too.
    assert one(hourly, PARTITIONS) <= before - expired + 3
    assert hourly.execute(rows, [since]).fetchall() == kept
    assert one(
        hourly,
        "select retained_from = (select min(range_start) from tsconsole.partitions('silver.m_1h'))"
        "   and retained_from <= now() - interval '10 days'"
        "   and retained_from > now() - interval '11 days 1 hour'"
        " from silver.timeseries_rollup_config",
    )
    assert maintain(hourly)["retention"][1] == "no partition is older than 10 days"
    # What was dropped is not computed again, nor called a difference.
    hourly.execute("select silver.invalidate('silver.m_1h', now() - interval '30 days', now())")
    run(hourly, "silver.m_1h")
    assert one(
        hourly,
        "select min(ts) >= (select retained_from from silver.timeseries_rollup_config)"
        " from silver.m_1h",
    )
    assert hourly.execute("select * from silver.verify_rollup('silver.m_1h')").fetchall() == []


def test_retention_waits_for_a_reader(hourly: Connection) -> None:
    """Never below what a reading rollup still has to read; the detail names it."""
    set_retention(hourly, "10 days")
    hourly.execute("select silver.create_rollup_table('silver.m_1h', 'm_1d', '1 day')")
    before = one(hourly, PARTITIONS)
    hourly.execute("select silver.pause_rollup('silver.m_1d')")
    outcome, detail = maintain(hourly)["retention"]
    assert outcome == "skipped"
    assert "silver.m_1d still has to compute buckets from" in detail
    # Made ahead: in the first hour of a day today's, too.
    assert one(hourly, PARTITIONS) in (before + 2, before + 3)
    hourly.execute("select silver.resume_rollup('silver.m_1d')")
    run(hourly, "silver.m_1d")
    total = one(hourly, "select sum(rollup_count) from silver.m_1d")
    assert maintain(hourly)["retention"][0] == "done"
    assert one(hourly, PARTITIONS) < 15
    hourly.execute("select silver.invalidate('silver.m_1d', now() - interval '39 days', now())")
    run(hourly, "silver.m_1d")
    assert one(hourly, "select sum(rollup_count) from silver.m_1d") == total


def test_retention_waits_for_a_reader_that_is_behind(hourly: Connection) -> None:
    """A watermark below the partition's end keeps the partition."""
    set_retention(hourly, "10 days")
    hourly.execute("select silver.create_rollup_table('silver.m_1h', 'm_1d', '1 day')")
    run(hourly, "silver.m_1d")
    hourly.execute(
        "update silver.timeseries_rollup_config set is_active = false,"
        " last_processed_time = date_trunc('day', now(), 'UTC') - interval '20 days'"
        " where target_name = 'silver.m_1d'"
    )
    _, detail = maintain(hourly)["retention"]
    assert "silver.m_1d has only come to" in detail
    assert "and is paused" in detail
    assert one(
        hourly,
        "select min(range_end) > now() - interval '20 days 1 hour' - interval '1 day'"
        " from tsconsole.partitions('silver.m_1h')",
    )


def test_retention_never_drops_what_the_rollup_has_yet_to_write(hourly: Connection) -> None:
    """A pending range of the rollup itself keeps its partitions."""
    set_retention(hourly, "10 days")
    hourly.execute("select silver.invalidate('silver.m_1h', now() - interval '41 days', now())")
    outcome, detail = maintain(hourly)["retention"]
    assert outcome == "skipped"
    assert "silver.m_1h still has to compute" in detail


def test_retention_gives_way_to_readers(hourly: Connection, connect: Connect) -> None:
    """A reader in a long transaction: given up after three short tries, and nobody waited long."""
    set_retention(hourly, "10 days")
    reader, probe = connect(autocommit=False), connect()
    reader.execute("select count(*) from silver.m_1h")
    waits: list[float] = []
    stop = threading.Event()

    def keep_reading() -> None:
        while not stop.is_set():
            started = time.monotonic()
            probe.execute("select count(*) from silver.m_1h")
            waits.append(time.monotonic() - started)
            time.sleep(0.01)

    thread = threading.Thread(target=keep_reading)
    thread.start()
    outcome, detail = maintain(hourly)["retention"]
    stop.set()
    thread.join()
    assert outcome == "skipped"
    assert "its lock was not to be had in 200 ms" in detail
    assert max(waits) < 1
    reader.rollback()
    assert maintain(hourly)["retention"][0] == "done"


def test_analyze_only_what_changed(hourly: Connection) -> None:
    """Statistics are fresh afterwards, those of the partitioned table too; then nothing is left."""
    hourly.execute("select pg_stat_force_next_flush()")
    hourly.execute(
        "update silver.m_1h set rollup_count = rollup_count where ts > now() - interval '3 days'"
    )
    hourly.execute("select pg_stat_force_next_flush()")
    outcome, detail = maintain(hourly)["analyze"]
    assert outcome == "done"
    assert "silver.m_1h_p" in detail
    assert detail.endswith("silver.m_1h")
    rows = one(hourly, "select count(*) from silver.m_1h")
    assert one(hourly, "select reltuples from pg_class where oid = 'silver.m_1h'::regclass") == rows
    assert maintain(hourly)["analyze"][1] == "no partition has changed since it was analyzed"


def test_missing_unique_index_is_made_again(hourly: Connection) -> None:
    hourly.execute("drop index silver.m_1h_ts_device_idx")
    outcome, detail = maintain(hourly)["indexes"]
    assert outcome == "done"
    assert "created" in detail
    with pytest.raises(psycopg.errors.UniqueViolation):
        hourly.execute(DUPLICATE)


def test_a_failing_task_does_not_stop_the_next(hourly: Connection) -> None:
    """It is logged with its SQLSTATE, and what follows is done."""
    hourly.execute("drop index silver.m_1h_ts_device_idx")
    hourly.execute(DUPLICATE)
    result = maintain(hourly)
    assert list(result) == TASKS
    assert result["indexes"][0] == "failed"
    assert {result[task][0] for task in ("analyze", "premake")} == {"done"}
    logged = one(
        hourly,
        "select work, sql_state, target_table, error_detail is not null, attempted_query"
        " from silver.timeseries_error_log order by id desc limit 1",
    )
    assert logged == ("maintenance", "23505", "silver.m_1h", True, "maintenance task indexes")


def test_invalid_index_of_a_partition_is_rebuilt(hourly: Connection) -> None:
    """What a failed CREATE INDEX CONCURRENTLY leaves behind."""
    # The fullest: shortly before midnight the oldest day has a single hour.
    part = one(
        hourly,
        "select tableoid::regclass::text from silver.m_1h"
        " group by 1 order by count(*) desc limit 1",
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        hourly.execute(f"create unique index concurrently broken on {part} (device)")
    hourly.execute(
        f"delete from {part} a using {part} b where a.device = b.device and a.ctid > b.ctid"
    )
    outcome, detail = maintain(hourly)["indexes"]
    assert outcome == "done"
    assert detail == "rebuilt silver.broken"
    assert one(
        hourly, "select indisvalid from pg_index where indexrelid = 'silver.broken'::regclass"
    )


def test_an_index_that_lacks_partitions_is_left(hourly: Connection) -> None:
    """Somebody may be building it partition by partition; the unique one nobody is."""
    hourly.execute("create index half on only silver.m_1h (device)")
    assert maintain(hourly)["indexes"] == ("done", "left silver.half, which lacks partitions")
    hourly.execute(
        "drop index silver.m_1h_ts_device_idx;"
        "create unique index u on only silver.m_1h (ts, device) nulls not distinct"
    )
    assert "dropped the invalid silver.u" in maintain(hourly)["indexes"][1]
    assert one(hourly, "select to_regclass('silver.half') is not null")


def test_log_pruning(hourly: Connection) -> None:
    """By age and by number; the latest runs and the error of a waiting retry stay."""
    [[rollup]] = hourly.execute("select id from silver.timeseries_rollup_config").fetchall()
    hourly.execute("delete from silver.timeseries_refresh_log")
    for days, count in ((60, 40), (5, 5)):
        hourly.execute(
            "insert into silver.timeseries_refresh_log"
            " (rollup_id, table_name, start_time, end_time, records_processed)"
            " select id, 'silver.m_1h', now() - %s * interval '1 day',"
            " now() - %s * interval '1 day', 1"
            " from generate_series(1, %s), (values (%s::bigint), (null), (999)) v (id)",
            [days, days, count, rollup],
        )
    hourly.execute(
        "insert into silver.timeseries_error_log"
        " (rollup_id, source_table, target_table, error_message, error_timestamp)"
        " select %s, 'raw.m', 'silver.m_1h', 'e',"
        " now() - (case when i <= 10 then 40 else 1 end) * interval '1 day'"
        " from generate_series(1, 1510) i",
        [rollup],
    )
    hourly.execute(
        "insert into tsconsole.retry (rollup_id, work, retry_count, last_error_time, error_id)"
        " select %s, 'history', 1, now(), min(id) from silver.timeseries_error_log",
        [rollup],
    )
    outcome, detail = maintain(hourly)["log_pruning"]
    assert outcome == "done"
    assert detail.startswith("deleted 105 runs, 509 errors and 0 entries of maintenance")
    kept = (
        "select count(*) from silver.timeseries_refresh_log where rollup_id is not distinct from {}"
    )
    assert one(hourly, kept.format(rollup)) == 20
    assert one(hourly, kept.format("null")) == 5
    assert one(hourly, kept.format(999)) == 5
    assert one(hourly, "select count(*) from silver.timeseries_error_log") == 1001


def test_watchdog_cancels_a_step_that_runs_too_long(hourly: Connection, connect: Connect) -> None:
    """max_execution_time is enforced from outside too; a step within it is left alone."""
    [[rollup]] = hourly.execute("select id from silver.timeseries_rollup_config").fetchall()
    step = connect(autocommit=False)
    pid = one(step, "select pg_backend_pid()")
    step.rollback()
    ended: list[str | None] = []

    def run_for_long() -> None:
        try:
            step.execute(
                "select pg_sleep(60) from (select pg_advisory_xact_lock("
                "tsconsole.lock_class('frontier'), %s::integer) offset 0) claim",
                [rollup],
            )
        except psycopg.Error as error:
            ended.append(error.sqlstate)

    hourly.execute(
        "insert into tsconsole.attempt (rollup_id, work, pid, started_at)"
        " values (%s, 'frontier', %s, now() - interval '70 minutes')",
        [rollup, pid],
    )
    thread = threading.Thread(target=run_for_long)
    thread.start()
    for _ in range(200):
        if one(hourly, "select count(*) from tsconsole.running_steps()") == 1:
            break
        time.sleep(0.02)
    hourly.execute("update silver.timeseries_rollup_config set max_execution_time = '2 hours'")
    assert maintain(hourly)["watchdog"][1] == "no step runs longer than 02:00:00"
    assert thread.is_alive()
    hourly.execute("update silver.timeseries_rollup_config set max_execution_time = '1 hour'")
    assert maintain(hourly)["watchdog"][1].startswith(f"cancelled pid {pid}, running since")
    thread.join(timeout=20)
    assert ended == ["57014"]


def test_safe_from_two_places_at_once(hourly: Connection, connect: Connect) -> None:
    """The second is told that the first is at it, and waits for nothing."""
    with connect(autocommit=False) as other:
        other.execute("select * from silver.maintain_timeseries_tables('silver.m_1h')")
        result = maintain(hourly)
        assert list(result) == TASKS
        assert {outcome for outcome, _ in result.values()} == {"skipped"}
        assert "busy" in result["premake"][1]


def test_a_dropped_target_is_said_so(hourly: Connection) -> None:
    hourly.execute("drop table silver.m_1h cascade")
    result = maintain(hourly, None)
    assert result["premake"] == ("skipped", "target silver.m_1h was dropped")
    assert result["log_pruning"][0] == "done"
