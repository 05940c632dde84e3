"""The partitions of the selected rollup: how much they hold, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.text import Text

from tsconsole.formatting import ABSENT, day_of, fit_names, short_number, size
from tsconsole.models import PartitionStat
from tsconsole.presentation.filtering import passes
from tsconsole.themes import palette
from tsconsole.widgets.live_table import Column
from tsconsole.widgets.pane import Pane


class PartitionsPane(Pane):
    """Pane 2."""

    number = 2
    title = "Partitions"
    show_header = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._target: str | None = None
        self._all: Sequence[PartitionStat] = ()
        self._partitions: list[PartitionStat] = []
        self._now: datetime | None = None

    def display_partitions(
        self, target: str | None, partitions: Sequence[PartitionStat], now: datetime | None
    ) -> None:
        """Show the partitions of a rollup."""
        self._now = now
        if self.is_given(target, partitions, now and day_of(now)):
            return
        self._target, self._all = target, partitions
        self.draw()

    def draw(self) -> None:
        """Write the rows, the newest first."""
        room = self.size.width - self.table.scrollbar_size_vertical
        if room <= 0 or self._now is None:
            return
        self._partitions = [
            part for part in self._all
            if passes(f"{part.partition_name} {part.range_start} {part.state}", self.filter)
        ]  # fmt: skip
        labels = [range_label(part, self._now) for part in self._partitions]
        first = max(map(len, labels), default=5)
        states = max((len(_state(part)) for part in self._partitions), default=0)
        widths = {"range": first, "bar": 0, "size": 6, "rows": 6, "state": states}
        used = [key for key, width in widths.items() if width or key == "bar"]
        widths["bar"] = min(max(room - sum(widths.values()) - 2 * len(used), 0), 32)
        used = [key for key in used if widths[key]]
        rights = ("size", "rows")
        self.table.lay_out([Column(key, "", widths[key], key in rights) for key in used])
        drawn = widths["bar"]
        largest = max((part.total_bytes for part in self._partitions), default=0) or 1
        rows = {
            part.partition_name: [self._cells(part, label, drawn, largest)[key] for key in used]
            for part, label in zip(self._partitions, labels, strict=True)
        }
        self.table.show(rows)
        words = "No rollup is selected." if self._target is None else "No partitions yet."
        self.say("" if rows else self.empty_or(words, len(self._all)))
        total = sum(part.total_bytes for part in self._partitions)
        below = f"{size(total)} in {len(rows)}" if rows else ""
        name = self._target or ""
        hidden = self.hidden_words(len(self._all) - len(rows))
        name = fit_names([name], max(self.size.width - 20 - len(hidden), 12))[name]
        self.set_titles(" · ".join(filter(None, [name, hidden])), below)

    def _cells(self, part: PartitionStat, label: str, drawn: int, largest: int) -> dict[str, Text]:
        colours = palette(self.app)
        muted = colours.muted if part.state in ("premade", "expired") else ""
        state = _state(part)
        rows = ABSENT if part.row_estimate is None else short_number(part.row_estimate)
        return {
            "range": Text(label, style=muted),
            "bar": Text("━" * round(part.total_bytes / largest * drawn), style=colours.bar),
            "size": Text(size(part.total_bytes), justify="right", style=muted),
            "rows": Text(rows, justify="right", style=muted),
            "state": Text(state, style="" if state == "expired" else colours.muted),
        }


def _state(part: PartitionStat) -> str:
    """What is worth saying: that a partition of the past is closed is not."""
    return "" if part.state == "closed" else part.state


def range_label(part: PartitionStat, now: datetime) -> str:
    """Name a partition by the start of its range, as coarsely as its width allows."""
    if part.range_start is None:
        return part.partition_name
    start = part.range_start.astimezone()
    year = "" if start.year == now.astimezone().year else f"{start:%Y}-"
    width = part.range_end - part.range_start if part.range_end else timedelta(days=1)
    if width >= timedelta(days=365):
        return f"{start:%Y}"
    if width >= timedelta(days=28) and start.day == 1:
        return f"{start:%Y-%m}"
    if width >= timedelta(days=1) and (start.hour, start.minute) == (0, 0):
        return f"{year}{start:%m-%d}"
    return f"{year}{start:%m-%d %H:%M}"
