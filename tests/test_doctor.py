"""The doctor finds what hurts and says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import make_readings

from tsconsole import doctor
from tsconsole.database import Settings, connected
from tsconsole.doctor import check_up
from tsconsole.models import CheckUp


async def examine(dsn: str) -> dict[str, CheckUp]:
    async with connected(Settings(dsn)) as connection:
        findings = await check_up(connection)
    assert all(one.advice for one in findings if one.level != "ok")
    return {one.name: one for one in findings}


async def test_a_healthy_database(database: str) -> None:
    found = await examine(database)
    assert [one for one in found.values() if one.level != "ok"] == []
    assert found["core"].found.startswith("current, ")
    assert "an ordinary role" in found["role"].found


async def test_no_core(empty_database: str) -> None:
    core = (await examine(empty_database))["core"]
    assert (core.level, core.found, core.advice) == (
        "warning", "not installed", "Run: tsconsole install",
    )  # fmt: skip


async def test_an_older_and_a_newer_core(database: str, db: psycopg.Connection) -> None:
    db.execute("update tsconsole.schema_history set checksum = 'x' where file_name like 'R%'")
    assert "older than this program" in (await examine(database))["core"].found
    db.execute("insert into tsconsole.schema_history (file_name) values ('V99__future.sql')")
    core = (await examine(database))["core"]
    assert core.level == "error" and "V99__future.sql" in core.found


async def test_a_changed_v_file(database: str, db: psycopg.Connection) -> None:
    db.execute("update tsconsole.schema_history set checksum = 'x' where file_name like 'V1%'")
    core = (await examine(database))["core"]
    assert core.level == "error" and "was changed after it was installed" in core.found


@pytest.mark.parametrize(
    ("setting", "value", "level"),
    [
        ("statement_timeout", "5s", "warning"),
        ("statement_timeout", "10min", "ok"),
        ("default_transaction_isolation", "repeatable read", "warning"),
        ("idle_in_transaction_session_timeout", "10min", "ok"),
        ("jit", "off", "ok"),
    ],
)
async def test_settings(
    database: str, db: psycopg.Connection, setting: str, value: str, level: str
) -> None:
    name = conninfo_to_dict(database)["dbname"]
    db.execute(f"alter database {name} set {setting} = '{value}'")
    assert (await examine(database))[setting].level == level


async def test_a_read_only_database(database: str, db: psycopg.Connection) -> None:
    name = conninfo_to_dict(database)["dbname"]
    db.execute(f"alter database {name} set default_transaction_read_only = on")
    try:
        assert (await examine(database))["default_transaction_read_only"].level == "warning"
    finally:
        db.execute("set transaction_read_only = off")


async def test_row_security(database: str, db: psycopg.Connection) -> None:
    make_readings(db)
    db.execute("alter table raw.readings enable row level security")
    assert (await examine(database))["row security"].level == "ok"  # The owner sees all.
    db.execute("alter table raw.readings force row level security")
    found = (await examine(database))["row security"]
    assert found.level == "warning" and "raw.readings" in found.found


async def test_a_superuser(database: str, superuser_dsn: str) -> None:
    name = conninfo_to_dict(database)["dbname"]
    found = await examine(make_conninfo(superuser_dsn, dbname=str(name)))
    assert found["role"].level == "warning" and "a superuser" in found["role"].found


@pytest.fixture
def stranger(database: str, superuser_dsn: str) -> Iterator[str]:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute('create role "a stranger" login')
        yield make_conninfo(database, user="a stranger")
        connection.execute('drop role "a stranger"')


async def test_a_role_without_rights(stranger: str) -> None:
    found = await examine(stranger)
    assert found["create on database"].level == "warning"
    assert 'to "a stranger";' in (found["create on database"].advice or "")
    assert "silver" in found["schemas"].found
    assert "pg_read_all_stats" in (found["long transactions"].advice or "")
    assert found["core"].level == "error"


async def test_a_long_transaction(
    database: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LONG_TRANSACTION", timedelta(0))
    with db.transaction():
        db.execute("select 1")
        found = (await examine(database))["long transactions"]
    # Another test's transaction may be the oldest.
    assert found.level == "warning" and re.match(r"pid \d+ of \S+ is open for", found.found)
