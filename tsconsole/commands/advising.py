"""The subcommand `advise`: what to do about the indexes of a table, and doing one of them."""

from __future__ import annotations

from collections.abc import Sequence

from tsconsole import operations
from tsconsole.commands.output import Output
from tsconsole.database import Settings, connected
from tsconsole.errors import ArgumentError
from tsconsole.formatting import one_line, short_number, size
from tsconsole.models import IndexAdvice, IndexProgress

SHOWN_STATEMENTS = 3


async def advise(settings: Settings, table: str, index: str | None, output: Output) -> int:
    """Print the advice on a table, or follow that on one index; the exit code."""
    async with connected(settings) as connection:
        found = await operations.recommend_indexes(connection, table)
    if index is not None:
        return await _follow(settings, found, index, output)
    if output.as_json:
        output.result({"advice": found})
    else:
        _print_advice(output, found)
    return 0


async def _follow(
    settings: Settings, found: Sequence[IndexAdvice], index: str, output: Output
) -> int:
    chosen = next((one for one in found if one.index_name == index), None)
    if chosen is None:
        named = ", ".join(one.index_name for one in found if one.index_name) or "it names none"
        raise ArgumentError(f"--apply {index} is no index of the advice: {named}.")
    with output.progress() as progress:
        bar = progress.add_task("", total=1)

        def show(now: IndexProgress) -> None:
            progress.update(bar, completed=now.fraction, description=_build_line(now))

        done = await operations.follow_advice(settings, chosen, show)
    if output.as_json:
        output.result({"advice": chosen, "statements": done})
    else:
        verb = "Built" if chosen.advice == "create" else "Dropped"
        output.line(f"{verb} {chosen.index_name}.")
    return 0


def _print_advice(output: Output, found: Sequence[IndexAdvice]) -> None:
    """What to do about indexes, with the statements; of many only the first."""
    if not found:
        output.line("Every index that would pay is there, and none is in the way.")
        return
    output.table(
        ("ADVICE", "KIND", "INDEX", "SIZE", "COST", "REASON"),
        [
            [
                one.advice,
                one.kind,
                one.index_name or "",
                size(one.size_bytes) if one.size_bytes is not None else "",
                _saving(one),
                one_line(one.reason),
            ]
            for one in found
        ],
        right=("SIZE", "COST"),
        whole=("ADVICE", "KIND"),
    )
    for one in found:
        statements = (one.statement or "").splitlines()
        for statement in statements[:SHOWN_STATEMENTS]:
            output.line(statement)
        if len(statements) > SHOWN_STATEMENTS:
            rest = len(statements) - SHOWN_STATEMENTS
            output.line(f"-- and {rest} more: --apply {one.index_name} runs them all.")


def _build_line(progress: IndexProgress) -> str:
    """What is being done to an index now."""
    line = progress.statement
    if progress.steps > 1:
        line = f"{progress.step} of {progress.steps}: {line}"
    if progress.phase:
        line += f", {progress.phase}"
    if progress.waits_for:
        line += f", waits for pid {progress.waits_for}"
    return line


def _saving(one: IndexAdvice) -> str:
    if one.cost_before is None or one.cost_after is None:
        return ""
    return f"{short_number(one.cost_before)} → {short_number(one.cost_after)}"
