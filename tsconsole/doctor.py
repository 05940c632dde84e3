"""What a database offers the core, what will hurt, and what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from tsconsole import installer
from tsconsole.errors import InstallError, OperationError
from tsconsole.formatting import age
from tsconsole.models import CheckUp, Extension, SchemaState, ServerInfo
from tsconsole.operations import extensions, server_info, validate_config
from tsconsole.operations.calls import Connection, Query, fetch_values, operation

Row = Mapping[str, Any]

CORE_SCHEMAS = ("raw", "silver", "gold", "tsconsole")
LONG_TRANSACTION = timedelta(minutes=10)
FEW_CONNECTIONS = 5
SHORT_TIMEOUT = timedelta(seconds=30)


async def check_up(connection: Connection) -> list[CheckUp]:
    """Every finding, in the order in which a person would ask."""
    server = await server_info(connection)
    findings = [check_version(server)]
    if not server.is_supported:
        return findings
    for check in (check_rights, check_schemas, check_core, check_extensions):
        findings += await check(connection)
    for check in (check_settings, check_connections, check_transactions, check_row_security):
        findings += await check(connection)
    return findings


def check_version(server: ServerInfo) -> CheckUp:
    """Whether the core runs on this server at all, and may write to it."""
    found = f"PostgreSQL {server.version}, database {server.database}"
    if not server.is_supported:
        return CheckUp("server", "error", found, "The core needs PostgreSQL 15 or newer.")
    if server.is_standby:
        return CheckUp("server", "error", found + ", a standby", "Connect to the primary.")
    return CheckUp("server", "ok", found)


@operation
async def check_rights(connection: Connection) -> list[CheckUp]:
    """What kind of role this is, and whether it may create schemas."""
    row = await _row(
        connection,
        """
        select r.rolname::text as role, r.rolsuper as is_superuser,
               has_database_privilege(current_database(), 'CREATE') as may_create,
               current_database()::text as database
          from pg_catalog.pg_roles as r
         where r.rolname = current_user
        """,
    )
    if row["is_superuser"]:
        advice = "None of this needs a superuser; an ordinary role does less harm."
        role = CheckUp("role", "warning", f"{row['role']}, a superuser", advice)
    else:
        role = CheckUp("role", "ok", f"{row['role']}, an ordinary role")
    if row["may_create"]:
        return [role, CheckUp("create on database", "ok", "granted")]
    grant = sql.SQL("grant create on database {} to {};").format(
        sql.Identifier(row["database"]), sql.Identifier(row["role"])
    )
    advice = "To install the core, let the database's owner run: " + grant.as_string(connection)
    return [role, CheckUp("create on database", "warning", "not granted", advice)]


@operation
async def check_schemas(connection: Connection) -> list[CheckUp]:
    """Whether the role may use and fill the core's schemas, where they exist."""
    query = """
        select n.nspname::text
          from pg_catalog.pg_namespace as n
         where n.nspname = any(%s)
           and not (has_schema_privilege(n.oid, 'USAGE')
                    and (has_schema_privilege(n.oid, 'CREATE') or n.nspname in ('raw', 'gold')))
         order by 1
    """
    missing = await fetch_values(connection, query, [list(CORE_SCHEMAS)])
    if not missing:
        return [CheckUp("schemas", "ok", "usable, those of the core that exist")]
    grant = sql.SQL("grant usage, create on schema {} to {};").format(
        sql.SQL(", ").join(map(sql.Identifier, missing)), sql.Identifier(connection.info.user)
    )
    found = "no USAGE or no CREATE on " + ", ".join(missing)
    advice = "To create rollups there, let the owner run: " + grant.as_string(connection)
    return [CheckUp("schemas", "warning", found, advice)]


async def check_core(connection: Connection) -> list[CheckUp]:
    """Whether the core is installed and current, and what its own checks say."""
    try:
        plan = await installer.plan(connection)
    except (InstallError, OperationError) as error:
        return [CheckUp("core", "error", error.message, error.hint)]
    if plan.state is SchemaState.ABSENT:
        return [CheckUp("core", "warning", "not installed", "Run: tsconsole install")]
    if plan.state is SchemaState.NEWER:
        found = "newer than this program: " + ", ".join(plan.unknown_files)
        return [CheckUp("core", "error", found, "Run: pip install --upgrade tsconsole")]
    if plan.state is SchemaState.OLDER:
        found = f"older than this program, {len(plan.pending)} files to apply"
        return [CheckUp("core", "warning", found, "Run: tsconsole install")]
    return [CheckUp("core", "ok", f"current, {len(plan.steps)} files"), *await _own(connection)]


