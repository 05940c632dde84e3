"""What the command line prints: results to stdout, as tables or JSON; all else to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from tsconsole.errors import OperationError, TsconsoleError

if TYPE_CHECKING:
    from rich.progress import Progress

WIDE = 220
"""Columns of a table that goes to a file or a pipe: nothing is cut there."""

Cell = str | Text


class Output:
    """Where the results, the diagnostics and the progress of one command go."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._results = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
        self._diagnostics = Console(stderr=True, highlight=False, soft_wrap=True)

    def result(self, value: Any) -> None:
        """Print a result for machines."""
        text = json.dumps(plain(value), indent=2, ensure_ascii=False)
        sys.stdout.write(text + "\n")

    def text(self, text: str) -> None:
        """Print text as it is, such as SQL."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def line(self, text: Cell) -> None:
        """Print one line of a result for people."""
        self._results.print(text, markup=False, soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        right: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> None:
        """Print a table; `right` names the columns of numbers, `whole` those that never wrap."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in columns:
            justify = "right" if name in right else "left"
            keep = name in right or name in whole
            table.add_column(name, justify=justify, no_wrap=keep, overflow="fold")  # type: ignore[arg-type]
        for row in rows:
            # Server text is no markup.
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        self._results.print(table)

    def note(self, text: str) -> None:
        """Tell people something that is no result."""
        self._diagnostics.print(text, markup=False)

    def error(self, error: TsconsoleError) -> None:
        """Print an error: what is wrong, and what to do."""
        self.note(f"tsconsole: {error.message}")
        if isinstance(error, OperationError) and error.detail:
            self.note(f"  detail: {error.detail}")
        if error.hint:
            self.note(f"  hint: {error.hint}")

    def progress(self) -> Progress:
        """A progress bar on stderr; none where nobody watches."""
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        return Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._diagnostics,
            disable=not self._diagnostics.is_terminal,
            transient=True,
        )


def plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, durations in seconds, dataclasses as objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value
