"""What every operation needs: run a query, get models back, translate errors."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.datetime import TimestamptzLoader

from tsconsole.errors import explain

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from typing_extensions import LiteralString

Connection: TypeAlias = psycopg.AsyncConnection[Any]
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
Query: TypeAlias = "LiteralString | sql.SQL | sql.Composed"

P = ParamSpec("P")
T = TypeVar("T")


def operation(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a call raise `OperationError` where psycopg raises its own.

    A connection with a tape records what comes back, or plays back what was recorded.
    """

    @functools.wraps(call)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        tape = getattr(args[0], "tape", None) if args else None
        if tape is not None:
            given = (*args[1:], *sorted(kwargs.items()))
            answer: T = await tape.call(call.__name__, given, lambda: explained(*args, **kwargs))
            return answer
        return await explained(*args, **kwargs)

    async def explained(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except psycopg.Error as error:
            raise explain(error) from error

    return translated


class FiniteTimestamptzLoader(TimestamptzLoader):
    """Infinite times are None; times that Python cannot hold are its first or last one."""

    def load(self, data: Buffer) -> datetime:
        """Read one value."""
        try:
            return super().load(data)
        except psycopg.DataError:
            text = bytes(data)
            if text.endswith(b"infinity"):
                return None  # type: ignore[return-value]
            limit = datetime.min if text.endswith(b"BC") else datetime.max
            return limit.replace(tzinfo=timezone.utc)


def model_cursor(connection: Connection, model: type[T]) -> psycopg.AsyncCursor[T]:
    """A cursor whose rows are models."""
    cursor = connection.cursor(row_factory=class_row(model))
    cursor.adapters.register_loader("timestamptz", FiniteTimestamptzLoader)
    return cursor


async def only_row(cursor: psycopg.AsyncCursor[T]) -> T:
    """The row of a query that always gives one: what the clock says, for example."""
    row = await cursor.fetchone()
    assert row is not None
    return row


async def fetch(
    connection: Connection, model: type[T], query: Query, parameters: Parameters | None = None
) -> list[T]:
    """Every row of the query as a model whose fields are the query's columns."""
    async with model_cursor(connection, model) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def fetch_value(
    connection: Connection, query: Query, parameters: Parameters | None = None
) -> Any:
    """The first column of the first row, or None when there is no row."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()


async def fetch_values(
    connection: Connection, query: Query, parameters: Parameters | None = None
) -> list[Any]:
    """The first column of every row."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()
