"""A database from a dump: the same tables under other numbers."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sql.support import assert_true_rollup, assert_verified, create, make_readings, run, value
from support import find_program

HOUR = "date_trunc('hour', ts, 'UTC')"
LATE = "insert into raw.readings values ('2025-03-02 02:02Z', 'd1', 1, 1, 1)"
TRIGGERS = "select count(*) from pg_trigger where tgrelid = 'raw.readings'::regclass"


@pytest.fixture
def restored(db: psycopg.Connection, database: str, server: Any) -> Iterator[psycopg.Connection]:
    make_readings(db)
    create(db, "raw.readings", "r", "1 hour", dimensions=["device"])
    run(db)
    db.execute(LATE)
    name = f"tsconsole_test_{uuid.uuid4().hex[:16]}"
    dsn = make_conninfo(database, dbname=name)
    # Not the extensions of a server that has some: who restores them must own them.
    schemas = "--schema=(raw|silver|gold|tsconsole)"
    dump = [str(find_program("pg_dump", server.bin_folder)), schemas, database]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    db.execute(f"create database {name}")
    psql = [str(find_program("psql", server.bin_folder)), "-X", "-q", "-v", "ON_ERROR_STOP=1", dsn]
    done = subprocess.run(psql, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(dsn, autocommit=True) as copy:
        yield copy
    db.execute(f"drop database {name} with (force)")


def test_what_was_late_is_there_and_what_comes_is_logged(restored: psycopg.Connection) -> None:
    assert_true_rollup(restored, "silver.r_live", HOUR, keys="device")
    restored.execute(LATE)
    assert_true_rollup(restored, "silver.r_live", HOUR, keys="device")
    restored.execute("select silver.refresh_source('raw.readings')")
    assert value(restored, TRIGGERS) == 4
    run(restored)
    restored.execute(LATE)
    assert value(restored, "select count(*) from tsconsole.pending_1") == 1
    assert_true_rollup(restored, "silver.r_live", HOUR, keys="device")
    run(restored)
    assert_true_rollup(restored, "silver.r", HOUR, keys="device")
    assert_verified(restored, "silver.r")


@pytest.mark.parametrize("is_refreshed", [True, False])
def test_writers_go_on_when_the_rollup_is_dropped(
    restored: psycopg.Connection, is_refreshed: bool
) -> None:
    create(restored, "raw.readings", "other", "1 day")
    if is_refreshed:
        restored.execute("select silver.refresh_source('raw.readings')")
    for target in ("silver.r", "silver.other"):
        restored.execute("select silver.drop_rollup(%s)", [target])
        restored.execute(LATE)
    restored.execute("truncate raw.readings")
    assert value(restored, TRIGGERS) == 0


def test_a_partition_that_went_its_own_way_leaves_those_of_its_parent(
    db: psycopg.Connection,
) -> None:
    """Its truncate trigger bears the parent's number, too."""
    db.execute(
        "create table raw.m (ts timestamptz, v integer) partition by range (ts);"
        "create table raw.m1 partition of raw.m for values from ('2025-01-01Z') to ('2026-01-01Z');"
        "create index on raw.m (ts); insert into raw.m values ('2025-03-01Z', 1)"
    )
    create(db, "raw.m", "r", "1 hour")
    db.execute("alter table raw.m detach partition raw.m1")
    create(db, "raw.m1", "r1", "1 hour")
    db.execute("select silver.drop_rollup('silver.r1')")
    kept = "select count(*) from pg_trigger where tgrelid = 'raw.m'::regclass"
    assert value(db, kept) == 4
