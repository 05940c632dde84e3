"""Errors are acknowledged in groups, and the query that failed is explained."""

from __future__ import annotations

import psycopg
import pytest
from sql.support import create, make_readings, perform, value


@pytest.fixture
def failed(db: psycopg.Connection) -> psycopg.Connection:
    """silver.r1h has failed three times, silver.other_1h once, each by dividing by zero."""
    make_readings(db)
    db.execute("create view raw.ratio as select ts, device, 1 / (power - power) as r"
               " from raw.readings")  # fmt: skip
    create(db, "raw.ratio", "r1h", "1 hour")
    create(db, "raw.ratio", "other_1h", "1 hour")
    for target in ("silver.r1h", "silver.r1h", "silver.r1h", "silver.other_1h"):
        db.execute("update tsconsole.retry set next_retry_time = now() - interval '1 s'")
        assert perform(db, target)[-1][1] == "failed"
    return db


def test_acknowledge_an_error_and_the_earlier_ones_like_it(failed: psycopg.Connection) -> None:
    second = value(
        failed, "select id from silver.timeseries_error_log order by id limit 1 offset 1"
    )
    assert value(failed, "select silver.acknowledge_error(%s)", [second]) == 2
    assert value(failed, "select silver.acknowledge_error(%s)", [second]) == 0
    seen = failed.execute(
        "select target_table, count(*) filter (where acknowledged_at is not null),"
        " max(acknowledged_by), count(*) from silver.timeseries_error_log group by 1 order by 1"
    ).fetchall()
    me = failed.info.user
    assert seen == [("silver.other_1h", 0, None, 1), ("silver.r1h", 2, me, 3)]
    assert value(failed, "select silver.acknowledge_error()") == 2
    assert value(failed, "select count(*) from tsconsole.retry") == 2, "they are still retried"


def test_explain_what_failed(failed: psycopg.Connection) -> None:
    error = value(failed, "select max(id) from silver.timeseries_error_log")
    plan = [line for (line,) in failed.execute("select silver.explain_error(%s)", [error])]
    assert any("Insert on" in line for line in plan) and any("readings" in line for line in plan)
    failed.execute("alter table raw.readings rename column power to strength")
    assert failed.execute("select silver.explain_error(%s)", [error]).fetchall()
    failed.execute("drop view raw.ratio cascade")
    with pytest.raises(psycopg.Error):
        failed.execute("select silver.explain_error(%s)", [error])


def test_the_log_is_not_executed(failed: psycopg.Connection) -> None:
    failed.execute("update silver.timeseries_error_log"
                   " set attempted_query = 'select 1; create table raw.harm (x int)'")  # fmt: skip
    error = value(failed, "select max(id) from silver.timeseries_error_log")
    failed.execute("select silver.explain_error(%s)", [error])
    assert value(failed, "select to_regclass('raw.harm')") is None


@pytest.mark.parametrize("function", ["acknowledge_error", "explain_error"])
def test_an_unknown_error(failed: psycopg.Connection, function: str) -> None:
    with pytest.raises(psycopg.Error, match="error 4711 is not in the log") as error:
        failed.execute(f"select silver.{function}(4711)")
    assert error.value.sqlstate == "TS002"


def test_what_has_no_query_is_not_explained(failed: psycopg.Connection) -> None:
    error = value(failed, "select max(id) from silver.timeseries_error_log")
    failed.execute(
        "update silver.timeseries_error_log set work = 'maintenance' where id = %s", [error]
    )
    with pytest.raises(psycopg.Error, match="of no query over a window") as caught:
        failed.execute("select silver.explain_error(%s)", [error])
    assert caught.value.sqlstate == "TS004"
    failed.execute("update silver.timeseries_error_log set work = 'frontier', rollup_id = 4711")
    with pytest.raises(psycopg.Error, match="was dropped") as caught:
        failed.execute("select silver.explain_error(%s)", [error])
    assert caught.value.sqlstate == "TS002"
