"""The operations of the console as background work: what they call, report and conclude."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from tsconsole import operations
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Connection, Report, Result, Work
from tsconsole.errors import ConnectionLost, OperationError
from tsconsole.formatting import age, moment, one_line, short_number, took
from tsconsole.models import (
    Difference,
    MaintenanceTask,
    StepResult,
)

SHOWN_DIFFERENCES = 200
DROP_ATTEMPTS = 5
DEADLOCK = "40P01"

Works: TypeAlias = Sequence[tuple[str, Work]]
"""What is to be done, each with the name of what it is done to."""


def run(target: str | None) -> Work:
    """Run one rollup, or all (None), until nothing is left to do."""

    async def work(connection: Connection, report: Report) -> Result:
        steps = await operations.run_table(connection, target, _counter(report))
        return conclude_run(steps)

    return work


def retry(target: str) -> Work:
    """Try a failing rollup again without waiting, then let it go on."""

    async def work(connection: Connection, report: Report) -> Result:
        steps = list(await operations.retry(connection, target))
        if steps and not any(step.outcome == "failed" for step in steps):
            steps += await operations.run_table(connection, target, _counter(report))
        return conclude_run(steps)

    return work


async def retry_due(connection: Connection, report: Report) -> Result:
    """Try again everything whose waiting time is over."""
    steps = await operations.retry_due(connection)
    return conclude_run(steps) if steps else Result("nothing is due for a retry")


def pause(target: str, is_paused: bool) -> Work:
    """Pause a rollup, or let it go on."""

    async def work(connection: Connection, report: Report) -> Result:
        if is_paused:
            await operations.resume(connection, target)
            return Result("resumed")
        await operations.pause(connection, target)
        return Result("paused; nothing runs it until it is resumed")

    return work


def maintain(target: str | None) -> Work:
    """Do the upkeep of one rollup, or of all (None)."""

    async def work(connection: Connection, report: Report) -> Result:
        return conclude_maintenance(await operations.maintain(connection, target))

    return work


def verify(target: str, back: timedelta | None, now: datetime) -> Work:
    """Compare a rollup with its source, over the last `back` or as a whole."""

    async def work(connection: Connection, report: Report) -> Result:
        from_time = now - back if back else None
        report("reading the source")
        left_out: list[str] = []

        def remember(severity: str, text: str) -> None:
            # That "the last hour" is widened to whole buckets goes without saying.
            if severity == "WARNING":
                left_out.append(text)

        found = await operations.verify(connection, target, from_time, None, on_notice=remember)
        covered = f"the last {age(back)}" if back else "everything it covers"
        return conclude_verify(found, "; ".join([covered, *left_out]))

    return work


def drop(target: str) -> Work:
    """Drop a rollup with its rows."""

    async def work(connection: Connection, report: Report) -> Result:
        def tell(rest: int) -> None:
            report(f"{rest:,} partitions are left")

        for attempt in range(1, DROP_ATTEMPTS + 1):
            try:
                await operations.drop_rollup(connection, target, on_rest=tell)
                break
            except OperationError as error:
                # Whoever reads the rollup just now holds some of its relations and wants others.
                if error.sqlstate != DEADLOCK or attempt == DROP_ATTEMPTS:
                    raise
                report("somebody reads it; trying again")
        return Result("dropped, with its rows and partitions")

    return work


def several(works: Works) -> Work:
    """Do one thing after the other; one that fails does not stop the next."""

    async def work(connection: Connection, report: Report) -> Result:
        ended: list[tuple[str, Result]] = []
        for position, (target, one) in enumerate(works, start=1):
            place = f"{position} of {len(works)}: {target}"
            report(place)

            def report_within(note: str, place: str = place) -> None:
                report(f"{place} · {note}")

            try:
                ended.append((target, await one(connection, report_within)))
            except ConnectionLost:
                raise
            except OperationError as error:
                ended.append((target, Result(error.message, "error", error.hint)))
        return conclude_several(ended)

    return work


def bottom_up(works: Works) -> Work:
    """Like `several`, the levels of a ladder first that others read: a run of the one above finds
    what they have written."""
    return _along_ladders(works, is_downward=False)


def top_down(works: Works) -> Work:
    """Like `several`, what reads before what it reads from: that cannot be dropped before."""
    return _along_ladders(works, is_downward=True)


def _along_ladders(works: Works, is_downward: bool) -> Work:
    async def work(connection: Connection, report: Report) -> Result:
        rank = {target: rank for rank, target in enumerate(await operations.targets_of(connection))}
        ordered = sorted(works, key=lambda one: rank.get(one[0], -1), reverse=is_downward)
        return await several(ordered)(connection, report)

    return work


def conclude_several(ended: Sequence[tuple[str, Result]]) -> Result:
    """Say how many went well, and the first that did not."""
    text = "\n\n".join(
        "\n".join(filter(None, (f"{target}: {result.message}", result.text)))
        for target, result in ended
    )
    failed = [(target, result) for target, result in ended if result.severity == "error"]
    if failed:
        target, result = failed[0]
        words = f"{len(failed)} of {len(ended)} failed, first {target}: {result.message}"
        return Result(words, "error", text)
    messages = list(dict.fromkeys(result.message for _, result in ended))
    warned = any(result.severity == "warning" for _, result in ended)
    said = messages[0] if len(messages) == 1 else spoken("enter in the log ({log}) shows each")
    return Result(f"{len(ended)} done: {said}", "warning" if warned else "information", text)


def cancel_step(target: str, pid: int, and_pause: bool = False) -> Work:
    """Cancel the step that a backend of somebody else runs; pause the rollup too if it shall not
    be tried again."""

    async def work(connection: Connection, report: Report) -> Result:
        if and_pause:
            # First, so that whoever is cancelled does not begin it again at once.
            await operations.pause(connection, target)
        paused = (
            spoken(", and paused: {pause} lets it go on")
            if and_pause
            else "; it is tried again later"
        )
        if await operations.cancel_step(connection, target, pid):
            return Result(f"backend {pid} was told to cancel{paused}")
        ended = f"backend {pid} does not run it any more: nothing was cancelled"
        return Result(f"{ended}{', but it is paused' if and_pause else ''}", "warning")

    return work


def acknowledge(error_id: int | None) -> Work:
    """Note that an error, with those like it, or every error (None) was seen to."""

    async def work(connection: Connection, report: Report) -> Result:
        count = await operations.acknowledge(connection, error_id)
        if not count:
            return Result("it was acknowledged already" if error_id else "nothing was new")
        return Result(f"{count} error{'s' if count != 1 else ''} acknowledged")

    return work


def conclude_run(steps: Sequence[StepResult]) -> Result:
    """Say in one sentence what some steps did; the worst outcome comes first."""
    read = sum(step.rows_read or 0 for step in steps)
    written = sum(step.rows_written or 0 for step in steps)
    done = [step for step in steps if step.outcome == "done"]
    failed = {s.target_table: s for s in steps if s.outcome == "failed"}
    text = "\n".join(_step_line(step) for step in steps)
    if failed:
        first = next(iter(failed.values()))
        who = f"{first.target_table}: " if len({step.target_table for step in steps}) > 1 else ""
        more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        return Result(f"failed: {who}{one_line(first.error_message)}{more}", "error", text)
    if done:
        spent = sum((s.duration for s in done if s.duration), timedelta())
        count = f"{len(done)} step" + ("s" if len(done) != 1 else "")
        sums = f"{short_number(read)} rows read, {short_number(written)} written"
        return Result(f"{count}, {sums}, {took(spent)}", text=text)
    for outcome, sentence in _NOTHING_DONE.items():
        if any(step.outcome == outcome for step in steps):
            return Result(spoken(sentence), "information" if outcome == "idle" else "warning", text)
    return Result("nothing to do", text=text)


_NOTHING_DONE = {
    "busy": "busy: another worker is at it",
    "waiting": "waiting for its next retry; {retry} tries again at once",
    "paused": "paused; {pause} lets it go on",
    "idle": "nothing to do: complete up to its watermark",
}


def conclude_maintenance(tasks: Sequence[MaintenanceTask]) -> Result:
    """Say in one sentence what maintenance did."""
    text = "\n".join(
        f"{task.outcome:8} {task.target_table}  {task.task}  {task.detail or ''}".rstrip()
        for task in tasks
    )
    failed = [task for task in tasks if task.outcome == "failed"]
    if failed:
        first = failed[0]
        return Result(f"{first.task} failed: {one_line(first.detail)}", "error", text)
    done = [task for task in tasks if task.outcome == "done"]
    if not done:
        return Result("nothing needed doing", text=text)
    names = ", ".join(dict.fromkeys(task.task for task in done))
    return Result(f"{len(done)} tasks done: {names}", text=text)


def conclude_verify(found: Sequence[Difference], covered: str) -> Result:
    """Say whether a rollup is what its source says."""
    if not found:
        return Result(f"equal to GROUP BY over the source, for {covered}")
    lines = [
        f"{moment(d.bucket)}  {dict(d.dimensions or {})}  {d.column_name}: "
        f"expected {d.expected}, found {d.found}"
        for d in found[:SHOWN_DIFFERENCES]
    ]
    if len(found) > SHOWN_DIFFERENCES:
        lines.append(f"… and {len(found) - SHOWN_DIFFERENCES} more")
    count = f"{len(found)} value{'s' if len(found) != 1 else ''}"
    return Result(f"{count} differ from the source, over {covered}", "error", "\n".join(lines))


def _counter(report: Report) -> Callable[[StepResult], None]:
    """Report the steps done so far, as they end."""
    steps = rows = 0

    def on_step(step: StepResult) -> None:
        nonlocal steps, rows
        if step.outcome == "done":
            steps += 1
            rows += step.rows_read or 0
        report(f"step {steps}, {short_number(rows)} rows")

    return on_step


def _step_line(step: StepResult) -> str:
    window = ""
    if step.window_start and step.window_end:
        window = f"{moment(step.window_start)} to {moment(step.window_end)}  "
    rows = f"{step.rows_read} read, {step.rows_written} written, {took(step.duration)}"
    what = step.error_message if step.outcome == "failed" else rows if step.rows_read else ""
    work = step.work or ""
    return f"{step.outcome:8} {step.target_table}  {work:9} {window}{what or ''}".rstrip()
