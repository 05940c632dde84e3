"""Being away and coming back: what is remembered, other profiles, a server that hangs or fails."""

from __future__ import annotations

import asyncio
import doctest
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole import memory, operations
from tsconsole.app import TsConsole
from tsconsole.cli import main
from tsconsole.config import load_config, settings_for
from tsconsole.database import Settings, connected
from tsconsole.memory import KEPT_PROFILES, Memory, default_path
from tsconsole.operations import monitoring
from tsconsole.polling import Poller, PollFailure
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.details import DetailsScreen


async def test_the_last_screen_filter_and_order_come_back(
    console: MakeConsole, rollups: psycopg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "state" / "console.json"
    app = console(memory=file)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("slash", *"1d", "enter", "s", "S")
        kept = operator.monitor.view
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        app.exit()
    assert kept.filter == "1d"
    assert "silver.b_1d" in file.read_text()
    app = console(memory=file)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        assert operator.subject.target_table == "silver.b_1d"
        await operator.press("escape")
        assert operator.monitor.view == kept


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"profiles": 3}', '{"profiles": {"p": 3}}', "\x00\xff" * 100,
        "[" * 100_000, '{"profiles": {"p": {"monitor": [1], "screen": "x"}}}',
        '{"profiles": {"p": {"monitor": {"order": 99, "filter": 3}, "screen": {"place": []}}}}',
    ],
)  # fmt: skip
async def test_a_damaged_memory_is_an_empty_one(
    console: MakeConsole, rollups: psycopg.Connection, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "console.json"
    app = console(memory=file)
    file.write_text(text.replace('"p"', json.dumps(app.settings.target)), encoding="latin-1")
    app = console(memory=file)
    async with app.run_test() as pilot:
        await Operator(app, pilot).at_monitor()
        app.exit()
    assert json.loads(file.read_text())["profiles"]


async def test_a_memory_that_cannot_be_written_is_no_error(
    console: MakeConsole, rollups: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    app = console(memory=tmp_path / "file" / "console.json")
    async with app.run_test() as pilot:
        await Operator(app, pilot).at_monitor()
        app.exit()
    assert app.fault is None


def test_memories_of_other_profiles_stay_and_the_oldest_go(tmp_path: Path) -> None:
    file = tmp_path / "console.json"
    for number in range(KEPT_PROFILES + 5):
        one = Memory(file, f"p{number}")
        one.put("monitor", {"filter": str(number)})
        one.save()
    assert Memory(file, "p54").get("monitor") == {"filter": "54"}
    assert Memory(file, "p5").get("monitor") == {"filter": "5"}
    assert Memory(file, "p4").get("monitor") == {}
    assert doctest.testmod(memory).failed == 0


def test_the_state_folder_is_the_one_of_the_xdg_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_path() == Path("/var/state/tsconsole/console.json")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_path() == Path("/home/me/.local/state/tsconsole/console.json")


async def test_another_profile_without_a_restart(
    console: MakeConsole, rollups: psycopg.Connection, database: str
) -> None:
    prod = Settings(dsn=database, origin="profile prod", profile="prod", read_only=True)
    app = console(choices=[prod])
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        first = app.session
        assert not first.read_only
        await operator.press("ctrl+o", "down", "enter")
        await operator.until(lambda: app.session is not first)
        await operator.at_monitor()
        assert app.session.profile == "prod" and app.session.read_only
        async with app.session.connect() as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("create table public.x ()")
        await operator.press("ctrl+o", "up", "enter")
        await operator.until(lambda: app.session.profile is None)
        await operator.at_monitor()
        assert not app.session.read_only


@pytest.mark.parametrize("options", [[], ["--read-only"]])
async def test_a_read_only_profile_does_not_make_the_others_read_only(
    rollups: psycopg.Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    file = tmp_path / "config.toml"
    profiles = f'[profiles.prod]\ndsn = "{database}"\nread_only = true\n'
    profiles += f'[profiles.local]\ndsn = "{database}"\n'
    file.write_text(f'default_profile = "prod"\n[console]\nremember = false\n{profiles}')
    started: list[TsConsole] = []

    async def start(*arguments: Any, **options: Any) -> int:
        await options.pop("start").database.close()
        started.append(TsConsole(*arguments, **options))
        return 0

    monkeypatch.setattr("tsconsole.app.run_console_async", start)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert await asyncio.to_thread(main, ["--config", str(file), *options]) == 0
    app = started[0]
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        assert app.session.profile == "prod" and app.session.read_only
        await operator.press("ctrl+o", "down", "enter")
        await operator.until(lambda: app.session.profile == "local")
        await operator.at_monitor()
        assert app.session.read_only == bool(options)


async def test_another_profile_asks_while_something_runs(
    console: MakeConsole, rollups: psycopg.Connection, database: str
) -> None:
    app = console(choices=[Settings(dsn=database, profile="prod")])

    async def sleep(connection: Any, report: Any) -> Any:
        await connection.execute("select pg_sleep(60)")

    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        first = app.session
        operator.monitor.start("sleep", None, sleep)
        await operator.press("ctrl+o")
        await operator.until(lambda: isinstance(app.screen, ChooseScreen))
        await operator.press("down", "enter")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("enter")  # Cancel has the focus.
        await operator.at_monitor()
        assert app.session is first and first.running
        await operator.press("ctrl+o", "down", "enter")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        await operator.until(lambda: app.session is not first)
        await operator.at_monitor()
        await operator.until(lambda: not first.running)
        assert not app.session.running


async def test_read_only_of_the_configuration_reaches_the_server(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    app = console(read_only=True)
    async with app.run_test(), app.session.connect() as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("create table public.x ()")


async def test_a_server_that_hangs_counts_as_lost() -> None:
    failures: list[PollFailure] = []

    async def never() -> None:
        await asyncio.sleep(60)

    poller: Poller[None] = Poller(never, lambda _: None, failures.append, patience=0.05)
    assert await poller.poll_once() > 0
    assert failures[0].is_lost and "not answered for 0.05 seconds" in failures[0].message


async def test_a_slow_server_is_asked_less_often() -> None:
    now = [0.0]

    async def slow() -> None:
        now[0] += 3.0

    poller: Poller[None] = Poller(slow, lambda _: None, lambda _: None, clock=lambda: now[0])
    assert await poller.poll_once() == 12.0


async def test_no_query_of_a_poll_holds_locks_while_the_next_one_runs(
    rollups: psycopg.Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = monitoring.PARTITIONS.replace("from (", "from pg_sleep(2), (")
    monkeypatch.setattr(monitoring, "PARTITIONS", slow)
    async with connected(Settings(database)) as connection:
        poll = asyncio.create_task(operations.monitor_snapshot(connection, "silver.b_1h"))
        await asyncio.sleep(1)
        held = rollups.execute(
            "select relation::regclass::text from pg_locks where pid = %s and relation is not null",
            [connection.info.backend_pid],
        ).fetchall()
        await poll
    assert not [name for (name,) in held if name.endswith(("error_log", "b_1d"))], held


async def test_a_failover_is_seen_in_the_header(
    console: MakeConsole, rollups: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = operations.monitor_snapshot

    async def demoted(*args: Any, **options: Any) -> Any:
        return replace(await real(*args, **options), is_standby=True)

    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        monkeypatch.setattr(operations, "monitor_snapshot", demoted)
        await operator.press("ctrl+r")
        await operator.until(lambda: app.session.server and app.session.server.is_standby)
        await operator.press("r")
        await operator.until(lambda: any("standby" in said for said in operator.said))


def test_a_changed_password_is_read_for_the_next_connection(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[profiles.p]\ndsn = "host=a password=old"\n')
    settings = settings_for(load_config(file), profile="p")
    assert settings.renew is not None
    file.write_text('[profiles.p]\ndsn = "host=a password=new"\n')
    assert "new" in settings.renew().dsn
    file.write_text("[profiles]\n")
    with pytest.raises(LookupError):
        settings.renew()
