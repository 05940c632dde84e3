"""What a database has: the server, tables and columns, definitions, sizes, checks."""

from __future__ import annotations

from tsconsole.models import (
    ConfigCheck,
    DetailedStat,
    Extension,
    PartitionStat,
    RollupDefinition,
    ServerInfo,
    SourceColumn,
    SourceTable,
)
from tsconsole.operations.calls import Connection, fetch, operation
from tsconsole.operations.monitoring import PARTITIONS

SERVER = """
    select current_setting('server_version') as version,
           current_setting('server_version_num')::int as version_number,
           current_database()::text as database,
           current_user::text as "user",
           r.rolsuper as is_superuser,
           pg_is_in_recovery() as is_standby,
           current_setting('TimeZone') as timezone,
           pg_postmaster_start_time() as started_at,
           clock_timestamp() as database_time,
           pg_backend_pid() as backend_pid,
           %s::text as host,
           %s::int as port
      from pg_catalog.pg_roles as r
     where r.rolname = current_user
"""

EXTENSIONS = """
    select wanted.name, wanted.purpose, a.default_version as available_version,
           e.extversion as installed_version, e.extnamespace::regnamespace::text as schema
      from unnest(%s::text[], %s::text[]) with ordinality as wanted (name, purpose, position)
      left join pg_catalog.pg_available_extensions as a on a.name = wanted.name
      left join pg_catalog.pg_extension as e on e.extname = wanted.name
     order by wanted.position
"""

EXTENSION_PURPOSES = {
    "pg_partman": "an alternative manager of partitions, one rollup at a time",
    "pg_cron": "runs rollups on a schedule inside the server, without a worker",
    "ltree": "dimensions that are paths, grouped by a part of the path",
    "btree_gin": "one index over several dimensions",
    "hypopg": "tries indexes without building them",
}

DEFINITION = """
    select c.id, tsconsole.qualified_name(d.source_table) as source_table,
           tsconsole.qualified_name(d.target_table) as target_table,
           c.time_column::text as time_column, c.time_type::text as time_type,
           c.rollup_interval::text as rollup_interval, c.timezone, c.bucket_origin,
           c.look_back_window::text as look_back_window,
           c.allowed_lateness::text as allowed_lateness,
           c.refresh_interval::text as refresh_interval,
           c.processing_window::text as processing_window,
           c.chunk_interval::text as chunk_interval,
           c.retention_period::text as retention_period, d.retention_action,
           c.source_retention::text as source_retention,
           c.max_retries, c.alert_threshold::text as alert_threshold,
           c.max_execution_time::text as max_execution_time, c.change_tracking,
           c.partition_manager, c.is_active, c.first_bucket, c.history_from, c.history_to,
           c.last_processed_time, c.last_refresh_time, c.retained_from, c.created_at,
           c.created_by::text as created_by, d.dimensions, d.measures, d.ladder,
           d.create_statement, d.reads_rollup, d.step_query
      from tsconsole.rollup_definition(%s::text::regclass) as d
      join silver.timeseries_rollup_config as c on c.target_table = d.target_table
"""

DETAILED_STATS = """
    select s.target_table, s.source_table, s.rollup_interval::text as rollup_interval,
           s.partitions, s.row_estimate, s.table_bytes, s.index_bytes, s.total_bytes,
           s.oldest_bucket, s.last_processed_time, s.lag, s.runs_24h, s.rows_read_24h,
           s.rows_written_24h, s.avg_duration, s.errors_24h, s.health_status
      from silver.get_detailed_stats(%s::text) as s
"""


@operation
async def server_info(connection: Connection) -> ServerInfo:
    """The server at the other end, the database, and the role we are there."""
    parameters = [connection.info.host, connection.info.port]
    found = await fetch(connection, ServerInfo, SERVER, parameters)
    return found[0]


@operation
async def extensions(connection: Connection) -> list[Extension]:
    """The extensions that the core can use, whether the server has them or not."""
    names, purposes = list(EXTENSION_PURPOSES), list(EXTENSION_PURPOSES.values())
    return await fetch(connection, Extension, EXTENSIONS, [names, purposes])


@operation
async def source_tables(connection: Connection) -> list[SourceTable]:
    """Every relation that could be a source."""
    query = """
        select t.qualified_name as source_table, t.kind, t.row_estimate, t.total_bytes, t.is_rollup
          from tsconsole.source_tables() as t
    """
    return await fetch(connection, SourceTable, query)


@operation
async def source_columns(connection: Connection, source: str) -> list[SourceColumn]:
    """The columns of a possible source, each with the part it could play in a rollup."""
    query = """
        select c.column_name::text as column_name, c.data_type, c.proposed_role,
               coalesce(c.aggregates, '{}') as aggregates, c.is_indexed
          from tsconsole.source_columns(%s::text::regclass) as c
    """
    return await fetch(connection, SourceColumn, query, [source])


@operation
async def definition(connection: Connection, target: str) -> RollupDefinition | None:
    """Everything that defines the rollup."""
    found = await fetch(connection, RollupDefinition, DEFINITION, [target])
    return found[0] if found else None


@operation
async def partition_stats(
    connection: Connection, target: str, limit: int = 1000
) -> list[PartitionStat]:
    """The partitions of a table, newest first."""
    return await fetch(connection, PartitionStat, PARTITIONS, {"target": target, "limit": limit})


@operation
async def detailed_stats(connection: Connection, pattern: str = "%") -> list[DetailedStat]:
    """Sizes, ages and the last day's work of the rollups whose name is LIKE the pattern."""
    return await fetch(connection, DetailedStat, DETAILED_STATS, [pattern])


@operation
async def validate_config(connection: Connection) -> list[ConfigCheck]:
    """What is right and wrong with the configuration of every rollup."""
    query = """
        select c.target_table, c.source_table, c.check_name, c.is_valid, c.severity, c.message,
               c.hint
          from silver.validate_rollup_config() as c
    """
    return await fetch(connection, ConfigCheck, query)
