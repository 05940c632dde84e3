"""Records what the panes showed: every answer of the server that a screen asked for.

A file of gzip members, each complete in itself: the oldest are dropped when it grows too large,
and whatever ends the program, all but the last second can be read. It knows no widgets.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tsconsole.errors import ConfigError, OperationError
from tsconsole.recording.tape_format import Rows

HEAD = {"tsconsole": "recording", "version": 1}
LIMIT = 32 * 2**20
"""Bytes of a recording."""
SEGMENT = 120
"""Lines in one segment: some four minutes."""

Call = Callable[..., Awaitable[Any]]


class Recorder:
    """Writes a recording; what goes wrong with the file is said once, and ends the recording."""

    def __init__(
        self, path: Path, limit: int = LIMIT, clock: Callable[[], float] = time.time
    ) -> None:
        self.path, self._limit, self._clock = path, limit, clock
        self._rows, self._lines = Rows(), 0
        self._starts: list[int] = []
        self._seen: dict[str, Any] = {}
        self.fault: str | None = None
        try:
            self._file = path.open("xb")
        except FileExistsError:
            raise ConfigError(
                f"{path} exists already.", "Name a new file for the recording."
            ) from None
        except OSError as error:
            raise ConfigError(f"Cannot write {path}: {error.strerror}.") from None
        self._begin()

    async def call(self, name: str, given: tuple[Any, ...], call: Call) -> Any:
        """Call an operation, and record what it returned or why it failed."""
        try:
            answer = await call()
        except OperationError as error:
            self.note(name, given, error)
            raise
        self.note(name, given, answer)
        return answer

    def note(self, name: str, given: tuple[Any, ...], answer: Any) -> None:
        """Record one answer, or the error in its place."""
        if self.fault is not None:
            return
        line: dict[str, Any] = {"t": round(self._clock(), 3), "o": name}
        line["a"] = [repr(argument) for argument in given]
        if isinstance(answer, OperationError):
            line["x"] = [type(answer).__name__, answer.message, answer.hint]
        else:
            line["r"] = self._rows.encode(answer)
        if self._rows.new:
            line["n"], self._rows.new = self._rows.new, []
        with suppress(OSError, ValueError):
            self._write(line)
            self._lines += 1
            if self._lines >= SEGMENT:
                self._packed.close()
                self._shorten()
                self._begin()
            return
        self.fault = f"{self.path} cannot be written any more; the recording has ended."

    def close(self) -> None:
        """End the recording."""
        with suppress(OSError, ValueError):
            self._packed.close()
            self._file.close()

    def _begin(self) -> None:
        self._starts.append(self._file.tell())
        self._packed = gzip.GzipFile(fileobj=self._file, mode="wb", mtime=0)
        self._rows, self._lines = Rows(), 0
        self._write(HEAD)

    def _write(self, line: Any) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        self._packed.write(text.encode() + b"\n")
        self._packed.flush()
        self._file.flush()

    def _shorten(self) -> None:
        """Drop the oldest segments, a quarter of the file at once."""
        self._file.flush()
        if self._file.tell() <= self._limit:
            return
        wanted = self._file.tell() - self._limit * 3 // 4
        kept = next((at for at in self._starts if at >= wanted), 0)
        if not kept:
            return
        rest = self.path.with_name(self.path.name + ".part")
        with self.path.open("rb") as old, rest.open("wb") as new:
            old.seek(kept)
            while block := old.read(2**20):
                new.write(block)
        self._file.close()
        rest.replace(self.path)
        self._file = self.path.open("ab")
        self._starts = [at - kept for at in self._starts if at >= kept]
