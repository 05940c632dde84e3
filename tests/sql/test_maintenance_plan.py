"""The tasks of maintenance as a plan: what each said, when it is due, one or all, two at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from .support import refuse, value

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


def tasks(db: Connection, what: str = "task", where: str = "true") -> list[Any]:
    query = f"select {what} from silver.timeseries_maintenance_tasks where {where}"
    return [row[0] if len(row) == 1 else row for row in db.execute(query.encode()).fetchall()]


def call(db: Connection, *arguments: Any) -> list[dict[str, Any]]:
    places = ", ".join(["%s"] * len(arguments) + ["results => null"])
    row = db.execute(f"call silver.run_maintenance({places})".encode(), arguments).fetchone()
    assert row is not None
    results: list[dict[str, Any]] = row[0]
    return results


def make_everything_due(db: Connection) -> None:
    db.execute(
        "update silver.timeseries_rollup_config set created_at = created_at - interval '2 days'"
    )
    db.execute(
        "update silver.timeseries_maintenance_log"
        " set start_time = start_time - interval '2 days', end_time = end_time - interval '2 days'"
    )


def test_what_a_task_said_is_in_the_log(hourly: Connection) -> None:
    said = hourly.execute(
        "select target_table, task, outcome, detail from silver.maintain_timeseries_tables()"
    ).fetchall()
    logged = hourly.execute(
        "select target_table, task, outcome, detail from silver.timeseries_maintenance_log"
        " where duration >= '0' and worker_pid = pg_backend_pid() order by id"
    ).fetchall()
    assert logged == said
    assert len(logged) == 8


def test_what_is_said_again_is_counted(hourly: Connection) -> None:
    """A task that has nothing to do adds nothing to the log but its time."""
    for _ in range(3):
        hourly.execute(
            "select * from silver.maintain_timeseries_tables('silver.m_1h', '{watchdog}')"
        )
    rows = hourly.execute(
        "select runs, end_time > now() - interval '1 minute' from silver.timeseries_maintenance_log"
    ).fetchall()
    assert rows == [(3, True)]


def test_one_task_or_some_in_the_plans_order(hourly: Connection) -> None:
    query = "select task from silver.maintain_timeseries_tables(%s::text, %s)"
    some = hourly.execute(query, ["silver.m_1h", ["premake", "analyze"]]).fetchall()
    assert some == [("analyze",), ("premake",)]
    assert hourly.execute(query, ["raw.m", ["vacuum"]]).fetchall() == [("vacuum",)]
    by_oid = "select task from silver.maintain_timeseries_tables('silver.m_1h'::regclass, %s)"
    assert hourly.execute(by_oid, [["watchdog"]]).fetchall() == [("watchdog",)]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("{}", "tasks is empty"),
        ("{dust}", "there is no maintenance task 'dust'"),
        ("{analyze,NULL}", "there is no maintenance task null"),
    ],
)
def test_tasks_that_do_not_exist_are_refused(hourly: Connection, wanted: str, message: str) -> None:
    statement = "select silver.maintain_timeseries_tables('silver.m_1h', %s::text[])"
    said = refuse(hourly, statement, [wanted], "TS001", message)
    assert "watchdog, log_pruning" in (said.message_hint or "")
    with pytest.raises(psycopg.Error) as failure:
        call(hourly, None, wanted)
    assert failure.value.sqlstate == "TS001"


def test_last_and_next_run(hourly: Connection) -> None:
    """The first is due an interval after creation, the next one after the last; none for ever."""
    assert tasks(hourly, "task", "is_due") == []
    assert tasks(hourly, "task", "next_run is null") == ["retention"]
    assert tasks(hourly, "next_run > now() and last_run is null", "task = 'premake'") == [True]
    make_everything_due(hourly)
    assert len(tasks(hourly, "task", "is_due")) == 7
    call(hourly)
    assert tasks(hourly, "task", "is_due") == []
    assert (
        tasks(
            hourly,
            "next_run = last_run + run_every and last_outcome = 'done' and last_detail <> ''",
            "task <> 'retention'",
        )
        == [True] * 7
    )
    # What says the same again is one entry with the last: that has run now, too.
    make_everything_due(hourly)
    call(hourly)
    assert tasks(hourly, "task", "is_due") == []
    hourly.execute("update silver.timeseries_rollup_config set retention_period = '10 days'")
    assert tasks(hourly, "next_run is null", "task = 'retention'") == [False]


def test_procedure_runs_what_is_due_and_commits_each(hourly: Connection, connect: Connect) -> None:
    """While the last task waits for nothing, another session sees what the first ones said."""
    assert call(hourly) == []
    made = call(hourly, "silver.m_1h", ["premake", "watchdog"], False)
    assert [(one["task"], one["outcome"]) for one in made] == [
        ("watchdog", "done"),
        ("premake", "done"),
    ]
    make_everything_due(hourly)
    assert [one["task"] for one in call(hourly)] == [
        "watchdog",
        "log_pruning",
        "indexes",
        "analyze",
        "vacuum",
        "interval",
        "premake",
    ]
    with pytest.raises(psycopg.Error) as failure:
        call(hourly, "raw.nothing")
    assert failure.value.sqlstate == "TS002"


def test_a_task_that_fails_is_logged_and_stops_nothing(hourly: Connection) -> None:
    hourly.execute("drop index silver.m_1h_ts_device_idx")
    hourly.execute(
        "insert into silver.m_1h (ts, device, rollup_count)"
        " select ts, device, rollup_count from silver.m_1h limit 1"
    )
    results = call(hourly, None, None, False)
    outcome = {one["task"]: one["outcome"] for one in results}
    assert outcome["indexes"] == "failed"
    assert outcome["premake"] == outcome["analyze"] == "done"
    assert tasks(hourly, "last_outcome", "task = 'indexes'") == ["failed"]
    assert "duplicated" in value(
        hourly,
        "select e.error_detail || l.detail from silver.timeseries_error_log e,"
        " silver.timeseries_maintenance_log l where l.outcome = 'failed'",
    )


def test_two_sessions_at_once(hourly: Connection, connect: Connect) -> None:
    """The second waits for nothing, says busy, and logs nothing: the task has not run."""
    with connect(autocommit=False) as other:
        other.execute("select * from silver.maintain_timeseries_tables(null::text, '{analyze}')")
        [result] = call(hourly, None, ["analyze"], False)
        assert result["outcome"] == "skipped"
        assert result["detail"].startswith("busy")
        assert value(hourly, "select count(*) from silver.timeseries_maintenance_log") == 0
    assert value(hourly, "select count(*) from silver.timeseries_maintenance_log") == 1


def test_the_log_is_pruned_by_age_and_number(hourly: Connection) -> None:
    """The last of each task stays, however old: it says when the next is due."""
    rollup = value(hourly, "select id from silver.timeseries_rollup_config")
    insert = (
        "insert into silver.timeseries_maintenance_log"
        " (rollup_id, target_table, task, outcome, detail, start_time, end_time)"
        " select %s, 'silver.m_1h', %s, 'done', i::text, now() - %s * interval '1 day',"
        " now() - %s * interval '1 day' from generate_series(1, %s) i"
    )
    hourly.execute(insert, [rollup, "indexes", 40, 40, 5])
    hourly.execute(insert, [999, "indexes", 40, 40, 5])
    hourly.execute(insert, [rollup, "premake", 1, 1, 1200])
    [result] = call(hourly, None, ["log_pruning"], False)
    assert "and 209 entries of maintenance" in result["detail"]
    kept = "select task, count(*) from silver.timeseries_maintenance_log group by 1 order by 1"
    assert hourly.execute(kept).fetchall() == [
        ("indexes", 1),
        ("log_pruning", 1),
        ("premake", 1000),
    ]


def test_vacuum_names_tables_with_dead_rows(hourly: Connection) -> None:
    assert call(hourly, None, ["vacuum"], False)[0]["detail"] == "no table has many dead rows"
    pending = value(
        hourly, "select tsconsole.pending_table(id) from silver.timeseries_rollup_config"
    )
    hourly.execute(f"alter table {pending} set (autovacuum_enabled = off)")
    hourly.execute(
        f"insert into {pending} (lo, hi, all_series, kind)"
        " select timestamptz '2001-01-01' + i * interval '1 hour',"
        " timestamptz '2001-01-01' + (i + 1) * interval '1 hour', true, 'l'"
        " from generate_series(1, 11000) i"
    )
    hourly.execute(f"delete from {pending}")
    hourly.execute("select pg_stat_force_next_flush()")
    detail = call(hourly, None, ["vacuum"], False)[0]["detail"]
    assert "dead rows beside 0. Run: vacuum (analyze) " + pending in detail


def test_interval_narrows_what_grew_too_big(hourly: Connection) -> None:
    """Small partitions stay as they are wanted, with a word about it."""
    said = call(hourly, None, ["interval"], False)[0]["detail"]
    assert said.startswith("stays 1 day; silver.optimize_chunk_interval would choose")
    assert value(hourly, "select chunk_interval::text from silver.timeseries_rollup_config") == (
        "1 day"
    )
    hourly.execute("update silver.timeseries_rollup_config set chunk_interval = '10000 years'")
    said = call(hourly, None, ["interval"], False)[0]["detail"]
    assert said.startswith("changed from 10000 years to ")
    assert value(
        hourly, "select chunk_interval < '1000 years' from silver.timeseries_rollup_config"
    )
