"""Creating and dropping rollups and ladders, and the SQL that does it as text for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from tsconsole.models import Created, LadderRequest, RollupRequest
from tsconsole.operations.calls import Connection, fetch_value, fetch_values, notices_to, operation

if TYPE_CHECKING:
    from typing_extensions import LiteralString

Request = RollupRequest | LadderRequest


@dataclass(frozen=True)
class Argument:
    """One named argument of a call: its value and the type it is cast to."""

    name: LiteralString
    value: Any
    cast: sql.SQL


REGCLASS, TEXT, INTERVAL = sql.SQL("text::regclass"), sql.SQL("text"), sql.SQL("interval")
INTERVALS, TEXTS, JSONB = sql.SQL("interval[]"), sql.SQL("text[]"), sql.SQL("jsonb")
MOMENT, INTEGER, BOOLEAN = sql.SQL("timestamptz"), sql.SQL("integer"), sql.SQL("boolean")


def create_statement(request: Request) -> str:
    """The statement that creates what is asked for, for showing and for psql."""
    shown = [
        sql.SQL("{} => {}::{}").format(
            sql.SQL(argument.name),
            sql.Literal(argument.value),
            argument.cast if argument.cast is not REGCLASS else sql.SQL("regclass"),
        )
        for argument in _arguments(request)
    ]
    call = sql.SQL("select {}(\n    {}\n);")
    return call.format(_function(request), sql.SQL(",\n    ").join(shown)).as_string(None)


@operation
async def create_rollup(connection: Connection, request: RollupRequest) -> Created:
    """Create a rollup; nothing is computed yet."""
    return await _create(connection, request)


@operation
async def create_ladder(connection: Connection, request: LadderRequest) -> Created:
    """Create a chain of rollups, each reading the one below, all or none."""
    return await _create(connection, request)


@operation
async def validate_create(connection: Connection, request: Request) -> Created:
    """Create what is asked for and roll back: says what a creation would say, changes nothing."""
    async with connection.transaction(force_rollback=True):
        return await _create(connection, request)


@operation
async def drop_rollup(
    connection: Connection,
    target: str,
    keep_data: bool = False,
    on_rest: Callable[[int], None] | None = None,
) -> None:
    """Forget the rollup and drop its table, or keep the table as an ordinary one.

    Of a table with more partitions than the server can lock at once the oldest go before, in
    transactions of their own; on_rest is called after each with how many are left.
    """
    shed = "select tsconsole.drop_some_partitions(%s::text::regclass)"
    while not keep_data and (rest := await fetch_value(connection, shed, [target])):
        if on_rest is not None:
            on_rest(rest)
    await connection.execute(
        "select silver.drop_rollup(%s::text::regclass, %s::boolean)", [target, keep_data]
    )


async def _create(connection: Connection, request: Request) -> Created:
    notices: list[str] = []
    arguments = _arguments(request)
    call = sql.SQL("select created::oid from {}({}) as created").format(
        _function(request),
        sql.SQL(", ").join(
            sql.SQL("{} => {}::{}").format(
                sql.SQL(argument.name),
                sql.Placeholder(),
                argument.cast,
            )
            for argument in arguments
        ),
    )
    with notices_to(connection, lambda _, text: notices.append(text)):
        oids = await fetch_values(connection, call, [argument.value for argument in arguments])
    # A statement of its own: within the one that made them, their names cannot be seen yet.
    query = """
        select tsconsole.qualified_name(made.oid::regclass)
          from unnest(%s::oid[]) with ordinality as made (oid, position)
         order by made.position
    """
    return Created(tuple(await fetch_values(connection, query, [oids])), tuple(notices))


def _function(request: Request) -> sql.SQL:
    if isinstance(request, LadderRequest):
        return sql.SQL("silver.create_rollup_ladder")
    return sql.SQL("silver.create_rollup_table")


def _arguments(request: Request) -> list[Argument]:
    """The arguments that were given, in the function's own order."""
    given = [Argument("source_table_name", request.source, REGCLASS)]
    if isinstance(request, LadderRequest):
        given += [
            Argument("rollup_intervals", list(request.rollup_intervals), INTERVALS),
            Argument("target_prefix", request.target_prefix, TEXT),
            Argument("retention_periods", _listed(request.retention_periods), INTERVALS),
        ]
    else:
        given += [
            Argument("target_table_name", request.target, TEXT),
            Argument("rollup_interval", request.rollup_interval, INTERVAL),
            Argument("retention_period", request.retention_period, INTERVAL),
        ]
    return [argument for argument in given + _options(request) if argument.value is not None]


def _options(request: Request) -> list[Argument]:
    measures = None
    if request.measures is not None:
        measures = json.dumps({name: list(kinds) for name, kinds in request.measures.items()})
    return [
        Argument("look_back_window", request.look_back_window, INTERVAL),
        Argument("time_column", request.time_column, TEXT),
        Argument("dimensions", _listed(request.dimensions), TEXTS),
        Argument("measures", measures, JSONB),
        Argument("timezone", request.timezone, TEXT),
        Argument("bucket_origin", request.bucket_origin, MOMENT),
        Argument("allowed_lateness", request.allowed_lateness, INTERVAL),
        Argument("refresh_interval", request.refresh_interval, INTERVAL),
        Argument("processing_window", request.processing_window, INTERVAL),
        Argument("chunk_interval", request.chunk_interval, INTERVAL),
        Argument("source_retention", request.source_retention, INTERVAL),
        Argument("max_retries", request.max_retries, INTEGER),
        Argument("alert_threshold", request.alert_threshold, INTERVAL),
        Argument("max_execution_time", request.max_execution_time, INTERVAL),
        Argument("change_tracking", request.change_tracking, TEXT),
        Argument("partition_manager", request.partition_manager, TEXT),
        Argument("is_active", request.is_active, BOOLEAN),
    ]


def _listed(values: Sequence[Any] | None) -> list[Any] | None:
    return None if values is None else list(values)
