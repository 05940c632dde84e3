"""Plays a recording back: at any moment of it, operations answer what they answered then.

It knows no widgets: the screens poll it as they would poll a server.
"""

from __future__ import annotations

import bisect
import gzip
import json
import math
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from tsconsole.background.operation import Connection
from tsconsole.errors import ConfigError, ConnectionLost, OperationError
from tsconsole.models import MonitorSnapshot, ServerInfo
from tsconsole.recording.recorder import HEAD, Call
from tsconsole.recording.tape_format import decode

MONITOR = "monitor_snapshot"
HOUR = 3600.0
BURST = 0.25
"""Seconds between two answers that do not belong to one poll."""


class Replay:
    """A recording and a moment in it."""

    def __init__(self, path: Path) -> None:
        self._lines: list[tuple[dict[str, Any], list[Any]]] = []
        self._by_call: dict[str, list[int]] = {}
        self._read(path)
        self._times = [line["t"] for line, _ in self._lines]
        if not self._times:
            raise ConfigError(f"{path} has nothing in it that could be replayed.")
        self.moments = _bursts(self._times)
        first = self._by_call.get(MONITOR, [0])[0]
        self.at = self.moments[bisect.bisect_right(self.moments, self._times[first]) - 1]
        self.tape = self

    @property
    def words(self) -> str:
        """Where it is, for the header."""
        when = datetime.fromtimestamp(self.at, timezone.utc).astimezone()
        return f"{when:%Y-%m-%d %H:%M:%S} · {self._position() + 1} of {len(self.moments)}"

    def clock(self) -> float:
        """Stands still at the moment that is shown."""
        return self.at

    def step(self, by: int) -> bool:
        """Go so many moments on or back; False at an end."""
        return self._go(self._position() + by)

    def seek(self, seconds: float) -> bool:
        """Go to the moment that is nearest to so many seconds on or back, at least one further."""
        wanted = self.at + seconds
        position = bisect.bisect_right(self.moments, wanted) - 1
        if seconds < 0:
            position = min(position, self._position() - 1)
        return self._go(max(position, self._position() + 1) if seconds > 0 else position)

    def server(self) -> ServerInfo | None:
        """The server that was recorded, as it was last seen at this moment."""
        found = self._last("server_info", None)
        if found is None:
            found = next(iter(self._by_call.get("server_info", [])), None)
        return None if found is None else cast("ServerInfo", self._answer(found))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Something that operations take for a connection."""
        last = self._last("connect", None)
        if last is not None and last == self._until() - 1:
            self._answer(last)
        yield cast("Connection", self)

    async def call(self, name: str, given: tuple[Any, ...], call: Call) -> Any:
        """What the operation answered at this moment."""
        if name == MONITOR:
            return self._monitor(given)
        found = self._last(name, given)
        if found is None:
            found = self._last(name, given[:1])
        if found is None:
            raise OperationError(
                "The recording has nothing of this at this moment.",
                "Only what was on the screen is recorded.",
            )
        return self._answer(found)

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Nor to close."""

    def _monitor(self, given: tuple[Any, ...]) -> MonitorSnapshot:
        """The latest snapshot; the partitions of the rollup under the cursor, if they were seen."""
        last = self._last(MONITOR, None)
        if last is None:
            raise OperationError("The recording has nothing of this at this moment.")
        snapshot = cast("MonitorSnapshot", self._answer(last))
        target = given[0] if given and isinstance(given[0], str) else None
        with_parts = self._last(MONITOR, (target,)) if target else None
        with_steps = self._last(MONITOR, (("with_steps", True),))
        return replace(
            snapshot,
            selected_target=target,
            partitions=() if with_parts is None else self._answer(with_parts).partitions,
            steps=() if with_steps is None else self._answer(with_steps).steps,
            activity=self._activity(),
            errors=snapshot.errors if snapshot.errors is not None else self._errors(),
        )

    def _errors(self) -> tuple[Any, ...] | None:
        """The errors as they were last seen at this moment: a hidden pane asks for none."""
        for index in reversed(self._by_call[MONITOR][: self._count(MONITOR)]):
            line, rows = self._lines[index]
            content = rows[line["r"]["v"]]["v"].get("errors") if "r" in line else None
            if content is not None:
                return cast("tuple[Any, ...]", decode(content, rows))
        return None

    def _activity(self) -> tuple[Any, ...] | None:
        """The hour before this moment, put together from what was read piece by piece."""
        minutes: dict[Any, Any] = {}
        for index in self._by_call.get(MONITOR, [])[: self._count(MONITOR)]:
            line, rows = self._lines[index]
            if line["t"] > self.at - HOUR and "r" in line:
                content = rows[line["r"]["v"]]["v"].get("activity")
                for minute in decode(content, rows) or ():
                    minutes[minute.minute] = minute
        return tuple(minutes.values()) or None

    def _last(self, name: str, given: tuple[Any, ...] | None) -> int | None:
        key = name if given is None else _key(name, [repr(argument) for argument in given])
        found = self._by_call.get(key, [])
        position = bisect.bisect_left(found, self._until()) - 1
        return found[position] if position >= 0 else None

    def _count(self, key: str) -> int:
        return bisect.bisect_left(self._by_call.get(key, []), self._until())

    def _until(self) -> int:
        """Everything before the next moment belongs to this one."""
        following = self._position() + 1
        if following >= len(self.moments):
            return len(self._times)
        return bisect.bisect_left(self._times, self.moments[following])

    def _answer(self, index: int) -> Any:
        line, rows = self._lines[index]
        if "x" in line:
            kind, message, hint = line["x"]
            raise (ConnectionLost if kind == "ConnectionLost" else OperationError)(message, hint)
        return decode(line["r"], rows)

    def _position(self) -> int:
        return bisect.bisect_right(self.moments, self.at) - 1

    def _go(self, position: int) -> bool:
        position = min(max(position, 0), len(self.moments) - 1)
        moved, self.at = self.at != self.moments[position], self.moments[position]
        return moved

    def _read(self, path: Path) -> None:
        rows: list[Any] = []
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for number, text in enumerate(file):
                    line = json.loads(text)
                    if line == HEAD:
                        rows = []
                    elif number == 0:
                        raise ValueError
                    else:
                        rows += line.get("n", ())
                        self._add(line, rows)
        except FileNotFoundError:
            raise ConfigError(f"There is no file {path}.") from None
        except (EOFError, zlib.error):
            pass  # The program that recorded was killed: all but its last line is there.
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            if not self._lines:
                raise ConfigError(
                    f"{path} is no recording.", "`tsconsole --record FILE` makes one."
                ) from None

    def _add(self, line: dict[str, Any], rows: list[Any]) -> None:
        index = len(self._lines)
        self._lines.append((line, rows))
        name, given = line["o"], line["a"]
        # By all that was asked for, by its first part (a rollup, as a rule), and by its last.
        keys = {name, _key(name, given), _key(name, given[:1]), _key(name, given[-1:])}
        for key in keys:
            self._by_call.setdefault(key, []).append(index)


def _key(name: str, given: list[str]) -> str:
    return f"{name}({', '.join(given)})"


def _bursts(times: list[float]) -> list[float]:
    """The beginning of each group of answers that came together: a moment to step to."""
    befores = [-math.inf, *times]
    return [at for before, at in zip(befores, times, strict=False) if at - before > BURST]
