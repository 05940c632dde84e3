"""Every bad input to the command line: one clear sentence, exit code 2, nothing changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import CommandLine, Ended, make_readings

from tsconsole.doctor import check_version
from tsconsole.models import ServerInfo


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def on_database(capsys: pytest.CaptureFixture[str], database: str) -> CommandLine:
    return CommandLine(capsys, database)


def is_refused(ended: Ended, *words: str) -> bool:
    """Exit code 2, nothing on stdout, and a message of at most three lines with these words."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("tsconsole: ") and "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    for word in words:
        assert word in ended.err, ended.err
    return True


def test_no_server(cli: CommandLine) -> None:
    ended = cli("status", "--dsn", "host=127.0.0.1 port=1 dbname=iot")
    assert is_refused(ended, "Cannot connect to iot at 127.0.0.1:1", "refused", "server runs")


def test_no_socket(cli: CommandLine, tmp_path: Path) -> None:
    ended = cli("status", "--dsn", f"host={tmp_path}")
    assert is_refused(ended, "Cannot connect", "No such file or directory", "server runs")


def test_unknown_host(cli: CommandLine) -> None:
    assert is_refused(cli("status", "--dsn", "host=no-such-host.invalid"), "spelling of the host")


def test_wrong_database(cli: CommandLine, dsn: str) -> None:
    ended = cli("status", "--dsn", make_conninfo(dsn, dbname="nowhere"))
    assert is_refused(ended, 'database "nowhere" does not exist', "Check the database's name")


def test_wrong_user(cli: CommandLine, dsn: str) -> None:
    ended = cli("status", "--dsn", make_conninfo(dsn, user="nobody here"))
    assert is_refused(ended, 'role "nobody here" does not exist', "Check the user's name")


@pytest.fixture
def role_with_password(superuser_dsn: str) -> Iterator[str]:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("create role needs_password login password 'right'")
        (path,) = connection.execute("show hba_file").fetchone()
        before = Path(path).read_text()
        Path(path).write_text("local all needs_password scram-sha-256\n" + before)
        connection.execute("select pg_reload_conf()")
    yield make_conninfo(superuser_dsn, user="needs_password")
    Path(path).write_text(before)
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")
        connection.execute("drop role needs_password")


def test_wrong_password(cli: CommandLine, role_with_password: str) -> None:
    ended = cli("status", "--dsn", make_conninfo(role_with_password, password="wrong"))
    assert is_refused(ended, 'password authentication failed for user "needs_password"')
    assert is_refused(cli("status", "--dsn", role_with_password), "no password supplied", ".pgpass")


