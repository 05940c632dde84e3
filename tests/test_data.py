"""The data explorer reads what GROUP BY says, from the level that suits the range."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from sql.support import create, create_ladder, make_readings, run

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.models import DataSeries
from tsconsole.models.explorer import View, Window, first_window

pytestmark = pytest.mark.sql

START = datetime(2025, 3, 1, tzinfo=timezone.utc)
Connection = psycopg.AsyncConnection[Any]


def window(**span: float) -> Window:
    return Window(START, START + timedelta(**span), False)


@pytest.fixture
async def ladder(database: str, db: psycopg.Connection) -> AsyncIterator[Connection]:
    """Ten days of minutes of three devices, by minute, hour and day; late rows are pending."""
    make_readings(db, 14_400)
    create_ladder(
        db, "raw.readings", "r", ["1 minute", "1 hour", "1 day"], dimensions=["device", "site"]
    )
    run(db)
    db.execute("insert into raw.readings values ('2025-03-01 05:00:30Z', 'd1', 1, 1000, 1000)")
    async with connected(Settings(database)) as connection:
        yield connection


async def series(connection: Connection, view: View, points: int, **how: Any) -> DataSeries:
    levels = await operations.data_levels(connection, view.target)
    return await operations.data_series(connection, levels, view, points, **how)


def expected(db: psycopg.Connection, aggregate: str, bucket: str, view: View, where: str) -> Any:
    found = db.execute(
        f"select {bucket}, ({aggregate})::float8 from raw.readings"
        f" where ts >= %s and ts < %s and {where} group by 1 order by 1",
        [view.window.start, view.window.end],
    ).fetchall()
    assert found
    return found


@pytest.mark.parametrize(
    ("measure", "aggregate"),
    [("avg_temperature", "avg(temperature)"), ("min_power", "min(power)"),
     ("max_power", "max(power)"), ("sum_power", "sum(power)"), ("count_power", "count(power)"),
     ("rollup_count", "count(*)")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("span", "level", "bucket"),
    [({"hours": 3}, "silver.r_1m", "date_trunc('minute', ts)"),
     ({"days": 2}, "silver.r_1h", "date_trunc('hour', ts)"),
     ({"days": 10}, "silver.r_1d", "date_trunc('day', ts, 'UTC')")],
)  # fmt: skip
async def test_points_are_what_group_by_says(
    ladder: Connection, db: psycopg.Connection, measure: str, aggregate: str,
    span: dict[str, float], level: str, bucket: str,
) -> None:  # fmt: skip
    for filters, where in (
        ({}, "true"),
        ({"device": "d1", "site": "1"}, "device = 'd1' and site = 1"),
    ):
        view = View("silver.r_1h", measure, window(**span), filters)
        found = await series(ladder, view, 200)
        assert found.level.target == level
        assert [(p.time, p.value) for p in found.points] == [
            (time, pytest.approx(value, rel=1e-9))
            for time, value in expected(db, aggregate, bucket, view, where)
        ]


async def test_the_statement_that_is_shown_gives_the_same(
    ladder: Connection, db: psycopg.Connection
) -> None:
    view = View("silver.r_1h", "avg_temperature", window(days=2), {"device": "d1"})
    found = await series(ladder, view, 200)
    assert db.execute(found.statement.encode()).fetchall() == [
        (point.time, point.value, point.rows) for point in found.points
    ]


async def test_a_screen_of_points_whatever_the_range(
    ladder: Connection, db: psycopg.Connection
) -> None:
    for days in (1, 10, 400, 36_500):
        view = View("silver.r_1m", "sum_power", Window(START - timedelta(days=days / 2),
                    START + timedelta(days=days / 2), False))  # fmt: skip
        found = await series(ladder, view, 100)
        assert 0 < len(found.points) <= 102
        assert sum(p.value or 0 for p in found.points) <= db.execute(
            "select sum(power) from raw.readings").fetchone()[0]  # fmt: skip
    assert found.width > timedelta(days=1)


async def test_a_value_with_null_and_quotes(ladder: Connection, db: psycopg.Connection) -> None:
    name = "it's %s; drop"
    db.execute(
        "insert into raw.readings values ('2025-03-01 05:00:30Z', null, 1, 7, 7),"
        " ('2025-03-01 05:00:30Z', %s, 1, 9, 9)", [name],
    )  # fmt: skip
    levels = await operations.data_levels(ladder, "silver.r_1h")
    view = View("silver.r_1h", "sum_power", window(days=1))
    run(db)
    assert await operations.data_values(ladder, levels, view, "device") == [
        "d0", "d1", "d2", name, None,
    ]  # fmt: skip
    for value, total in ((None, 7), (name, 9)):
        one = View("silver.r_1h", "sum_power", window(days=1), {"device": value})
        found = await series(ladder, one, 100)
        assert [point.value for point in found.points] == [total]
        assert db.execute(found.statement.encode()).fetchone()[1] == total  # type: ignore[index]


async def test_without_live_only_what_is_stored(ladder: Connection, db: psycopg.Connection) -> None:
    # A late row that no step has taken up yet.
    view = View("silver.r_1h", "count_power", window(hours=20))
    live = await series(ladder, view, 30)
    stored = await series(ladder, view, 30, live=False)
    assert live.level.target == stored.level.target == "silver.r_1h"
    assert sum(point.value or 0 for point in live.points) == 20 * 60 + 1
    assert sum(point.value or 0 for point in stored.points) == 20 * 60


@pytest.mark.parametrize("kind", ["timestamp", "date"])
async def test_times_without_a_zone(database: str, db: psycopg.Connection, kind: str) -> None:
    db.execute(f"create table raw.d (ts {kind}, v int)")
    db.execute("insert into raw.d select timestamp '2025-03-01' + i * interval '1 day', i"
               " from generate_series(0, 9) i")  # fmt: skip
    create(db, "raw.d", "d_1d", "1 day")
    run(db)
    view = View("silver.d_1d", "sum_v", window(days=5))
    async with connected(Settings(database)) as connection:
        for live in (True, False):
            found = await series(connection, view, 100, live=live)
            assert [(p.time, p.value) for p in found.points] == [
                (START + timedelta(days=i), i) for i in range(5)
            ]


def test_zooming_and_panning() -> None:
    now = START + timedelta(days=100)
    one = first_window(now, timedelta(hours=1), 100)
    assert (one.span, one.end, one.follows) == (timedelta(hours=100), now, True)
    assert one.zoomed(0.5).end == now and one.zoomed(0.5).span == timedelta(hours=50)
    back = one.panned(-0.5, now)
    assert back.end == now - timedelta(hours=50) and not back.follows
    assert back.zoomed(0.5).start == back.start + timedelta(hours=25)
    assert back.panned(0.25, now).span == back.span
    again = back.panned(2, now)
    assert again.follows and again.end == now
    assert again.moved(now + timedelta(hours=1)).end == now + timedelta(hours=1)
    assert back.moved(now + timedelta(hours=1)) == back
    far = one
    for _ in range(60):
        far = far.zoomed(2).panned(-1, now)
    assert far.start.year >= 1
