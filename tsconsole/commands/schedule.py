"""`tsconsole schedule`: what is due and who runs it, and pg_cron's jobs."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence

from tsconsole import operations
from tsconsole.commands import schedule_tables
from tsconsole.commands.output import Output
from tsconsole.commands.server_choice import settings_of
from tsconsole.config import Config, settings_for
from tsconsole.database import Settings, connected
from tsconsole.errors import ArgumentError
from tsconsole.models import RemovedJob, ScheduledJob, ServerInfo
from tsconsole.operations.calls import Connection


def schedule(arguments: Namespace, output: Output) -> int:
    """Show what is due and who runs it; with --pg-cron have pg_cron run it, --remove undoes that.

    pg_cron lives in one database of a server (show cron.database_name). When that is another than
    the rollups' own, --cron-dsn says how to reach it; without it the statements are printed.
    """
    if arguments.remove and arguments.pg_cron:
        raise ArgumentError("--pg-cron and --remove exclude each other.")
    asked = _intervals(arguments)
    wants_jobs = arguments.pg_cron or (arguments.cron_dsn is not None and not arguments.remove)
    if any(asked) and not wants_jobs:
        raise ArgumentError("The intervals belong to --pg-cron.", "Add --pg-cron.")
    if arguments.remove:
        return asyncio.run(_remove(arguments, output))
    return asyncio.run(_make(arguments, output) if wants_jobs else _show(arguments, output))


def _intervals(arguments: Namespace) -> tuple[str | None, str | None, str | None, str | None]:
    return (
        arguments.rollups_every,
        arguments.retries_every,
        arguments.maintenance_every,
        arguments.keep_details,
    )


async def _show(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        snapshot = await operations.schedule_snapshot(connection)
    if output.as_json:
        output.result(snapshot)
    else:
        schedule_tables.print_schedule(output, snapshot)
    return 0


async def _make(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        jobs = await operations.schedule_jobs(connection, *_intervals(arguments))
        server = await operations.server_info(connection)
    if _are_elsewhere(jobs) and arguments.cron_dsn is not None:
        async with connected(_cron_settings(arguments)) as cron:
            await _check_same_server(connection_server=server, cron=cron)
            jobs = await operations.schedule_elsewhere(cron, jobs, server.database, server.user)
    if output.as_json:
        output.result({"jobs": jobs})
    elif _are_elsewhere(jobs):
        _print_statements(output, jobs)
    else:
        schedule_tables.print_jobs(output, jobs)
    return 0


async def _remove(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        jobs = await operations.unschedule_jobs(connection)
    if _are_elsewhere(jobs) and arguments.cron_dsn is not None:
        async with connected(_cron_settings(arguments)) as cron:
            jobs = await operations.unschedule_elsewhere(cron, jobs)
    if output.as_json:
        output.result({"jobs": jobs})
    elif _are_elsewhere(jobs):
        _print_statements(output, jobs)
    else:
        for job in jobs:
            output.line(f"{job.job_name}: {job.outcome}")
    return 0


def _are_elsewhere(jobs: Sequence[ScheduledJob] | Sequence[RemovedJob]) -> bool:
    return any(job.outcome == "elsewhere" for job in jobs)


def _print_statements(output: Output, jobs: Sequence[ScheduledJob] | Sequence[RemovedJob]) -> None:
    """The statements on stdout, ready for psql, and where they belong on stderr."""
    output.note(
        "pg_cron does not live in this database. Run this where it does (show cron.database_name), "
        "as an administrator; or give that database with --cron-dsn."
    )
    output.text("\n".join(job.statement for job in jobs))


def _cron_settings(arguments: Namespace) -> Settings:
    return settings_for(Config(), arguments.cron_dsn, option="--cron-dsn")


async def _check_same_server(connection_server: ServerInfo, cron: Connection) -> None:
    """A job that is made on another server would run against a database that is not there."""
    found = await operations.server_info(cron)
    here = (connection_server.version, connection_server.started_at)
    if (found.version, found.started_at) != here:
        raise ArgumentError(
            f"--cron-dsn leads to another server than the rollups' ({found.host}:{found.port}).",
            "pg_cron runs jobs in the databases of its own server only.",
        )
