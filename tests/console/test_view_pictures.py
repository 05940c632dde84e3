"""Pictures of the screens of one topic each, from made-up rows. Look at them before accepting."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.pictures import settle
from console.states import NOW, FixedServer, server_gone, until
from console.test_snapshots import MIDDLE, NARROW, WIDE, at_monitor
from tsconsole import operations
from tsconsole.models import (
    ActivityMinute,
    CronJob,
    CronRun,
    ExpiredPartition,
    IndexAdvice,
    MaintenanceEntry,
    PartitionStat,
    PartitionState,
    PlannedTask,
    Retention,
    RollupActivity,
    ScheduledRollup,
    ScheduleSnapshot,
    TaskOutcome,
    WorkerStatus,
)
from tsconsole.screens.reader import ReaderScreen

pytestmark = pytest.mark.skipif(
    os.environ.get("TSCONSOLE_TEST_POSTGRES", "18") != "18"
    or bool(os.environ.get("TSCONSOLE_TEST_DSN")),
    reason="the other pictures are those of the embedded PostgreSQL 18",
)

KEYS = {"partitions": "5", "maintenance": "6", "schedule": "7", "indexes": "8", "activity": "9"}
TARGETS = (
    "silver.meters_1m", "silver.meters_1h", "gold.billing_1h", "silver.flows_1m",
    "silver.pressure_sensors_north_plant_1h",
)  # fmt: skip
TABLES = [
    Retention("raw.meters", True, "14 days", "archive"),
    *(Retention(name, False, "90 days", "drop") for name in reversed(TARGETS)),
]


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def partitions() -> list[PartitionStat]:
    found = []
    for day in range(2, -98, -6):
        start = datetime(2026, 3, 14, tzinfo=timezone.utc) + timedelta(days=day)
        state: PartitionState = "premade" if day > 0 else "open" if day > -6 else "closed"
        state = "expired" if day < -90 else state
        rows = 0 if day > 0 else 144_000 + (day * 7919) % 60_000
        size = 24_576 + rows * 92
        found.append(PartitionStat(
            f"silver.meters_1m_p{start:%Y%m%d}", start, start + timedelta(days=6), rows,
            ago(hours=2),
            int(size * 0.7), int(size * 0.3), size, 92.4 if rows else None, (day * 31) % 300,
            ago(days=1) if rows else None, ago(hours=3) if rows else None, state,
        ))  # fmt: skip
    return found


def tasks() -> list[PlannedTask]:
    purposes = {
        "premake": "make the partitions of the coming windows",
        "retention": "take away partitions that are older than retention",
        "analyze": "refresh the statistics of partitions that changed",
        "indexes": "repair missing and invalid indexes",
    }
    found = []
    for number, target in enumerate(TARGETS, start=1):
        for position, (task, purpose) in enumerate(purposes.items()):
            outcome: TaskOutcome = ("done", "skipped", "skipped", "done")[(number + position) % 4]
            detail: str | None = "2 partitions made, up to 2026-03-20"
            is_due = number == 2 and task == "analyze"
            if number == 3 and task == "indexes":
                outcome, detail = "failed", "canceling statement due to lock timeout"
            elif outcome == "skipped":
                detail = None
            is_wanted = not (task == "retention" and number == 4)
            found.append(PlannedTask(
                number, target, task, purpose, "01:00:00", ago(minutes=7 * number + position),
                timedelta(milliseconds=17 * number + 40 * position), outcome, detail,
                (ago(minutes=1) if is_due else NOW + timedelta(minutes=9 * number))
                if is_wanted else None, is_due,
            ))  # fmt: skip
    return found


def log() -> list[MaintenanceEntry]:
    rows: list[tuple[str, str, TaskOutcome, str, int]] = [
        ("gold.billing_1h", "indexes", "failed", "canceling statement due to lock timeout", 3),
        ("silver.meters_1m", "premake", "done", "2 partitions made, up to 2026-03-20", 1),
        ("silver.meters_1m", "analyze", "skipped", "nothing changed enough", 41),
    ]
    return [
        MaintenanceEntry(
            number, number, target, task, outcome, detail, ago(minutes=7 * number + 1),
            ago(minutes=7 * number), timedelta(milliseconds=420 * number), runs, 77,
        )
        for number, (target, task, outcome, detail, runs) in enumerate(rows, start=1)
    ]  # fmt: skip


def schedule() -> ScheduleSnapshot:
    work: list[list[Any]] = [[], ["frontier", "recompute"], ["frontier"], [], ["history"]]
    rollups = [
        ScheduledRollup(
            number, "raw.meters", target, number != 4, "00:01:00" if number < 3 else "01:00:00",
            ago(minutes=number * 3),
            ago(minutes=12) if number == 3 else NOW + timedelta(seconds=40 * number),
            work[number - 1], NOW + timedelta(seconds=161) if number == 3 else None,
            4711 if number == 2 else None, ago(seconds=41) if number == 2 else None,
        )
        for number, target in enumerate(TARGETS, start=1)
    ]  # fmt: skip
    workers = [
        WorkerStatus(1, "etl-7", "etl-7", 4242, "0.1.0", 4, 3, 2, ago(hours=30), ago(seconds=2),
                     81_204, 3, "silver.meters_1m frontier"),
        WorkerStatus(2, "etl-8", "etl-8", 515, "0.1.0", 2, 2, 0, ago(hours=9), ago(minutes=4),
                     7_310, 0, None),
    ]  # fmt: skip
    jobs = [
        CronJob("tsconsole iot rollups", "* * * * *", "call silver.run_rollups()", "iot", True,
                "succeeded", "CALL", ago(seconds=50), ago(seconds=48)),
        CronJob("tsconsole iot maintenance", "*/5 * * * *", "call silver.run_maintenance()", "iot",
                True, "failed", "canceling statement", ago(minutes=2), ago(minutes=2)),
    ]  # fmt: skip
    runs = [CronRun("tsconsole iot rollups", "succeeded", "CALL", ago(minutes=n), ago(minutes=n))
            for n in range(1, 5)]  # fmt: skip
    return ScheduleSnapshot(NOW, tuple(rollups), tuple(workers), "here", tuple(jobs), tuple(runs))


def advice() -> list[IndexAdvice]:
    return [
        IndexAdvice("raw.meters", "create", "dimensions", "raw.meters_device_ts_idx",
                    "(device, ts)", 84_210.0, 1_204.0, 402_653_184,
                    "the live view reads one series at a time; with it, it reads only that series",
                    "create index concurrently meters_device_ts_idx on raw.meters (device, ts);"),
        IndexAdvice("raw.meters", "create", "brin", "raw.meters_ts_brin", "using brin (ts)",
                    84_210.0, 22_801.0, 196_608,
                    "rows lie in the order of time: an index of 192 kB is enough for steps",
                    "create index concurrently meters_ts_brin on raw.meters using brin (ts);"),
        IndexAdvice("raw.meters", "drop", "duplicate", "raw.twice", None, None, None, 18_874_368,
                    "it has the same columns as raw.meters_ts_idx, and costs every insert",
                    "drop index concurrently raw.twice;"),
        IndexAdvice("raw.meters", "note", "hypopg", None, None, None, None, None,
                    "costs were measured with hypopg 1.4", None),
    ]  # fmt: skip


def rollup_activity() -> list[RollupActivity]:
    return [
        RollupActivity(
            target, 60 // number, 720_000 // number**2, 12_000 // number, 310 * (number % 2),
            8 * (number == 3), timedelta(milliseconds=120 * number),
            timedelta(milliseconds=900 * number), timedelta(seconds=19 * number**2),
        )
        for number, target in enumerate(TARGETS, start=1)
    ]  # fmt: skip


def minutes() -> list[ActivityMinute]:
    begin = NOW.replace(second=0)
    return [
        ActivityMinute(
            begin - timedelta(minutes=n), 700_000 + (n * 7919) % 400_000, (n % 7 == 0) * n * 13,
            int(20 < n < 27), timedelta(seconds=20 + (n * 31) % 40),
        )
        for n in range(60)
    ]  # fmt: skip


@pytest.fixture
def topics(
    console: MakeConsole, fixed_server: FixedServer, monkeypatch: pytest.MonkeyPatch
) -> MakeConsole:
    """Consoles that find the rows above."""
    gone = ExpiredPartition(
        "silver.meters_1m", "silver.meters_1m_p20251210", ago(days=94), ago(days=88), 14_000_000,
        "drop", "older than 90 days",
    )  # fmt: skip
    kept = ExpiredPartition(
        "silver.meters_1m", "silver.meters_1m_p20251204", ago(days=100), ago(days=94), 13_000_000,
        "keep", "silver.meters_1h has only come to 2025-12-08",
    )  # fmt: skip
    found = {
        "partitions_overview": (TABLES, partitions()), "maintenance_overview": (tasks(), log()),
        "schedule_snapshot": schedule(), "advice_overview": (TABLES, advice()),
        "expired_partitions": [gone, kept],
        "hour_overview": (minutes(), rollup_activity()),
    }  # fmt: skip
    for name, rows in found.items():

        async def call(*_: Any, rows: Any = rows, **__: Any) -> Any:
            return rows

        monkeypatch.setattr(operations, name, call)

    def make(*rest: Any, **options: Any) -> Any:
        app = console(*rest, **options)
        # The hour is known already, and under this clock it stays fresh.
        app.session.activity.add(minutes(), NOW, 1000.0)
        return app

    return make


def at(topic: str, *keys: str) -> Any:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press(KEYS[topic])
        await until(pilot, lambda: getattr(pilot.app.screen, "data", None) is not None)
        await settle(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    return before


@pytest.mark.parametrize("size", [NARROW, MIDDLE, WIDE])
@pytest.mark.parametrize("topic", list(KEYS))
def test_full(snap_compare: Any, topics: MakeConsole, topic: str, size: tuple[int, int]) -> None:
    assert snap_compare(topics(), terminal_size=size, run_before=at(topic))


@pytest.mark.parametrize("topic", list(KEYS))
def test_empty(
    snap_compare: Any, console: MakeConsole, fixed_server: FixedServer, topic: str
) -> None:
    assert snap_compare(console(), terminal_size=NARROW, run_before=at(topic))


@pytest.mark.parametrize("topic", list(KEYS))
def test_read_only(snap_compare: Any, topics: MakeConsole, topic: str) -> None:
    app = topics(read_only=True)
    assert snap_compare(app, terminal_size=MIDDLE, run_before=at(topic))


@pytest.mark.parametrize("topic", list(KEYS))
def test_server_lost(
    snap_compare: Any, topics: MakeConsole, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at(topic)(pilot)

        for name in ("partitions_overview", "maintenance_overview", "schedule_snapshot",
                     "advice_overview", "hour_overview"):  # fmt: skip
            monkeypatch.setattr(operations, name, server_gone)
        await pilot.press("ctrl+r")
        screen: Any = pilot.app.screen
        await until(pilot, lambda: screen.failure is not None)
        await settle(pilot)

    assert snap_compare(topics(), terminal_size=NARROW, run_before=before)


def test_problems_of_maintenance(snap_compare: Any, topics: MakeConsole) -> None:
    before = at("maintenance", "exclamation_mark", "S")
    assert snap_compare(topics(), terminal_size=MIDDLE, run_before=before)


def test_dry_run_of_retention(snap_compare: Any, topics: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at("partitions", "d")(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, ReaderScreen))
        await settle(pilot)

    assert snap_compare(topics(), terminal_size=MIDDLE, run_before=before)


@pytest.mark.parametrize(
    ("topic", "keys"),
    [("partitions", "i"), ("partitions", "c"), ("schedule", "k"), ("indexes", "b")],
)
def test_dialogs(snap_compare: Any, topics: MakeConsole, topic: str, keys: str) -> None:
    assert snap_compare(topics(), terminal_size=NARROW, run_before=at(topic, keys))


def test_palette(snap_compare: Any, topics: MakeConsole) -> None:
    before = at("schedule", "colon", *"pgcron")  # few match: the picture outlives new actions
    assert snap_compare(topics(), terminal_size=MIDDLE, run_before=before)


def test_f1(snap_compare: Any, topics: MakeConsole) -> None:
    before = at("maintenance", "f1")
    assert snap_compare(topics(), terminal_size=MIDDLE, run_before=before)
