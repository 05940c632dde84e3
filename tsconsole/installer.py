"""Installs the SQL core: every file in order, in one transaction, each recorded with its checksum.

`V<n>__*.sql` files run once and never change; `R__*.sql` files run again when they change.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tsconsole.errors import InstallError, explain
from tsconsole.models import MINIMUM_SERVER_VERSION, InstallPlan, InstallStep, SchemaState
from tsconsole.operations.calls import Connection, fetch_value

SQL_FOLDER = Path(__file__).parent / "sql"

RETIRED_FILES: frozenset[str] = frozenset()
"""R files of earlier versions that this one no longer has; any other unknown file in a database's
history means that a newer version installed it."""

# "tscons" in ASCII: only one installer at a time works on a database.
LOCK_KEY = 0x7473_636F_6E73

_FILE_NAME = re.compile(r"(?:V(?P<number>\d+)|R)__\w+\.sql")

OnStep = Callable[[InstallStep, int, int], None]
"""Called before each step that does something, with its position from 1 and how many there are."""


@dataclass(frozen=True)
class CoreFile:
    """One file of the core."""

    name: str
    number: int | None
    """The version of a V file; None for an R file."""
    text: str
    checksum: str
    title: str


def core_files(folder: Path = SQL_FOLDER) -> list[CoreFile]:
    """Every file of the core in the order of installation: V by number, then R by name."""
    files = [_read(path) for path in folder.glob("*.sql")]
    if not files:
        raise InstallError(
            f"There are no SQL files in {folder}.", "The package is incomplete; install it again."
        )
    return sorted(files, key=lambda file: (file.number is None, file.number or 0, file.name))


async def plan(connection: Connection, folder: Path = SQL_FOLDER) -> InstallPlan:
    """Compare the core in the database with the files, and say what an installation would do."""
    _require_server(connection)
    files = core_files(folder)
    try:
        history = await _history(connection)
        if history is None:
            await _require_room(connection)
    except psycopg.Error as error:
        raise explain(error) from error
    if history is None:
        return InstallPlan(SchemaState.ABSENT, tuple(_step(file, "apply") for file in files))
    known = {file.name for file in files} | RETIRED_FILES
    unknown = tuple(name for name in history if name not in known)
    steps = tuple(_compare(file, history) for file in files)
    changes = any(step.action != "keep" for step in steps)
    state = SchemaState.OLDER if changes else SchemaState.CURRENT
    return InstallPlan(SchemaState.NEWER if unknown else state, steps, unknown)


async def install(
    connection: Connection, on_step: OnStep | None = None, folder: Path = SQL_FOLDER
) -> InstallPlan:
    """Bring the core in the database up to date; returns what was done, nothing when it was.

    Another installer at work is waited for, and then found to have done it.
    """
    _require_server(connection)
    try:
        async with connection.transaction():
            # A snapshot taken before the wait would not show what the other installer did.
            await connection.execute("set transaction isolation level read committed, read write")
            await connection.execute("set local statement_timeout = 0")
            await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
            done = await plan(connection, folder)
            _require_not_newer(done)
            if done.pending:
                await _require_right_to_create(connection, done)
                await _apply(connection, done.pending, core_files(folder), on_step)
    except psycopg.Error as error:
        raise explain(error) from error
    return done


def print_sql(folder: Path = SQL_FOLDER) -> str:
    """The whole core as one script for psql, recorded so that `install` finds it done."""
    files = core_files(folder)
    parts = [
        "-- tsconsole's SQL core, for a database without it: psql -v ON_ERROR_STOP=1 -f <this>\n",
        "begin;\n",
        f"select pg_advisory_xact_lock({LOCK_KEY});\n",
    ]
    for file in files:
        line = "-- " + "=" * 97
        parts.append(f"{line}\n-- {file.name}: {file.title}\n{line}\n\n{file.text.strip()}\n")
    values = sql.SQL(",\n    ").join(
        sql.SQL("({}, {})").format(sql.Literal(file.name), sql.Literal(file.checksum))
        for file in files
    )
    record = sql.SQL(
        "insert into tsconsole.schema_history (file_name, checksum) values\n    {}\n"
        "on conflict (file_name) do update set checksum = excluded.checksum;\n"
    )
    return "\n".join([*parts, record.format(values).as_string(None), "commit;\n"])


def _read(path: Path) -> CoreFile:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise InstallError(
            f"{path} is named neither V<number>__name.sql nor R__name.sql.", "Rename or remove it."
        )
    # Git may have changed the line ends; that is no change.
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    number = None if match["number"] is None else int(match["number"])
    return CoreFile(path.name, number, text, checksum, _title(text))


def _title(text: str) -> str:
    """What a file does: the sentences of the comment it begins with."""
    lines = []
    for line in text.lstrip().splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.strip("- "))
    return " ".join(line for line in lines if line)


def _step(file: CoreFile, action: str) -> InstallStep:
    return InstallStep(file.name, file.title, file.checksum, action)  # type: ignore[arg-type]


def _compare(file: CoreFile, history: dict[str, str | None]) -> InstallStep:
    """What to do with one file, seen that the history has its checksum, a null, or nothing."""
    if file.name not in history:
        return _step(file, "apply")
    recorded = history[file.name]
    if recorded == file.checksum:
        return _step(file, "keep")
    if file.number is None:
        return _step(file, "reapply")
    if recorded is None:
        return _step(file, "adopt")
    raise InstallError(
        f"{file.name} was changed after it was installed in this database.",
        "Files whose name begins with V never change: restore it from the release, and put the "
        "change into a new V file.",
    )


async def _history(connection: Connection) -> dict[str, str | None] | None:
    """File name to checksum, in the order of installation; None when nothing was installed."""
    if not await fetch_value(
        connection, "select to_regclass('tsconsole.schema_history') is not null"
    ):
        return None
    cursor = await connection.execute(
        "select file_name, checksum from tsconsole.schema_history order by installed_rank"
    )
    return dict(await cursor.fetchall())


def _require_server(connection: Connection) -> None:
    version = connection.info.server_version
    if version < MINIMUM_SERVER_VERSION:
        shown = (
            version // 10000 if version >= 100000 else f"{version // 10000}.{version // 100 % 100}"
        )
        raise InstallError(
            f"This server is PostgreSQL {shown}; the core needs 15 or newer.",
            "Upgrade the server, or connect to another one.",
        )


async def _require_room(connection: Connection) -> None:
    """The names of the core must be free: tables of another program are never touched."""
    taken = await fetch_value(
        connection,
        "select coalesce(to_regclass('silver.timeseries_rollup_config'),"
        " to_regclass('tsconsole.retry'))::text",
    )
    if taken is not None:
        raise InstallError(
            f"This database has a table {taken} that tsconsole did not make.",
            "Install into another database, or rename the schema it is in.",
        )


def _require_not_newer(done: InstallPlan) -> None:
    if done.state is SchemaState.NEWER:
        raise InstallError(
            "The core in this database is newer than this program: it has "
            + ", ".join(done.unknown_files)
            + ".",
            "Upgrade this program: pip install --upgrade tsconsole.",
        )


async def _require_right_to_create(connection: Connection, done: InstallPlan) -> None:
    if done.state is not SchemaState.ABSENT:
        return
    role = await fetch_value(
        connection,
        "select current_user::text where not has_database_privilege(current_database(), 'CREATE')",
    )
    if role is not None:
        names = sql.SQL("grant create on database {} to {}").format(
            sql.Identifier(connection.info.dbname), sql.Identifier(role)
        )
        raise InstallError(
            f"The role {role} may not create schemas in the database {connection.info.dbname}.",
            f"Let the database's owner run: {names.as_string(connection)};",
        )


async def _apply(
    connection: Connection,
    steps: Sequence[InstallStep],
    files: Sequence[CoreFile],
    on_step: OnStep | None,
) -> None:
    texts = {file.name: file.text for file in files}
    await connection.execute("set local client_min_messages = warning")
    await connection.execute("set local search_path = pg_catalog, pg_temp")
    # The functions' tables are in use while workers run; an installation does not queue for ever.
    await connection.execute("set local lock_timeout = '60s'")
    for position, step in enumerate(steps, start=1):
        if on_step is not None:
            on_step(step, position, len(steps))
        started = time.monotonic()
        if step.action != "adopt":
            await _run_file(connection, step.file_name, texts[step.file_name])
        await _record(connection, step, round((time.monotonic() - started) * 1000))
    # The files set it for their own session, and this session goes on.
    await connection.execute("reset check_function_bodies")


async def _run_file(connection: Connection, name: str, text: str) -> None:
    try:
        # Without parameters psycopg sends the whole file at once, and % is only a percent sign.
        await connection.execute(text)
    except psycopg.Error as error:
        cause = explain(error)
        position = error.diag.statement_position
        line = f" line {text[: int(position)].count(chr(10)) + 1}" if position else ""
        raise InstallError(f"{name}{line}: {cause.message}", cause.hint) from error


async def _record(connection: Connection, step: InstallStep, milliseconds: int) -> None:
    await connection.execute(
        "insert into tsconsole.schema_history as h (file_name, checksum, execution_ms)"
        " values (%s, %s, %s)"
        " on conflict (file_name) do update"
        " set checksum = excluded.checksum, execution_ms = excluded.execution_ms,"
        " installed_at = clock_timestamp(), installed_by = current_user",
        [step.file_name, step.checksum, milliseconds],
    )
