"""The subcommands: each calls the operations that the console calls, and prints what they say."""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.progress import Progress, TaskID

from tsconsole import installer, operations
from tsconsole.commands import advising, tables
from tsconsole.commands.arguments import creation_request, moment, worker_options
from tsconsole.commands.output import Output, plain
from tsconsole.commands.server_choice import configuration, settings_of
from tsconsole.database import Settings, connect_once, connected
from tsconsole.errors import OperationError
from tsconsole.models import InstallStep, LadderRequest, MaintenanceTask, SchemaState, StepResult
from tsconsole.operations.calls import Connection

HEALTHY = {"OK", "RUNNING", "PAUSED"}
WATCH_SECONDS = 0.5


def demo(arguments: Namespace, output: Output) -> int:
    """Start an embedded PostgreSQL with live data, rollups and a worker, and open the console."""
    from tsconsole.demo import run_demo

    return run_demo(
        data_dir=arguments.data_dir,
        console=not arguments.no_console,
        reset=arguments.reset,
        as_json=output.as_json,
        rows=arguments.rows,
        screenshot=arguments.screenshot,
    )


def install(arguments: Namespace, output: Output) -> int:
    """Install the SQL core, or bring it up to date; does nothing when it is current."""
    if arguments.print:
        output.text(installer.print_sql())
        return 0
    return _run(_install(arguments, output))


