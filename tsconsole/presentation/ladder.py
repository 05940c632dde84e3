"""The chain of rollups that one stands in, as lines of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsconsole.models import RollupStatus


@dataclass(frozen=True)
class Rung:
    """One line: a source at depth 0, then what reads it, and what reads that."""

    depth: int
    name: str
    rollup: RollupStatus | None
    """None for the source, which is no rollup."""


def ladder_of(rollups: Sequence[RollupStatus], target: str) -> list[Rung]:
    """The source at the bottom of a rollup, the levels below it, itself, and every level above."""
    by_target = {rollup.target_table: rollup for rollup in rollups}
    below: list[RollupStatus] = []
    bottom, seen = target, set[str]()
    while bottom in by_target and bottom not in seen:
        seen.add(bottom)
        below.insert(0, by_target[bottom])
        bottom = by_target[bottom].source_table
    rungs = [Rung(0, bottom, None)]
    rungs += [Rung(depth, one.target_table, one) for depth, one in enumerate(below, start=1)]
    _climb(rollups, target, len(below) + 1, rungs, seen)
    return rungs


def _climb(
    rollups: Sequence[RollupStatus], source: str, depth: int, rungs: list[Rung], seen: set[str]
) -> None:
    for rollup in rollups:
        if rollup.source_table == source and rollup.target_table not in seen:
            seen.add(rollup.target_table)
            rungs.append(Rung(depth, rollup.target_table, rollup))
            _climb(rollups, rollup.target_table, depth + 1, rungs, seen)
