"""What an action would take away, read from the server while its question is already on screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tsconsole import operations
from tsconsole.background.operation import Connection
from tsconsole.formatting import short_number, size
from tsconsole.models import DetailedStat

Facts = Callable[[Connection], Awaitable[str]]


def of_drop(targets: Sequence[str]) -> Facts:
    """Rows, partitions and bytes of some rollups together."""

    async def read(connection: Connection) -> str:
        found: list[DetailedStat] = []
        if len(targets) == 1:
            found = await operations.detailed_stats(connection, _literally(targets[0]))
        else:
            everything = await operations.detailed_stats(connection)
            found = [stat for stat in everything if stat.target_table in targets]
        rows = sum(stat.row_estimate or 0 for stat in found)
        parts = sum(stat.partitions for stat in found)
        room = size(sum(stat.total_bytes for stat in found))
        s = "" if parts == 1 else "s"
        return f"Gone would be about {short_number(rows)} rows in {parts} partition{s}, {room}."

    return read


def of_maintenance(targets: Sequence[str] | None) -> Facts:
    """The partitions that retention would take away from some rollups, or from all."""

    async def read(connection: Connection) -> str:
        if targets is not None and len(targets) == 1:
            found = await operations.expired_partitions(connection, targets[0])
        else:
            found = await operations.expired_partitions(connection)
        gone = [
            part
            for part in found
            if part.action != "keep" and (targets is None or part.partitioned_table in targets)
        ]
        if not gone:
            return "Nothing is expired: no rows go."
        names = ", ".join(part.partition_name for part in gone[:4]) + (" …" if gone[4:] else "")
        room = size(sum(part.total_bytes for part in gone))
        s = "" if len(gone) == 1 else "s"
        return f"Expired, so it goes: {len(gone)} partition{s} with its rows, {room}: {names}."

    return read


def _literally(name: str) -> str:
    """A name as a pattern of LIKE that only it matches."""
    return name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
