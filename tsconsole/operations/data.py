"""Reading rollups: which levels a ladder has, and the points of one measure over a range."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from psycopg import sql

from tsconsole.models import DataLevel, DataPoint, DataSeries
from tsconsole.models.explorer import Choice, View, choose_level
from tsconsole.operations.calls import Connection, fetch, fetch_values, operation

ORIGIN = datetime(2000, 1, 3, tzinfo=timezone.utc)
"""What buckets are counted from when some of a level are put together."""

LEVELS = """
    select tsconsole.qualified_name(c.target_table) as target,
           make_interval(secs => extract(epoch from c.rollup_interval)::float8) as interval,
           c.time_column, c.time_type::text as time_type,
           array(select d.column_name from tsconsole.rollup_dimension as d
                  where d.rollup_id = c.id order by d.position) as dimensions,
           array(select m.column_name::text
                   from tsconsole.columns(c.target_table) as m
                  where m.base_name in ('smallint', 'integer', 'bigint', 'real',
                                        'double precision', 'numeric')
                    and m.column_name <> c.time_column
                    and not exists (select from tsconsole.rollup_dimension as d
                                     where d.rollup_id = c.id and d.column_name = m.column_name)
                  order by m.ordinal) as measures
      from tsconsole.ladder_of(%s::text::regclass) as l
      join silver.timeseries_rollup_config as c on c.target_table = l
     order by c.rollup_interval
"""


@operation
async def data_levels(connection: Connection, target: str) -> list[DataLevel]:
    """The levels of the ladder that a rollup stands in, the finest first."""
    return await fetch(connection, DataLevel, LEVELS, [target])


@operation
async def data_series(
    connection: Connection,
    levels: list[DataLevel],
    view: View,
    points: int,
    live: bool = True,
) -> DataSeries:
    """The points of a view, at most so many: from the level that suits the range, complete up to
    now (`live`, which needs the right to read the source) or as stored."""
    choice = choose_level(levels, view, points)
    query, values = _query(choice, view, points, live)
    found = await fetch(connection, DataPoint, query, values)
    return DataSeries(
        tuple(found), choice.level, choice.width or choice.level.interval,
        _shown(query, values),
    )  # fmt: skip


@operation
async def data_values(
    connection: Connection, levels: list[DataLevel], view: View, column: str, limit: int = 200
) -> list[str | None]:
    """The values of a dimension in the range, from the coarsest level that has it."""
    level = [one for one in levels if column in one.dimensions][-1]
    # Wider by a bucket: the range may lie within one of them.
    start, end = view.window.start - level.interval, view.window.end
    query = sql.SQL("select distinct {}::text from {} as s where {} order by 1 limit {}").format(
        sql.Identifier("s", column), _table(level), _within(level), sql.Placeholder()
    )
    return await fetch_values(connection, query, [start, end, limit])


@operation
async def data_extent(connection: Connection, level: DataLevel) -> tuple[datetime, datetime] | None:
    """From the first stored bucket of a level to the end of the last; None when it is empty."""
    time = _axis(level)
    query = sql.SQL("select min({0}), max({0}) + {1} from {2} as s").format(
        time, sql.Placeholder(), _table(level)
    )
    async with connection.cursor() as cursor:
        await cursor.execute(query, [level.interval])
        row = await cursor.fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def _query(choice: Choice, view: View, points: int, live: bool) -> tuple[sql.Composed, list[Any]]:
    level, window = choice.level, view.window
    values: list[Any] = []
    time: sql.Composable = _axis(level)
    if choice.width is not None:
        time = sql.SQL("date_bin({}, {}, {})").format(sql.Placeholder(), time, sql.Placeholder())
        values += [choice.width, ORIGIN]
    # A bucket that begins before the range may reach into it.
    start = _floor(window.start, choice.width or level.interval)
    source: sql.Composable = _table(level)
    where: list[sql.Composable] = []
    if live:
        source = sql.SQL("silver.live(null::{}, {}, {})").format(
            source, sql.Placeholder(), sql.Placeholder()
        )
    else:
        where.append(_within(level))
    values += [start, window.end]
    for column, value in view.filters.items():
        if value is None:
            where.append(sql.SQL("{} is null").format(sql.Identifier("s", column)))
        else:
            where.append(sql.SQL("{} = {}").format(sql.Identifier("s", column), sql.Placeholder()))
            values.append(value)
    condition = sql.SQL(" where {}").format(sql.SQL(" and ").join(where)) if where else sql.SQL("")
    query = sql.SQL(
        "select {} as time, ({})::float8 as value, count(*) as rows\n"
        "  from {} as s{}\n group by 1 order by 1 limit {}"
    ).format(time, _together(view.measure, level), source, condition, sql.Placeholder())
    # One more on each side: buckets that the edges of the range cut.
    return query, [*values, points + 2]


def _together(measure: str, level: DataLevel) -> sql.Composed:
    """How rows of several series or buckets become one value, exactly where that is possible."""
    kind, _, name = measure.partition("_")
    total, count = f"sum_{name}", f"count_{name}"
    column = sql.Identifier("s", measure)
    if kind in ("min", "max"):
        return sql.SQL("{}({})").format(sql.SQL("min" if kind == "min" else "max"), column)
    if kind in ("sum", "count") or measure == "rollup_count":
        return sql.SQL("sum({})").format(column)
    if kind == "avg" and {total, count} <= set(level.measures):
        parts = [sql.Identifier("s", one) for one in (total, count)]
        return sql.SQL("sum({})::float8 / nullif(sum({}), 0)").format(*parts)
    return sql.SQL("avg({})").format(column)


def _axis(level: DataLevel) -> sql.Composed:
    """The time of a bucket; times without a zone count as UTC, as the core counts them."""
    column = sql.Identifier("s", level.time_column)
    if level.time_type.startswith("timestamp with time zone"):
        return sql.SQL("{}").format(column)
    return sql.SQL("{}::timestamp at time zone 'UTC'").format(column)


def _within(level: DataLevel) -> sql.Composed:
    """The condition on the time column itself, so that partitions are left out."""
    column = sql.Identifier("s", level.time_column)
    kind, value = sql.SQL("timestamptz"), sql.SQL("{}").format(sql.Placeholder())
    if not level.time_type.startswith("timestamp with time zone"):
        kind = sql.SQL(level.time_type)
        value = sql.SQL("({}::timestamptz at time zone 'UTC')").format(sql.Placeholder())
    return sql.SQL("{0} >= {1}::{2} and {0} < {1}::{2}").format(column, value, kind)


def _table(level: DataLevel) -> sql.SQL:
    # The server's own spelling of the name, quoted where it has to be.
    return sql.SQL(level.target)


def _floor(moment: datetime, width: timedelta) -> datetime:
    return moment - (moment - ORIGIN) % width


def _shown(query: sql.Composed, values: list[Any]) -> str:
    """The statement with its values in their places, for reading and for psql."""
    first, *rest = query.as_string(None).split("%s")
    parts = [
        sql.Literal(value).as_string(None) + text for value, text in zip(values, rest, strict=True)
    ]
    return "".join([first, *parts]) + ";"