async def _own(connection: Connection) -> list[CheckUp]:
    """What the core's own checks of its rollups complain of."""
    try:
        checks = await validate_config(connection)
    except OperationError as error:
        return [CheckUp("rollups", "error", error.message, error.hint)]
    findings = [
        CheckUp(
            f"rollup {check.target_table or ''}".strip(), check.severity, check.message, check.hint
        )
        for check in checks
        if not check.is_valid
    ]
    rollups = {check.target_table for check in checks if check.target_table}
    return findings or [CheckUp("rollups", "ok", f"{len(rollups)} checked")]


async def check_extensions(connection: Connection) -> list[CheckUp]:
    """Which of the extensions that the core can use are here; none is required."""
    found = await extensions(connection)
    findings = [_extension(extension) for extension in found]
    return findings + await _cron(connection, {extension.name: extension for extension in found})


def _extension(extension: Extension) -> CheckUp:
    name, advice = f"extension {extension.name}", None
    if extension.state == "installed":
        text = f"{extension.installed_version} in schema {extension.schema}"
    elif extension.state == "available":
        text = f"{extension.available_version} available, not installed"
        advice = f"Optional ({extension.purpose}): create extension {extension.name};"
    else:
        text = "not on this server"
        advice = f"Optional: {extension.purpose}."
    return CheckUp(name, "ok", text, advice)


@operation
async def _cron(connection: Connection, found: Mapping[str, Extension]) -> list[CheckUp]:
    """pg_cron works in one database of a server, which its own setting names."""
    if found["pg_cron"].state == "absent":
        return []
    row = await _row(
        connection,
        # Only pg_read_all_settings may ask current_setting() for it; pg_settings just hides it.
        "select (select setting from pg_settings where name = 'cron.database_name') as home,"
        " current_database()::text as here",
    )
    if row["home"] is None:
        found_text = "not loaded by the server, or its setting is hidden from this role"
        advice = (
            "Optional: show cron.database_name; as an administrator says where it lives, "
            "and `tsconsole schedule --pg-cron` what to run there."
        )
        return [CheckUp("pg_cron", "ok", found_text, advice)]
    if row["home"] == row["here"]:
        advice = "`tsconsole schedule --pg-cron` has it run what is due."
        return [CheckUp("pg_cron", "ok", "lives in this database", advice)]
    advice = "`tsconsole schedule --pg-cron --cron-dsn DSN` has it run what is due."
    return [CheckUp("pg_cron", "ok", f"lives in the database {row['home']}", advice)]


@operation
async def check_settings(connection: Connection) -> list[CheckUp]:
    """Settings of the server and the role that slow the core down or stop it."""
    query = """
        select name, setting
          from pg_catalog.pg_settings
         where name in ('statement_timeout', 'idle_in_transaction_session_timeout',
                        'default_transaction_isolation', 'default_transaction_read_only',
                        'autovacuum', 'track_counts', 'jit', 'TimeZone')
    """
    async with connection.cursor() as cursor:
        await cursor.execute(query)
        settings = dict(await cursor.fetchall())
    return [
        _statement_timeout(settings["statement_timeout"]),
        _idle_timeout(settings["idle_in_transaction_session_timeout"]),
        _must_be(settings, "default_transaction_isolation", "read committed", "steps need it"),
        _must_be(settings, "default_transaction_read_only", "off", "rollups are written"),
        _must_be(settings, "autovacuum", "on", "pending ranges and statistics depend on it"),
        _must_be(settings, "track_counts", "on", "autovacuum and the figures here depend on it"),
        CheckUp("jit", "ok", settings["jit"], _jit_advice(settings["jit"])),
        CheckUp("TimeZone", "ok", f"{settings['TimeZone']}; buckets do not depend on it"),
    ]


