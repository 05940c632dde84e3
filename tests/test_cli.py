"""The command line on a real database: results on stdout, the rest on stderr, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import CommandLine, make_readings

from tsconsole import installer


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], database: str) -> CommandLine:
    return CommandLine(capsys, database)


def value(connection: psycopg.Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def test_help_and_version_connect_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cli = CommandLine(capsys)
    assert "Exit codes" in cli("--help").out
    assert cli("--version").out.startswith("tsconsole ")
    assert "again for each one" in cli("create", "--help").out


def test_install_print_connects_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert CommandLine(capsys)("install", "--print").out == installer.print_sql()


def test_install_then_again(capsys: pytest.CaptureFixture[str], empty_database: str) -> None:
    cli = CommandLine(capsys, empty_database)
    first = cli("install")
    assert first.code == 0 and first.out.startswith("The core was absent; ")
    again = json.loads(cli("install", "--json").out)
    assert again == {"was": "current", "applied": [], "state": "current"}


def test_options_stand_before_or_after_the_command(
    capsys: pytest.CaptureFixture[str], database: str
) -> None:
    cli = CommandLine(capsys)
    for arguments in (
        ("--dsn", database, "--json", "status"),
        ("status", "--json", "--dsn", database),
        ("--json", "status", "--dsn", database),
    ):
        assert json.loads(cli(*arguments).out)["operations"] == []


def test_a_profile_instead_of_a_dsn(
    capsys: pytest.CaptureFixture[str], database: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'default_profile = "here"\n[profiles.here]\ndsn = "{database}"\n')
    assert CommandLine(capsys)("status", "--config", str(config)).code == 0


def test_libpq_s_environment_when_nothing_is_said(
    capsys: pytest.CaptureFixture[str], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"host": "PGHOST", "user": "PGUSER", "dbname": "PGDATABASE"}
    for name, text in psycopg.conninfo.conninfo_to_dict(database).items():
        monkeypatch.setenv(names[name], str(text))
    assert CommandLine(capsys)("status").code == 0


def test_status_without_rollups(cli: CommandLine) -> None:
    ended = cli("status")
    assert ended.code == 0 and "`tsconsole create` makes the first" in ended.out


def test_create_run_status_verify(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    created = cli("create", "raw.readings", "silver.readings_1h", "1h", "--dimension", "device")
    assert (created.code, created.out) == (0, "Created silver.readings_1h.\n"), created.err
    ran = cli("run", "silver.readings_1h")
    assert ran.code == 0 and "silver.readings_1h" in ran.out and "3 000" in ran.out
    assert value(db, "select sum(rollup_count) from silver.readings_1h") == 3000
    status = cli("status")
    assert status.code == 0 and "✓ OK" in status.out and "silver.readings_1h" in status.out
    verified = cli("verify")
    assert (verified.code, verified.out) == (0, "silver.readings_1h is exact.\n")


def test_a_ladder_as_json(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    ladder = ("raw.readings", "silver.r", "--ladder", "1m,1h,1d", "--dimension", "device")
    created = json.loads(cli("create", *ladder, "--retention", "9000d,never,never", "--json").out)
    assert created["targets"] == [
        "silver.r_1m",
        "silver.r_1h",
        "silver.r_1d",
    ]
    assert "silver.create_rollup_ladder(" in created["sql"] and created["dry_run"] is False
    ran = json.loads(cli("run", "raw.readings", "--json").out)
    assert {step["outcome"] for step in ran["steps"]} <= {"done", "idle"}
    assert [rollup["target_table"] for rollup in ran["rollups"]] == created["targets"]
    status = json.loads(cli("status", "--json").out)
    assert {row["health_status"] for row in status["operations"]} == {"OK"}
    verified = json.loads(cli("verify", "raw.readings", "--json").out)
    assert verified["verified"] == created["targets"]
    assert not any(verified["differences"].values())
    retention = value(
        db, "select retention_period::text from silver.timeseries_rollup_config order by id"
    )
    assert retention == "9000 days"


def test_every_option_of_create_arrives(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    ended = cli(
        *("create", "raw.readings", "silver.x", "1d", "--time-column", "ts", "--no-dimensions"),
        *("--measure", "temperature=min,max", "--measure", "temperature=last", "--paused"),
        *("--timezone", "Europe/Berlin", "--look-back", "30d", "--allowed-lateness", "1m"),
        *("--refresh-interval", "1h", "--processing-window", "7d", "--chunk-interval", "30d"),
        *("--retention", "900d", "--source-retention", "500d", "--alert-threshold", "2h"),
        *("--max-execution-time", "10m", "--max-retries", "3", "--change-tracking", "look_back"),
        *("--partition-manager", "native"),
    )
    assert ended.code == 0, ended.err
    row = db.execute(
        "select timezone, look_back_window::text, allowed_lateness::text, refresh_interval::text,"
        " processing_window::text, chunk_interval::text, retention_period::text,"
        " source_retention::text, alert_threshold::text, max_execution_time::text, max_retries,"
        " change_tracking, is_active from silver.timeseries_rollup_config"
    ).fetchone()
    assert row == (
        *("Europe/Berlin", "30 days", "00:01:00", "01:00:00", "7 days", "30 days", "900 days"),
        *("500 days", "02:00:00", "00:10:00", 3, "look_back", False),
    )
    columns = db.execute("select * from silver.x limit 0").description or []
    assert {"ts", "min_temperature", "max_temperature", "last_temperature"} <= {
        column.name for column in columns
    }


def test_dry_run_shows_the_sql_and_changes_nothing(
    cli: CommandLine, db: psycopg.Connection
) -> None:
    make_readings(db)
    before = value(db, "select count(*) from pg_class")
    ended = cli(
        "create", "raw.readings", "silver.x", "5m", "--measure", "temperature=max", "--dry-run"
    )
    assert ended.code == 0 and "nothing was changed" in ended.err
    assert value(db, "select count(*) from pg_class") == before
    db.execute(ended.out.encode())  # What is shown is what would run.
    assert value(db, "select target_table::text from silver.timeseries_rollup_config") == "silver.x"


def test_a_failing_rollup(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    assert cli("create", "raw.readings", "silver.x", "1h").code == 0
    db.execute("alter table silver.x add constraint wrong check (rollup_count < 0)")
    ran = cli("run", "silver.x")
    assert ran.code == 1 and "retry 1 of 8" in ran.out and 'constraint "wrong"' in ran.out
    status = cli("status")
    assert status.code == 1 and "! WARNING" in status.out
    failed = json.loads(cli("retry", "silver.x", "--json").out)
    assert "failed" in {step["outcome"] for step in failed["steps"]}
    db.execute("alter table silver.x drop constraint wrong")
    assert cli("retry", "silver.x").code == 0
    assert cli("run", "silver.x").code == 0
    assert cli("status").code == 0
    assert cli("retry").out == "Nothing was due.\n"


def test_verify_says_what_it_did_not_compare(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    cli("create", "raw.readings", "silver.x", "1h", "--dimension", "device")
    ended = cli("verify", "silver.x")
    assert ended.code == 0
    waiting = value(db, "select tsconsole.in_words(sum(hi - lo)) from tsconsole.pending_1")
    left_out = f"{waiting} of silver.x wait to be computed, and were left out"
    assert f"note: {left_out}\n" in ended.err
    assert json.loads(cli("verify", "silver.x", "--json").out)["notices"] == [left_out]
    cli("run")
    assert cli("verify", "silver.x").err == ""
    from_time = ["--from", "2025-03-01T06:10Z", "--to", "2025-03-01T08:00Z"]
    assert "was widened to whole buckets of silver.x" in cli("verify", "silver.x", *from_time).err


def test_verify_finds_what_was_changed_by_hand(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    cli("create", "raw.readings", "silver.x", "1h", "--dimension", "device")
    cli("run")
    db.execute("update silver.x set max_temperature = 1000 where ts = '2025-03-01 05:00Z'")
    ended = cli("verify", "silver.x")
    assert ended.code == 1 and "max_temperature" in ended.out and "1000" in ended.out
    assert "silver.x differs in 3 values." in ended.out
    found = json.loads(cli("verify", "silver.x", "--json").out)["differences"]["silver.x"]
    assert {one["column_name"] for one in found} == {"max_temperature"}
    assert cli("verify", "silver.x", "--from", "2025-03-01T06:00Z").code == 0
    assert cli("verify", "silver.x", "--to", "2025-03-01T06:00+00").code == 1
    ended = cli("verify", "silver.x", "--repair")
    assert ended.code == 1 and "silver.x: 1 buckets are queued" in ended.out
    assert json.loads(cli("verify", "silver.x", "--json", "--repair").out)["queued"] == {}
    cli("run")
    assert cli("verify", "silver.x", "--repair").code == 0


def test_maintain(cli: CommandLine, db: psycopg.Connection) -> None:
    make_readings(db)
    cli("create", "raw.readings", "silver.x", "1h")
    cli("run")
    ended = cli("maintain")
    assert ended.code == 0 and "silver.x" in ended.out, ended
    tasks = json.loads(cli("maintain", "silver.x", "--json").out)["tasks"]
    assert {task["outcome"] for task in tasks} <= {"done", "skipped"}
    some = cli("maintain", "silver.x", "--task", "premake", "--task", "analyze")
    assert some.code == 0 and "premake" in some.out and "watchdog" not in some.out
    plan = json.loads(cli("maintain", "--list", "--json").out)["tasks"]
    assert plan[0]["task"] == "watchdog" and len(plan) == 8
    shown = cli("maintain", "--list")
    assert "NEXT RUN" in shown.out and "there are partitions to" in shown.out
    refused = cli("maintain", "--task", "dust")
    assert refused.code == 2 and "no maintenance task 'dust'" in refused.err


def test_doctor(cli: CommandLine) -> None:
    ended = cli("doctor")
    assert ended.code == 0 and "statement_timeout" in ended.out, ended
    names = {one["name"] for one in json.loads(cli("doctor", "--json").out)["findings"]}
    assert {"server", "role", "core", "extension pg_cron", "connections"} <= names


def start(database: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tsconsole", *arguments, "--dsn", database],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts a job in the background lets it ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_ends_with_one_line(database: str, db: psycopg.Connection) -> None:
    with db.transaction():
        db.execute(f"select pg_advisory_xact_lock({installer.LOCK_KEY})")
        process = start(database, "install")
        wait_until(
            db, "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted"
        )
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "tsconsole: interrupted.\n")


def test_ctrl_c_lets_the_step_in_hand_end(database: str, db: psycopg.Connection) -> None:
    make_readings(db)
    db.execute(
        "select silver.create_rollup_table('raw.readings', 'silver.x', '1 minute',"
        " processing_window => '5 minutes', chunk_interval => '30 days')"
    )
    process = start(database, "run", "silver.x")
    wait_until(db, "select count(*) > 2 from silver.timeseries_refresh_log")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "tsconsole: interrupted."
    assert value(db, "select count(*) from silver.timeseries_error_log") == 0


def wait_until(connection: psycopg.Connection, query: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not value(connection, query):
        assert time.monotonic() < deadline, query
        time.sleep(0.02)


def test_a_reader_that_has_seen_enough(database: str) -> None:
    command = f"{sys.executable} -m tsconsole install --print | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.stdout.startswith("-- tsconsole") and done.stderr == ""
