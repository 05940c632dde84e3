"""What every operation needs: run a query, get models back, translate errors."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import scalar_row

from tsconsole.errors import explain

if TYPE_CHECKING:
    from psycopg.abc import AdaptContext, Buffer
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
            # What was read before only spares work: it is no part of what was asked.
            asked = sorted(item for item in kwargs.items() if item[0] != "before")
            given = (*args[1:], *asked)
            answer: T = await tape.call(call.__name__, given, lambda: explained(*args, **kwargs))
            return answer
        return await explained(*args, **kwargs)

    async def explained(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except psycopg.Error as error:
            raise explain(error) from error

    return translated


OnNotice: TypeAlias = Callable[[str, str], None]
"""Called with a notice of the core: its severity (NOTICE or WARNING), and the sentence."""


@contextmanager
def notices_to(connection: Connection, on_notice: OnNotice | None) -> Iterator[None]:
    """Hand on the notices of the core meanwhile, each with its hint."""

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        severity = diagnostic.severity_nonlocalized or ""
        if on_notice is not None and severity in {"NOTICE", "WARNING"}:
            parts = [diagnostic.message_primary, diagnostic.message_hint]
            on_notice(severity, " ".join(part for part in parts if part))

    connection.add_notice_handler(notice)
    try:
        yield
    finally:
        connection.remove_notice_handler(notice)


class FiniteTimestamptzLoader(Loader):
    """Infinite times are None; times that Python cannot hold are its first or last one."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        # psycopg's own is in C and ten times as fast; a class derived from that is never asked.
        own = cast("type[Loader]", psycopg.adapters.get_loader(oid, Format.TEXT))
        self._load = own(oid, context).load

    def load(self, data: Buffer) -> datetime | None:
        """Read one value."""
        try:
            return cast("datetime", self._load(data))
        except psycopg.DataError:
            text = bytes(data)
            if text.endswith(b"infinity"):
                return None
            limit = datetime.min if text.endswith(b"BC") else datetime.max
            return limit.replace(tzinfo=timezone.utc)


def model_cursor(
    connection: Connection, model: type[T], before: Sequence[T] = ()
) -> psycopg.AsyncCursor[T]:
    """A cursor whose rows are models.

    A row that is as it was `before`, in the same place, is the same object again: to make a
    thousand anew takes longer than to read them, and whoever shows them sees at once what is new.
    """

    def row_maker(cursor: psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], T]:
        columns, known = [column.name for column in cursor.description or ()], iter(before)
        # Every model is a dataclass, which no bound of a type variable can say.
        names = [field.name for field in fields(model)]  # type: ignore[arg-type]
        in_order = columns == names[: len(columns)]
        is_whole = columns == names and not hasattr(model, "__post_init__")

        def row(values: Sequence[Any]) -> T:
            old = next(known, None)
            if old is not None and in_order and tuple(vars(old).values()) == values:
                return old
            if is_whole:
                # A frozen dataclass sets its fields one by one, which takes three times as long.
                new = object.__new__(model)
                vars(new).update(zip(names, values, strict=True))
                return new
            if in_order:
                return model(*values)
            return model(**dict(zip(columns, values, strict=True)))

        return row

    cursor = connection.cursor(row_factory=row_maker)
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
