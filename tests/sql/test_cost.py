"""Windows follow what steps cost: learned, looked ahead, predicted, and narrower under load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from .support import (
    assert_verified,
    column,
    create,
    create_ladder,
    make_readings,
    perform,
    value,
)

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


def log_runs(db: Connection, runs: list[tuple[int, float, int]], work: str = "history") -> None:
    """Runs that took (hours, seconds, rows), oldest first."""
    for hours, seconds, rows in runs:
        db.execute(
            "insert into silver.timeseries_refresh_log (rollup_id, table_name, work, start_time,"
            " end_time, records_processed, window_start, window_end, rows_read, rows_written)"
            " select id, target_name, %s, now(), now() + %s * interval '1 s', %s,"
            " timestamptz '2025-03-01 00:00Z',"
            " timestamptz '2025-03-01 00:00Z' + %s * interval '1 hour', %s, 0"
            " from silver.timeseries_rollup_config",
            [work, seconds, rows, hours, rows],
        )


def window(db: Connection, work: str = "history", edge: str | None = None) -> float:
    """The next window in hours."""
    return float(
        value(
            db,
            "select extract(epoch from tsconsole.learned_window(c, %s, %s, '-infinity')) / 3600"
            " from silver.timeseries_rollup_config as c",
            [work, edge],
        )
    )


@pytest.fixture
def rollup(db: Connection) -> Connection:
    make_readings(db)
    create(db, "raw.readings", "readings_1h", "1 hour", chunk_interval="1 month")
    return db


def test_the_window_aims_at_five_seconds(rollup: Connection) -> None:
    log_runs(rollup, [(10, 1.0, 600)] * 5)
    assert window(rollup) == pytest.approx(40, rel=0.01)  # at most 4 times the last
    log_runs(rollup, [(40, 4.0, 2400)] * 3)
    assert window(rollup) == pytest.approx(50, rel=0.05)


def test_a_slow_step_narrows_the_next_window_at_once(rollup: Connection) -> None:
    log_runs(rollup, [(50, 5.0, 3000)] * 8)
    assert window(rollup) == pytest.approx(50, rel=0.01)
    log_runs(rollup, [(50, 20.0, 3000)])
    assert window(rollup) < 25
    log_runs(rollup, [(20, 8.0, 1200)])
    assert window(rollup) < 20
    log_runs(rollup, [(12, 1.2, 720)] * 6)
    assert window(rollup) == pytest.approx(48, rel=0.1)


def test_however_thin_the_data_a_window_is_at_most_50_partitions_wide(db: Connection) -> None:
    make_readings(db)
    create(
        db, "raw.readings", "r", "1 hour", chunk_interval="1 day", processing_window="10000 days"
    )
    log_runs(db, [(1000, 0.01, 60)] * 5)
    assert window(db) == 50 * 24


def test_the_fixed_part_is_told_apart(rollup: Connection) -> None:
    log_runs(rollup, [(1, 1.1, 60), (10, 2.0, 600), (20, 3.0, 1200), (2, 1.2, 120)])
    model = rollup.execute(
        "select overhead, seconds_per_unit from silver.timeseries_rollup_config as c,"
        " tsconsole.cost_model(c, 'history')"
    ).fetchone()
    assert model == pytest.approx((1.0, 1 / 600), rel=0.05)


def test_the_aim_can_be_set(rollup: Connection) -> None:
    log_runs(rollup, [(50, 5.0, 3000)] * 3)
    rollup.execute("set tsconsole.step_aim = '500ms'")
    assert window(rollup) == pytest.approx(5, rel=0.01)


def test_it_looks_ahead_where_the_rate_changes(db: Connection) -> None:
    """100 times as many rows below an edge: the window is 100 times as narrow, before any step."""
    make_readings(db)
    db.execute(
        "insert into raw.readings select timestamptz '2025-02-01 00:00Z' + i * interval '0.6 s',"
        " 'd' || i % 3, 0, 1, 1 from generate_series(0, 29999) as i"
    )
    db.execute("analyze raw.readings")
    create(db, "raw.readings", "readings_1m", "1 minute", chunk_interval="1 month")
    log_runs(db, [(10, 5.0, 600)] * 3)
    sparse = window(db, edge="2025-03-03 00:00Z")
    dense = window(db, edge="2025-02-01 04:00Z")
    assert sparse == pytest.approx(10, rel=0.3)
    assert dense == pytest.approx(0.1, rel=0.3)
    # Across the edge as many rows again, the gap between included.
    assert window(db, edge="2025-03-01 05:00Z") > 24 * 15


def test_a_worker_leaves_half_of_the_history_to_the_others(rollup: Connection) -> None:
    """50 hours are left: half of them, unless all of them are half a step, or nobody else works."""
    rollup.execute("analyze raw.readings")
    end = "2025-03-03 02:00Z"
    log_runs(rollup, [(20, 2.0, 1200)] * 3)
    assert window(rollup) == pytest.approx(50, rel=0.01)
    assert window(rollup, edge=end) == pytest.approx(50, rel=0.1)
    rollup.execute("update silver.timeseries_refresh_log set worker_pid = 1")
    assert window(rollup, edge=end) == pytest.approx(25, rel=0.2)
    assert window(rollup, edge="2025-03-02 01:00Z") >= 25
    log_runs(rollup, [(20, 0.1, 1200)] * 8)
    assert window(rollup, edge=end) >= 50


def test_who_has_a_claim_shares_the_history_too(rollup: Connection, connect: Connect) -> None:
    shared = "select tsconsole.is_shared(c) from silver.timeseries_rollup_config as c"
    assert value(rollup, shared) is False
    other = connect(autocommit=False)
    other.execute("select tsconsole.claim(id, 'history') from silver.timeseries_rollup_config")
    assert value(rollup, shared) is True
    other.rollback()
    assert value(rollup, shared) is False


def test_a_planner_that_was_wrong_is_not_heeded(rollup: Connection) -> None:
    rollup.execute("analyze raw.readings")
    log_runs(rollup, [(30, 5.0, 1800)] * 3)
    factor = (
        "select planner_factor from silver.timeseries_rollup_config as c,"
        " tsconsole.cost_model(c, 'history')"
    )
    assert value(rollup, factor) == 1
    rollup.execute("update silver.timeseries_refresh_log set estimated_rows = 1000")
    assert value(rollup, factor) == pytest.approx(1.8, rel=0.01)
    rollup.execute("update silver.timeseries_refresh_log set estimated_rows = 10")
    assert value(rollup, factor) is None
    assert window(rollup, edge="2025-03-03 00:00Z") == window(rollup)


def test_what_was_predicted_is_logged(rollup: Connection) -> None:
    """From the second step on, and the answer of step_costs says how good it was."""
    rollup.execute("analyze raw.readings")
    rollup.execute("update silver.timeseries_rollup_config set processing_window = '10 hours'")
    perform(rollup)
    assert_verified(rollup, "silver.readings_1h")
    logged = rollup.execute(
        "select predicted_duration is null, rows_read, estimated_rows"
        " from silver.timeseries_refresh_log where work = 'history' order by id"
    ).fetchall()
    assert [row[0] for row in logged] == [True] + [False] * (len(logged) - 1)
    assert len(logged) > 3
    first = logged[0]
    assert first[1] / 2 < first[2] < first[1] * 2
    [costs] = rollup.execute(
        "select work, runs, aim, last_predicted is not null, typical_ratio"
        " from silver.step_costs('silver.readings_1h') where work = 'history'"
    ).fetchall()
    assert costs[0] == "history" and costs[1] >= 4 and costs[3]
    assert 0.05 < costs[4] < 20


def test_slowdown_is_the_median_of_the_last_half_minute(rollup: Connection) -> None:
    assert value(rollup, "select tsconsole.slowdown()") is None
    log_runs(rollup, [(1, 1.0, 1), (1, 2.0, 1), (1, 9.0, 1)])
    rollup.execute(
        "update silver.timeseries_refresh_log set predicted_duration = '1 s',"
        " start_time = start_time - duration, end_time = end_time - duration"
    )
    assert value(rollup, "select tsconsole.slowdown()") == 2
    rollup.execute(
        "update silver.timeseries_refresh_log set start_time = start_time - interval '1 minute',"
        " end_time = end_time - interval '1 minute'"
    )
    assert value(rollup, "select tsconsole.slowdown()") is None


def test_a_backlog_of_late_rows_is_not_compared_pair_by_pair(db: psycopg.Connection) -> None:
    """What a late range must wait for is gathered once: else its step takes quadratic time."""
    make_readings(db, 0)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"])
    for level in ("silver.r_1m", "silver.r_1h"):
        condition = value(
            db, "select tsconsole.eligible(tsconsole.rollup(%s), 'recompute')", [level]
        )
        pending = value(db, "select tsconsole.pending_table((tsconsole.rollup(%s)).id)", [level])
        query = f"explain select p.lo from {pending} p where {condition.replace('$1', 'now()')}"
        plan = "\n".join(column(db, query))
        assert "InitPlan" in plan
        assert "Join" not in plan and "Nested Loop" not in plan, plan
