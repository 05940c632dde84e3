"""Following advice on indexes: built in the background, with progress, leaving nothing invalid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tsconsole import operations
from tsconsole.cli import main
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError
from tsconsole.models import IndexAdvice, IndexProgress

pytestmark = pytest.mark.sql

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
def readings(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Ten days of readings without an index, rolled up into ten partitions."""
    db.execute(
        "create table raw.m (ts timestamptz, device int, v int); insert into raw.m "
        "select now() - i * interval '30 s', i % 20, i from generate_series(1, 28800) i;"
        "select silver.create_rollup_table('raw.m', 'm_1h', '1 hour', dimensions := '{device}', "
        "chunk_interval := '1 day'); select silver.perform_rollup('silver.m_1h')"
    )
    return db


@pytest.fixture
async def connection(database: str, readings: psycopg.Connection[Any]) -> AsyncIterator[Connection]:
    async with connected(Settings(database)) as connected_once:
        yield connected_once


def made(table: str, index: str, definition: str) -> IndexAdvice:
    """Advice as the core gives it, of this index."""
    return IndexAdvice(
        table, "create", "dimensions", index, definition, None, None, None, "it is wanted", "…"
    )


TARGET = made("silver.m_1h", "silver.m_1h_device_ts_idx", "using btree (device, ts)")
SOURCE = made("raw.m", "raw.m_ts_idx", "using btree (ts)")


def indexes(db: psycopg.Connection[Any]) -> dict[str, bool]:
    """Every index that holds (device, ts) or (ts), and whether it is valid."""
    rows = db.execute(
        "select i.relname, x.indisvalid from pg_index x join pg_class i on i.oid = x.indexrelid "
        "where i.relname ~ '^m_.*ts_idx$' and not x.indisunique"
    ).fetchall()
    return dict(rows)


async def test_it_is_built_with_progress(
    connection: Connection, db: psycopg.Connection[Any], database: str
) -> None:
    seen: list[IndexProgress] = []
    done = await operations.follow_advice(Settings(database), TARGET, seen.append)
    [(parts,)] = db.execute(
        "select count(*) from pg_inherits where inhparent = 'silver.m_1h'::regclass"
    ).fetchall()
    assert len(done) == 1 + 2 * parts
    assert len(indexes(db)) == 1 + parts and all(indexes(db).values())
    assert [one.step for one in seen] == sorted(one.step for one in seen)
    assert seen[-1].step == seen[-1].steps == len(done)
    assert all(0 <= one.fraction <= 1 for one in seen)
    # Partitions that come later have it too, and nothing is left to do.
    assert await operations.follow_advice(Settings(database), TARGET) == []


async def test_advice_is_read_and_followed(connection: Connection, database: str) -> None:
    found = await operations.recommend_indexes(connection, "raw.m")
    wanted = next(one for one in found if one.kind == "time")
    assert wanted.table_name == "raw.m" and wanted.statement is not None
    done = await operations.follow_advice(Settings(database), wanted)
    assert done == [wanted.statement.rstrip(";")]
    await connection.execute("create index again on raw.m (ts)")
    found = await operations.recommend_indexes(connection, "raw.m")
    again = next(one for one in found if one.kind == "duplicate")
    assert await operations.follow_advice(Settings(database), again) == [
        "drop index concurrently raw.again"
    ]


async def test_cancelled_it_leaves_nothing_invalid(
    connection: Connection, db: psycopg.Connection[Any], database: str
) -> None:
    """It waits for a writer, is told to end, and takes its invalid index with it."""
    waits_for: asyncio.Queue[int] = asyncio.Queue()

    def note(progress: IndexProgress) -> None:
        if progress.waits_for:
            waits_for.put_nowait(progress.waits_for)

    with psycopg.connect(database) as writer:
        writer.execute("insert into raw.m values (now(), 1, 1)")
        task = asyncio.create_task(operations.follow_advice(Settings(database), SOURCE, note))
        assert await waits_for.get() == writer.info.backend_pid
        assert indexes(db) == {"m_ts_idx": False}
        task.cancel()
        await asyncio.sleep(0.3)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert indexes(db) == {}


async def test_a_cancelled_backend_ends_it_with_a_sentence(
    connection: Connection, db: psycopg.Connection[Any], database: str
) -> None:
    waits = asyncio.Event()

    def note(progress: IndexProgress) -> None:
        if progress.waits_for:
            waits.set()

    with psycopg.connect(database) as writer:
        writer.execute("insert into raw.m values (now(), 1, 1)")
        task = asyncio.create_task(operations.follow_advice(Settings(database), SOURCE, note))
        await waits.wait()
        assert indexes(db) == {"m_ts_idx": False}
        db.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity where query ~ '^create index conc'"
        )
        await asyncio.sleep(0.3)
    with pytest.raises(OperationError, match=r"(?i)cancel"):
        await task
    assert indexes(db) == {}


async def test_partitions_that_are_done_stay_and_the_rest_follows(
    connection: Connection, db: psycopg.Connection[Any], database: str
) -> None:
    reached = asyncio.Event()

    def stop(progress: IndexProgress) -> None:
        if progress.step == 8:
            reached.set()

    task = asyncio.create_task(operations.follow_advice(Settings(database), TARGET, stop))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = indexes(db)
    assert left.pop("m_1h_device_ts_idx") is False and all(left.values()) and len(left) >= 3
    incomplete = next(
        one
        for one in await operations.recommend_indexes(connection, "silver.m_1h")
        if one.kind == "incomplete"
    )
    await operations.follow_advice(Settings(database), incomplete)
    assert all(indexes(db).values()) and len(indexes(db)) > len(left) + 1


async def test_a_note_and_a_read_only_session_build_nothing(
    connection: Connection, db: psycopg.Connection[Any], database: str
) -> None:
    note = IndexAdvice("raw.m", "note", "hypopg", None, None, None, None, None, "no hypopg", None)
    with pytest.raises(OperationError, match="nothing to build"):
        await operations.follow_advice(Settings(database), note)
    with pytest.raises(OperationError) as refused:
        await operations.follow_advice(Settings(database, read_only=True), SOURCE)
    assert refused.value.sqlstate == "25006" and indexes(db) == {}


def test_the_command_line(
    readings: psycopg.Connection[Any],
    database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["advise", "m_1h", "--dsn", database, "--json"]) == 0
    assert "advice" in json.loads(capsys.readouterr().out)
    assert main(["advise", "raw.m", "--dsn", database]) == 0
    out = capsys.readouterr().out
    assert "create index concurrently m_ts_idx on raw.m using btree (ts);" in out
    assert main(["advise", "raw.m", "--dsn", database, "--apply", "raw.nothing"]) == 2
    assert "raw.m_ts_idx" in capsys.readouterr().err
    assert main(["advise", "raw.m", "--dsn", database, "--apply", "raw.m_ts_idx"]) == 0
    assert capsys.readouterr().out == "Built raw.m_ts_idx.\n"
    assert indexes(readings)["m_ts_idx"]
    assert main(["advise", "raw.nothing", "--dsn", database]) == 2