def test_a_password_command(cli: CommandLine, role_with_password: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    profile = f'[profiles.p]\ndsn = "{role_with_password}"\npassword_command = "{{}}"\n'
    config.write_text(profile.format("echo right"))
    assert "Cannot connect" not in cli("doctor", "--profile", "p", "--config", str(config)).err
    config.write_text(profile.format("echo no token >&2; exit 3"))
    ended = cli("status", "--profile", "p", "--config", str(config))
    assert is_refused(ended, "The password command ended with 3: no token")


def test_an_old_server(
    cli: CommandLine, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", property(lambda _: 140012))
    ended = cli("install", "--dsn", empty_database)
    assert is_refused(ended, "This server is PostgreSQL 14; the core needs 15 or newer")


def test_the_doctor_says_that_a_server_is_old() -> None:
    server = ServerInfo.__new__(ServerInfo)
    for name, value in {"version": "14.12", "version_number": 140012, "database": "iot"}.items():
        object.__setattr__(server, name, value)
    assert check_version(server).level == "error"


def test_no_core(cli: CommandLine, empty_database: str) -> None:
    for command in (["status"], ["run"], ["verify"], ["maintain"], ["create", "a", "b", "5m"]):
        ended = cli(*command, "--dsn", empty_database)
        assert is_refused(ended, "run `tsconsole install`")


def test_no_dsn(cli: CommandLine) -> None:
    assert is_refused(cli("status", "--dsn", "nonsense"), "--dsn is not a DSN: 'nonsense'")


def test_no_profile(cli: CommandLine) -> None:
    assert is_refused(cli("status", "--profile", "prod"), 'no profile "prod"', "config.toml")


def test_wrong_config(cli: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[console]\nrefresh_intervall = 3\n")
    ended = cli("status", "--config", str(config))
    assert is_refused(ended, str(config), "no key console.refresh_intervall", "refresh_interval?")


def test_no_such_command(cli: CommandLine) -> None:
    assert is_refused(cli("statu"), "invalid choice: 'statu'", "tsconsole --help")


def test_the_console_without_a_terminal(cli: CommandLine) -> None:
    assert is_refused(cli("--dsn", "host=x"), "The console needs a terminal", "tsconsole status")


def test_a_poll_of_zero(cli: CommandLine) -> None:
    assert is_refused(cli("worker", "--poll", "0"), "--poll is 0; expected seconds from 0.05")


@pytest.mark.parametrize("command", [["run"], ["retry"], ["verify"], ["maintain"]])
def test_no_such_rollup(on_database: CommandLine, command: list[str]) -> None:
    assert is_refused(on_database(*command, "silver.nothing"), "silver.nothing")


def test_a_time_that_is_none(on_database: CommandLine) -> None:
    ended = on_database("verify", "--from", "yesterday")
    assert is_refused(ended, "--from is 'yesterday', which is not a time", "2025-03-30")


CREATIONS = [
    ("raw.nothing silver.x 5m", ["raw.nothing"]),
    ("raw.timeless silver.x 5m", ["raw.timeless", "time"]),
    ("raw.readings silver.x 0m", ["rollup_interval", "zero"]),
    ("raw.readings silver.x -5m", ["rollup_interval", "negative"]),
    ("raw.readings silver.x 1mon2d", ["rollup_interval", "mixes"]),
    ("raw.readings silver.x soon", ['interval: "soon"']),
    ("raw.readings raw.timeless 5m", ["raw.timeless exists already"]),
    ("raw.readings silver.x 5m --dimension nothing", ["nothing"]),
    ("raw.readings silver.x 5m --measure nothing=min", ["nothing"]),
    ("raw.readings silver.x 5m --measure temperature=frob", ["frob", "Possible here"]),
    ("raw.readings silver.x 5m --measure temperature", ["--measure is 'temperature'"]),
    ("raw.readings silver.x 5m --time-column device", ["device", "not a time"]),
    ("raw.readings silver.x 5m --timezone Mars/Base", ["Mars/Base"]),
    ("raw.readings silver.x 5m --max-retries -1", ["max_retries"]),
    ("raw.readings silver.x 5m --no-dimensions --dimension device", ["exclude each other"]),
    ("raw.readings silver.x 5m --ladder 1m,1h", ["either one interval or --ladder"]),
    ("raw.readings silver.x", ["either one interval or --ladder"]),
    ("raw.readings silver.x --ladder 1m,,1h", ["--ladder is '1m,,1h'"]),
    (f"raw.readings silver.{'n' * 80} 5m", ["80 bytes"]),
    ("raw.readings nowhere.x 5m", ["nowhere"]),
]


@pytest.mark.parametrize(("arguments", "words"), CREATIONS, ids=[one for one, _ in CREATIONS])
def test_a_creation_that_is_refused(
    on_database: CommandLine, db: psycopg.Connection, arguments: str, words: list[str]
) -> None:
    make_readings(db)
    db.execute("create table raw.timeless (id int, name text)")
    before = db.execute("select count(*) from pg_class").fetchone()
    assert is_refused(on_database("create", *arguments.split()), *words)
    assert is_refused(on_database("create", *arguments.split(), "--dry-run"), *words)
    assert db.execute("select count(*) from pg_class").fetchone() == before


@pytest.mark.parametrize("name", ['a"b', "a.b", "x; drop table raw.readings; --", "Ä ' é"])
def test_strange_names_are_only_names(
    on_database: CommandLine, db: psycopg.Connection, name: str
) -> None:
    make_readings(db)
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(f"alter table raw.readings rename to {quoted}".encode())
    db.execute(f"alter table raw.{quoted} rename column device to {quoted}".encode())
    ended = on_database("create", f"raw.{quoted}", f"silver.{quoted}", "1h", "--dimension", quoted)
    assert ended.code == 0, ended.err
    assert on_database("run", f"silver.{quoted}").code == 0
    assert on_database("verify", f"silver.{quoted}").code == 0
    assert db.execute(f"select sum(rollup_count) from silver.{quoted}".encode()).fetchone() > (0,)


@pytest.fixture
def poor_role(superuser_dsn: str, database: str) -> Iterator[str]:
    """A role of its own for each test: roles are shared by the databases of a server."""
    role = f"poor_{uuid.uuid4().hex[:8]}"
    inside = make_conninfo(superuser_dsn, dbname=str(conninfo_to_dict(database)["dbname"]))
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute(f"create role {role} login".encode())
        yield role
        with psycopg.connect(inside) as owner:
            owner.execute(f"drop owned by {role}".encode())
        connection.execute(f"drop role {role}".encode())


def test_no_right_to_see(cli: CommandLine, database: str, poor_role: str) -> None:
    ended = cli("status", "--dsn", make_conninfo(database, user=poor_role))
    assert is_refused(ended, "ermission denied for schema", "right that is missing")


def test_no_right_to_create_or_to_read(
    cli: CommandLine, database: str, db: psycopg.Connection, poor_role: str
) -> None:
    make_readings(db)
    db.execute(f"grant usage on schema raw, silver, tsconsole to {poor_role}".encode())
    db.execute(f"grant select on all tables in schema silver, tsconsole to {poor_role}".encode())
    creation = ("create", "raw.readings", "silver.x", "5m")
    ended = cli(*creation, "--dsn", make_conninfo(database, user=poor_role))
    assert is_refused(ended, f"Role {poor_role} may not read source raw.readings", "grant select")
    db.execute(f"grant select on raw.readings to {poor_role}".encode())
    ended = cli(*creation, "--dsn", make_conninfo(database, user=poor_role))
    assert is_refused(ended, "silver", "grant create")
    assert db.execute("select count(*) from silver.timeseries_rollup_config").fetchone() == (0,)


@pytest.mark.parametrize(
    ("words", "help_text"),
    [(("worker", "--once"), "`tsconsole worker --help`"), (("--once",), "`tsconsole --help`")],
)
def test_an_option_that_is_not_known(
    cli: CommandLine, words: tuple[str, ...], help_text: str
) -> None:
    """The help that is named is the one that lists what there is."""
    assert is_refused(cli(*words), "unrecognized arguments: --once", help_text)
