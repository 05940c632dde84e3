"""Recording and replay: the same screens show the same data again, and a file can be damaged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from console.conftest import MakeConsole
from console.operator import Operator
from console.states import until
from tsconsole import operations
from tsconsole.config import ConsoleConfig
from tsconsole.database import Database, Settings
from tsconsole.errors import ConfigError, ConnectionLost
from tsconsole.models import ActivityMinute, MonitorSnapshot, SchemaState
from tsconsole.recording.recorder import Recorder
from tsconsole.recording.replay import Replay
from tsconsole.recording.replay_app import ReplayConsole
from tsconsole.recording.tape_format import Rows, decode
from tsconsole.screens.details import RUNS, DetailsScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.widgets.header import Header


@dataclass(frozen=True)
class Unknown:
    x: int = 1


NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "text", [1, (2, "x")], {"a": Decimal("1.50"), 3: None}, NOON,
        date(2026, 3, 1), timedelta(days=-1, microseconds=7), SchemaState.CURRENT,
        MonitorSnapshot(NOON, (), (), (), "silver.x"),
    ],
)  # fmt: skip
def test_what_is_written_is_read(value: Any) -> None:
    rows = Rows()
    assert decode(rows.encode(value), rows.new) == value


def test_only_models_are_read_back() -> None:
    rows = Rows()
    encoded = rows.encode(Unknown())
    with pytest.raises(LookupError):
        decode(encoded, rows.new)


async def record(database: str, file: Path, db: psycopg.Connection) -> list[Any]:
    """Three moments: all well, one paused, the server gone."""
    now = [1_000_000.0]
    recorder = Recorder(file, clock=lambda: now[0])
    seen = []
    async with Database(Settings(database), tape=recorder) as pool:
        for action in ("", "select silver.pause_rollup('silver.b_1h'::regclass)"):
            if action:
                db.execute(action)
            async with pool.connection() as connection:
                await operations.server_info(connection)
                seen.append(
                    await operations.monitor_snapshot(connection, "silver.b_1h", error_limit=100)
                )
                await operations.rollup_details(connection, "silver.b_1h", RUNS)
            now[0] += 30
    recorder.note("connect", (), ConnectionLost("Connection refused"))
    recorder.close()
    return seen


async def test_a_replay_answers_what_was_recorded(
    rollups: psycopg.Connection, database: str, tmp_path: Path
) -> None:
    seen = await record(database, tmp_path / "tape", rollups)
    replay = Replay(tmp_path / "tape")
    assert len(replay.moments) == 3
    async with replay.connection() as connection:
        for expected in seen:
            found = await operations.monitor_snapshot(connection, "silver.b_1h", error_limit=7)
            assert replace(found, activity=None) == replace(expected, activity=None)
            replay.step(1)
        found = await operations.monitor_snapshot(connection, "silver.b_1d")
        assert found.partitions == () and found.selected_target == "silver.b_1d"
        with pytest.raises(operations.OperationError, match="nothing of this"):
            await operations.detailed_stats(connection)
    with pytest.raises(ConnectionLost, match="refused"):
        async with replay.connection():
            pass
    assert replay.seek(-30) and replay.seek(-1) and not replay.seek(-60)
    assert replay.step(10**6) and not replay.step(1)


async def test_the_last_hour_is_put_together_from_what_was_read_piece_by_piece(
    tmp_path: Path,
) -> None:
    now = [0.0]
    recorder = Recorder(tmp_path / "tape", clock=lambda: now[0])
    for number in range(3):
        now[0] = number * 3000.0
        minute = ActivityMinute(NOON + timedelta(seconds=now[0]), number, 0, 0, None)
        snapshot = MonitorSnapshot(NOON, (), (), (), None, activity=(minute,))
        recorder.note("monitor_snapshot", (), snapshot)
    recorder.close()
    replay = Replay(tmp_path / "tape")
    seen = []
    async with replay.connection() as connection:
        for _ in range(3):
            found = await operations.monitor_snapshot(connection)
            seen.append([one.rows_read for one in found.activity or ()])
            replay.seek(60)  # Nothing is that near: then to the next moment.
    assert seen == [[0], [0, 1], [1, 2]]


async def test_errors_that_were_not_asked_for_are_those_seen_before(tmp_path: Path) -> None:
    now = [0.0]
    recorder = Recorder(tmp_path / "tape", clock=lambda: now[0])
    seen: list[Any] = []
    for errors in (None, (), None):
        now[0] += 60
        recorder.note("monitor_snapshot", (), MonitorSnapshot(NOON, (), (), errors, None))
    recorder.close()
    replay = Replay(tmp_path / "tape")
    async with replay.connection() as connection:
        for _ in range(3):
            seen.append((await operations.monitor_snapshot(connection)).errors)
            replay.step(1)
    assert seen == [None, (), ()]


async def test_a_replay_in_the_console(
    rollups: psycopg.Connection, database: str, tmp_path: Path
) -> None:
    await record(database, tmp_path / "tape", rollups)
    app = ReplayConsole(Replay(tmp_path / "tape"), ConsoleConfig())
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        assert operator.status("silver.b_1h").health_status != "PAUSED"
        assert "REPLAY" in str(app.screen.query_one(Header).content)
        await operator.press("right_square_bracket")
        await operator.until(lambda: operator.status("silver.b_1h").health_status == "PAUSED")
        await operator.press("r")
        await operator.until(lambda: any("this is a recording" in said for said in operator.said))
        await operator.press("greater_than_sign")
        await operator.until(lambda: operator.monitor.failure is not None)
        await operator.press("less_than_sign")
        await operator.until(lambda: operator.monitor.failure is None)
        paused = operator.status("silver.b_1h")
        assert paused is not None and operator.monitor.operations_pane.select(paused)
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        details = app.screen
        assert isinstance(details, DetailsScreen)
        await operator.until(lambda: details._details is not None or details.failure is not None)
        assert details.failure is None, details.failure
        await operator.press("escape")
        await operator.until(lambda: isinstance(app.screen, MonitorScreen))


async def test_the_console_records(
    console: MakeConsole, rollups: psycopg.Connection, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "tape")
    app = console(recorder=recorder)
    async with app.run_test() as pilot:
        await Operator(app, pilot).at_monitor()
        await until(pilot, lambda: app.session.snapshot is not None)
        shown = app.session.snapshot
    recorder.close()
    replay = Replay(tmp_path / "tape")
    found = []
    async with replay.connection() as connection:
        for _ in replay.moments:
            snapshot = await operations.monitor_snapshot(connection)
            found.append([rollup.target_table for rollup in snapshot.operations])
            replay.step(1)
    assert shown is not None
    assert found[-1] == [rollup.target_table for rollup in shown.operations]
    assert replay.server() is not None


def test_a_recording_is_bounded_and_stays_readable(tmp_path: Path) -> None:
    now = [0.0]
    recorder = Recorder(tmp_path / "tape", limit=40_000, clock=lambda: now[0])
    for number in range(3000):
        now[0] += 1
        recorder.note("server_info", (), f"{number} " + str(hash(str(number))) * 20)
    recorder.close()
    assert (tmp_path / "tape").stat().st_size < 80_000
    replay = Replay(tmp_path / "tape")
    assert replay.moments[-1] == 3000 and 0 < replay.moments[0] < 2900
    replay.step(10**6)
    assert str(replay.server()).startswith("2999 ")


def test_a_recording_that_was_cut_off_is_read_to_its_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tape")
    for number in range(50):
        recorder.note("server_info", (), number)
    whole = (tmp_path / "tape").read_bytes()  # Not closed: the program was killed.
    for end in (len(whole), len(whole) - 3):
        (tmp_path / f"cut{end}").write_bytes(whole[:end])
        assert Replay(tmp_path / f"cut{end}").server() is not None


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", b"\x00" * 99])
def test_what_is_no_recording_is_said_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigError, match=r"is no recording|nothing in it"):
        Replay(tmp_path / "file")


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        Recorder(tmp_path / "file")
    with pytest.raises(ConfigError, match="Cannot write"):
        Recorder(tmp_path / "no" / "file")
    with pytest.raises(ConfigError, match="There is no file"):
        Replay(tmp_path / "missing")


async def test_a_disk_that_is_full_ends_the_recording_only(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tape")
    recorder._file.close()

    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    assert await recorder.call("x", (), answer) == 7
    assert recorder.fault is not None and "cannot be written" in recorder.fault