async def _install(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        with output.progress() as progress:
            bar = progress.add_task("waiting for another installer", total=None)

            def show(step: InstallStep, position: int, count: int) -> None:
                progress.update(
                    bar, description=step.file_name, completed=position - 1, total=count
                )

            plan = await installer.install(connection, show)
    if output.as_json:
        output.result({"was": plan.state, "applied": plan.pending, "state": SchemaState.CURRENT})
    elif plan.pending:
        output.line(f"The core was {plan.state.value}; {len(plan.pending)} files were applied.")
    else:
        output.line(f"The core is current, all {len(plan.steps)} files.")
    return 0


def status(arguments: Namespace, output: Output) -> int:
    """Show every rollup, worst first; the exit code is 1 when any is WARNING or ALERT."""
    return _run(_status(arguments, output))


async def _status(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        snapshot = await operations.monitor_snapshot(connection, error_limit=20)
    if output.as_json:
        shown = plain(snapshot)
        output.result({name: shown[name] for name in ("database_time", *tables.SNAPSHOT_PARTS)})
    else:
        tables.print_snapshot(output, snapshot)
    return 0 if all(rollup.health_status in HEALTHY for rollup in snapshot.operations) else 1


def create(arguments: Namespace, output: Output) -> int:
    """Create a rollup, or with --ladder a chain of them; the first run fills it."""
    return _run(_create(arguments, output))


async def _create(arguments: Namespace, output: Output) -> int:
    request = creation_request(arguments)
    statement = operations.create_statement(request)
    async with connected(settings_of(arguments)) as connection:
        if arguments.dry_run:
            created = await operations.validate_create(connection, request)
        elif isinstance(request, LadderRequest):
            created = await operations.create_ladder(connection, request)
        else:
            created = await operations.create_rollup(connection, request)
    if output.as_json:
        output.result(plain(created) | {"sql": statement, "dry_run": arguments.dry_run})
        return 0
    for notice in created.notices:
        output.note(f"note: {notice}")
    if arguments.dry_run:
        output.text(statement)
        output.note("It would create " + ", ".join(created.targets) + "; nothing was changed.")
    else:
        output.line("Created " + ", ".join(created.targets) + ".")
    return 0


def run(arguments: Namespace, output: Output) -> int:
    """Run rollups, lower levels first, until nothing is left to do."""
    return _run(_run_rollups(arguments, output))


async def _run_rollups(arguments: Namespace, output: Output) -> int:
    settings = settings_of(arguments)
    async with connected(settings) as connection:
        targets = await operations.targets_of(connection, arguments.table)
        with output.progress() as progress, _stopped_between_steps(output) as check:
            bar = progress.add_task("", total=len(targets))

            def on_step(step: StepResult) -> None:
                progress.update(bar, description=tables.step_line(step))
                check()

            async with _watched(settings, targets, progress, bar):
                steps = await operations.run_table(connection, arguments.table, on_step)
        return await _conclude(connection, output, targets, steps)


def retry(arguments: Namespace, output: Output) -> int:
    """Try a failing rollup again now, or all whose time to retry has come."""
    return _run(_retry(arguments, output))


async def _retry(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        if arguments.table is None:
            steps = await operations.retry_due(connection)
            targets = sorted({step.target_table for step in steps})
        else:
            targets, steps = await operations.targets_of(connection, arguments.table), []
            for target in targets:
                steps += await operations.retry(connection, target)
        return await _conclude(connection, output, targets, steps)


def maintain(arguments: Namespace, output: Output) -> int:
    """Make partitions ahead, apply retention, gather statistics, prune the logs."""
    return _run(_show_plan(arguments, output) if arguments.list else _maintain(arguments, output))


async def _maintain(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        with output.progress() as progress:
            bar = progress.add_task(
                "maintaining " + (arguments.table or "every rollup"), total=None
            )

            def show(task: MaintenanceTask, position: int, count: int) -> None:
                text = f"{task.target_table} {task.task} {task.outcome}"
                progress.update(bar, description=text, completed=position, total=count)

            tasks = await operations.maintain(connection, arguments.table, arguments.task, show)
    if output.as_json:
        output.result({"tasks": tasks})
    else:
        tables.print_tasks(output, tasks)
    return 1 if any(task.outcome == "failed" for task in tasks) else 0


async def _show_plan(arguments: Namespace, output: Output) -> int:
    async with connected(settings_of(arguments)) as connection:
        plan = await operations.planned_tasks(connection, arguments.table, arguments.task)
        now = (await operations.server_info(connection)).database_time
    if output.as_json:
        output.result({"tasks": plan})
    else:
        tables.print_plan(output, plan, now)
    return 1 if any(task.last_outcome == "failed" for task in plan) else 0


def advise(arguments: Namespace, output: Output) -> int:
    """Say which indexes of a table would pay and which are in the way; --apply acts on one."""
    return _run(advising.advise(settings_of(arguments), arguments.table, arguments.apply, output))


def verify(arguments: Namespace, output: Output) -> int:
    """Compare rollups with GROUP BY over their sources; the exit code is 1 when any differs."""
    return _run(_verify(arguments, output))


async def _verify(arguments: Namespace, output: Output) -> int:
    from_time = moment("--from", arguments.from_time)
    to_time = moment("--to", arguments.to_time)
    found, queued = {}, {}
    notices: list[str] = []
    async with connected(settings_of(arguments)) as connection:
        targets = await operations.targets_of(connection, arguments.table)
        with output.progress() as progress:
            for target in progress.track(targets, description="verifying"):
                found[target] = await operations.verify(
                    connection, target, from_time, to_time, lambda _, text: notices.append(text)
                )
                if arguments.repair and found[target]:
                    queued[target] = await operations.repair(connection, target, from_time, to_time)
    if output.as_json:
        repaired = {"queued": queued} if arguments.repair else {}
        output.result({"verified": targets, "differences": found, "notices": notices} | repaired)
    else:
        for notice in notices:
            output.note(f"note: {notice}")
        tables.print_differences(output, found)
        for target, buckets in queued.items():
            output.line(f"{target}: {buckets} buckets are queued; the next run puts them right.")
    return 1 if any(found.values()) else 0


def worker(arguments: Namespace, output: Output) -> int:
    """Run what is due until SIGTERM or SIGINT; the steps in hand end first."""
    from tsconsole.worker import run_worker

    config, settings = configuration(arguments)
    return asyncio.run(run_worker(settings, worker_options(arguments, config.worker)))


def doctor(arguments: Namespace, output: Output) -> int:
    """Say what the database offers, what will hurt, and what to do about each."""
    return _run(_doctor(arguments, output))


async def _doctor(arguments: Namespace, output: Output) -> int:
    from tsconsole.doctor import check_up

    async with connected(settings_of(arguments)) as connection:
        findings = await check_up(connection)
    if output.as_json:
        output.result({"findings": findings})
    else:
        tables.print_findings(output, findings)
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _run(command: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(command)


async def _conclude(
    connection: Connection, output: Output, targets: Sequence[str], steps: Sequence[StepResult]
) -> int:
    """Print what the steps did and how each rollup stands now: one that waits did no step."""
    monitor = await operations.list_operations(connection)
    rollups = [rollup for rollup in monitor if rollup.target_table in targets]
    if output.as_json:
        output.result({"steps": steps, "rollups": rollups})
    else:
        tables.print_steps(output, steps, rollups)
    failing = any(rollup.status in ("retrying", "failed") for rollup in rollups)
    return 1 if failing or any(step.outcome == "failed" for step in steps) else 0


@contextmanager
def _stopped_between_steps(output: Output) -> Iterator[Callable[[], None]]:
    """Ctrl+C lets the step in hand end; a second one cancels it.

    A step that is cancelled counts as a failure and is retried later: ending it is kinder.
    """
    told: list[int] = []
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        told.append(1)
        if len(told) == 1:
            output.note("The step in hand ends first; Ctrl+C again cancels it.")
        elif task is not None:
            task.cancel()

    def check() -> None:
        if told:
            raise KeyboardInterrupt

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield check
    finally:
        loop.remove_signal_handler(signal.SIGINT)


class _watched:
    """Moves the bar from a second connection while steps run on the first."""

    def __init__(
        self, settings: Settings, targets: Sequence[str], progress: Progress, bar: TaskID
    ) -> None:
        self._settings, self._targets = settings, targets
        self._progress, self._bar = progress, bar
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if not self._progress.disable:
            self._watch = asyncio.create_task(self._look())

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    async def _look(self) -> None:
        # A bar that stands still harms nobody: whatever fails here ends the watching only.
        with suppress(OperationError):
            connection = await connect_once(self._settings)
            async with connection:
                while True:
                    done = 0.0
                    for target in self._targets:
                        progress = await operations.progress(connection, target)
                        done += (progress.fraction or 0.0) if progress else 0.0
                    self._progress.update(self._bar, completed=done)
                    await asyncio.sleep(WATCH_SECONDS)
