"""The subcommands about partitions: what they look like, and which of them retention takes."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from rich.text import Text

from tsconsole import operations
from tsconsole.commands.output import Output
from tsconsole.commands.server_choice import settings_of
from tsconsole.database import connected
from tsconsole.errors import ArgumentError
from tsconsole.formatting import moment, one_line, short_number, size
from tsconsole.intervals import interval_text, short_interval
from tsconsole.models import (
    ExpiredPartition,
    PartitionRebuild,
    PartitionStat,
    RebuildStep,
    Retention,
)

_COLOURS = {"expired": "yellow", "premade": "dim", "keep": "yellow"}


def partitions(arguments: Namespace, output: Output) -> int:
    """Show the partitions of a rollup or a source: ranges, rows, sizes, and what each is for.

    With --rebuild those of a rollup that do not have its present chunk interval are split or
    merged, in short steps; it can be interrupted at any time and run again.
    """
    if arguments.dry_run and not arguments.rebuild:
        raise ArgumentError("--dry-run goes with --rebuild.")
    return asyncio.run((_rebuild if arguments.rebuild else _partitions)(arguments, output))


async def _partitions(arguments: Namespace, output: Output) -> int:
    if arguments.limit < 1:
        raise ArgumentError(f"--limit is {arguments.limit}; expected 1 or more.")
    async with connected(settings_of(arguments)) as connection:
        found = await operations.partitions_of(connection, arguments.table, arguments.limit)
        managed = await operations.partman_settings(connection, arguments.table)
    partman = {one.setting: one.value for one in managed}
    if output.as_json:
        output.result({"partitions": found, "pg_partman": partman})
        return 0
    output.table(
        ("PARTITION", "FROM", "TO", "ROWS", "TABLE", "INDEXES", "TOTAL", "STATE"),
        [_partition_row(partition) for partition in found],
        right=("ROWS", "TABLE", "INDEXES", "TOTAL"),
        whole=("PARTITION", "STATE"),
    )
    total = sum(partition.total_bytes for partition in found)
    output.line(f"{_counted(len(found))}, {size(total)}")
    for setting, value in partman.items():
        output.line(f"pg_partman: {setting} = {value}")
    return 0


def _counted(partitions: int) -> str:
    return f"{partitions} partition" + ("" if partitions == 1 else "s")


def _partition_row(partition: PartitionStat) -> list[str | Text]:
    return [
        partition.partition_name,
        moment(partition.range_start),
        moment(partition.range_end),
        short_number(partition.row_estimate),
        size(partition.table_bytes),
        size(partition.index_bytes),
        size(partition.total_bytes),
        Text(partition.state, style=_COLOURS.get(partition.state, "")),
    ]


async def _rebuild(arguments: Namespace, output: Output) -> int:
    steps: list[RebuildStep] = []
    async with connected(settings_of(arguments)) as connection:
        plan = await operations.plan_rebuild(connection, arguments.table)
        if not arguments.dry_run:
            with output.progress() as progress:
                bar = progress.add_task("splitting and merging", total=None)
                steps = await operations.rebuild_partitions(
                    connection,
                    arguments.table,
                    lambda step: progress.update(bar, description=one_line(step.detail)),
                )
    is_stuck = bool(steps) and steps[-1].outcome == "busy"
    if output.as_json:
        output.result({"plan": plan, "steps": steps, "dry_run": arguments.dry_run})
    elif arguments.dry_run:
        _print_plan(output, plan)
    else:
        swapped = sum(step.outcome == "swapped" for step in steps)
        output.line(f"{swapped} groups of partitions were split or merged.")
        if is_stuck:
            output.note(f"It is not finished: {steps[-1].detail}. Run it again to go on.")
    return 1 if is_stuck else 0


def _print_plan(output: Output, plan: list[PartitionRebuild]) -> None:
    if not plan:
        output.line("Every partition has the present chunk interval.")
        return
    output.table(
        ("WORK", "FROM", "TO", "PARTITIONS", "BECOME", "SIZE"),
        [
            [
                group.work,
                moment(group.range_start),
                moment(group.range_end),
                str(group.partitions),
                str(group.becomes),
                size(group.total_bytes),
            ]
            for group in plan
        ],
        right=("PARTITIONS", "BECOME", "SIZE"),
    )


def retention(arguments: Namespace, output: Output) -> int:
    """Take away the partitions that are older than retention; or show, or set, how long rows stay.

    A partition goes only when every rollup that reads its table has passed it and has nothing
    pending there; what has to stay is listed with the rollup that still needs it.
    """
    changes = arguments.set is not None
    if changes and arguments.table is None:
        raise ArgumentError("--set needs a table.", "tsconsole retention raw.readings --set 90d")
    if arguments.archive and not changes:
        raise ArgumentError("--archive goes with --set.", "It is remembered for the table.")
    return asyncio.run(_set(arguments, output) if changes else _retention(arguments, output))


async def _set(arguments: Namespace, output: Output) -> int:
    is_forever = arguments.set.strip().lower() in ("never", "forever")
    period = None if is_forever else interval_text(arguments.set)
    action = "archive" if arguments.archive else "drop"
    async with connected(settings_of(arguments)) as connection:
        await operations.set_retention(connection, arguments.table, period, action)
        settings = await operations.list_retention(connection)
    if output.as_json:
        output.result({"retention": settings})
    else:
        _print_settings(output, settings)
    return 0


async def _retention(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        settings = await operations.list_retention(connection)
        with output.progress() as progress:
            bar = progress.add_task("looking for expired partitions", total=None)

            def show(partition: ExpiredPartition) -> None:
                progress.update(bar, description=partition.partition_name)

            if arguments.dry_run:
                found = await operations.expired_partitions(connection, arguments.table)
            else:
                found = await operations.apply_retention(connection, arguments.table, show)
    if output.as_json:
        output.result({"partitions": found, "retention": settings, "dry_run": arguments.dry_run})
        return 0
    if any(setting.retention_period for setting in settings):
        _print_expired(output, found, arguments.dry_run)
    else:
        _print_settings(output, settings)
    return 0


def _print_settings(output: Output, settings: list[Retention]) -> None:
    output.table(
        ("TABLE", "KIND", "KEPT FOR", "THEN"),
        [
            [
                setting.table_name,
                "source" if setting.is_source else "rollup",
                short_interval(setting.retention_period) if setting.retention_period else "ever",
                (setting.retention_action or "") if setting.retention_period else "",
            ]
            for setting in settings
        ],
        whole=("TABLE", "KIND", "KEPT FOR", "THEN"),
    )


def _print_expired(output: Output, found: list[ExpiredPartition], is_dry: bool) -> None:
    if found:
        output.table(
            ("PARTITION", "FROM", "TO", "SIZE", "ACTION", "REASON"),
            [
                [
                    partition.partition_name,
                    moment(partition.range_start),
                    moment(partition.range_end),
                    size(partition.total_bytes),
                    Text(partition.action, style=_COLOURS.get(partition.action, "")),
                    one_line(partition.reason),
                ]
                for partition in found
            ],
            right=("SIZE",),
            whole=("PARTITION", "ACTION"),
        )
    gone = [partition for partition in found if partition.action != "keep"]
    stays = len(found) - len(gone)
    output.line(
        f"{_counted(len(gone))} {'would go' if is_dry else 'went'}, "
        f"{size(sum(partition.total_bytes for partition in gone))}; {stays} expired ones stay."
    )
