"""What runs in the background, in one line above the footer; not there when nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.text import Text

from tsconsole.actions.spoken_keys import key_of
from tsconsole.background.operation import Operation
from tsconsole.formatting import age
from tsconsole.themes import palette
from tsconsole.widgets.line import Line, fitting, justified


class Tray(Line):
    """The operations that run now."""

    def __init__(self) -> None:
        super().__init__(classes="tray")
        self.display = False

    def display_operations(self, operations: Sequence[Operation], now: float) -> None:
        """Show these operations, with the time they have taken."""
        self.display = bool(operations)
        if not operations:
            return
        colours = palette(self.app)
        parts = []
        for operation in reversed(operations):
            spent = age(timedelta(seconds=max(now - operation.began, 0)))
            note = f" · {operation.note}" if operation.note else ""
            parts.append(Text(f"▶ {operation.title}{note} · {spent}"))
        if len(operations) > 1:
            parts.insert(0, Text(f"{len(operations)} operations", style="bold"))
        right = Text.assemble(
            (key_of("cancel"), f"bold {colours.accent}"), (" Cancel", colours.muted)
        )
        width = self.size.width or self.app.size.width - 2
        parts[0].truncate(max(width - right.cell_len - 2, 0), overflow="ellipsis")
        left = fitting(parts, width - right.cell_len - 2, Text("   "))
        self.show(justified(left, right, width))