def _statement_timeout(milliseconds: str) -> CheckUp:
    limit = timedelta(milliseconds=int(milliseconds))
    if not limit:
        return CheckUp("statement_timeout", "ok", "none")
    if limit >= SHORT_TIMEOUT:
        return CheckUp("statement_timeout", "ok", age(limit))
    advice = (
        "tsconsole's worker sets its own; psql and pg_cron should set it to 0 before a CALL of "
        "silver.run_rollups, which otherwise stops before this time is used up."
    )
    return CheckUp("statement_timeout", "warning", age(limit), advice)


def _idle_timeout(milliseconds: str) -> CheckUp:
    name, limit = "idle_in_transaction_session_timeout", timedelta(milliseconds=int(milliseconds))
    if limit:
        return CheckUp(name, "ok", age(limit))
    advice = "A forgotten transaction holds back vacuum and new buckets; '10min' would end it."
    return CheckUp(name, "ok", "none", advice)


def _must_be(settings: Mapping[str, str], name: str, value: str, why: str) -> CheckUp:
    if settings[name] == value:
        return CheckUp(name, "ok", value)
    return CheckUp(name, "warning", settings[name], f"Set it to {value}: {why}.")


def _jit_advice(setting: str) -> str | None:
    if setting == "off":
        return None
    return "Compiling can take longer than a step or a live view; alter role … set jit = off."


@operation
async def check_connections(connection: Connection) -> list[CheckUp]:
    """How many more sessions the server would accept."""
    row = await _row(
        connection,
        """
        select current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0) as allowed,
               (select count(*) from pg_catalog.pg_stat_activity
                 where backend_type = 'client backend') as used
        """,
    )
    free = row["allowed"] - row["used"]
    found = f"{free} free of {row['allowed']}"
    if free >= FEW_CONNECTIONS:
        return [CheckUp("connections", "ok", found)]
    advice = "A console takes up to 4 and a worker 1: raise max_connections or use a pooler."
    return [CheckUp("connections", "warning", found, advice)]


@operation
async def check_transactions(connection: Connection) -> list[CheckUp]:
    """Transactions that are open for long, prepared ones too."""
    row = await _row(
        connection,
        """
        select clock_timestamp() - oldest.started as open_for, oldest.who,
               pg_has_role('pg_read_all_stats', 'USAGE') as sees_all
          from (values (1)) as one (row)
          left join lateral (
               select xact_start as started, format('pid %s of %s', pid, usename) as who
                 from pg_catalog.pg_stat_activity
                where xact_start is not null and pid <> pg_backend_pid()
                  and backend_type = 'client backend'
                union all
               select prepared, format('prepared transaction %s of %s', gid, owner)
                 from pg_catalog.pg_prepared_xacts
                order by 1 limit 1) as oldest on true
        """,
    )
    hidden = None
    if not row["sees_all"]:
        hidden = "Other roles' transactions are hidden from this one; grant it pg_read_all_stats."
    if row["open_for"] is None or row["open_for"] < LONG_TRANSACTION:
        return [CheckUp("long transactions", "ok", "none", hidden)]
    found = f"{row['who']} is open for {age(row['open_for'])}"
    advice = "It holds back vacuum, and new buckets if it writes to a source: end it."
    return [CheckUp("long transactions", "warning", found, advice)]


@operation
async def check_row_security(connection: Connection) -> list[CheckUp]:
    """Sources whose row security hides rows from this role: their rollups would fail."""
    query = """
        select c.oid::regclass::text
          from pg_catalog.pg_class as c
         where c.relkind in ('r', 'p') and c.relrowsecurity
           and row_security_active(c.oid)
           and c.relnamespace <> 'pg_catalog'::regnamespace
         order by 1
         limit 20
    """
    hidden = await fetch_values(connection, query)
    if not hidden:
        return [CheckUp("row security", "ok", "hides nothing from this role")]
    found = "active for this role on " + ", ".join(hidden)
    advice = "Rollups of these fail (42501): use the owner's role, or one with BYPASSRLS."
    return [CheckUp("row security", "warning", found, advice)]


async def _row(connection: Connection, query: Query) -> Row:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone()
        assert row is not None
        return row
