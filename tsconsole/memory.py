"""What the console remembers between two runs, for each profile: last screen, filter, order.

It is a convenience, so nothing here fails: a file that is damaged counts as empty, and one that
cannot be written stays as it was.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST = 1_000_000
"""Bytes that are read at most; what is written is a hundredth of that."""
KEPT_PROFILES = 50

View = TypeVar("View", bound="DataclassInstance")


def default_path() -> Path:
    """The file, in the folder that the XDG rules name."""
    base = Path(os.environ.get("XDG_STATE_HOME") or "")
    if not base.is_absolute():
        base = Path("~/.local/state").expanduser()
    return base / "tsconsole" / "console.json"


class Memory:
    """What is remembered of one profile; without a path it lasts as long as the program."""

    def __init__(self, path: Path | None = None, profile: str = "") -> None:
        self._path = path
        self._profile = profile
        found = _read(path).get(profile, {}) if path else {}
        self._things: dict[str, Mapping[str, Any]] = {
            name: thing for name, thing in found.items() if isinstance(thing, dict)
        }
        self._is_changed = False

    def get(self, name: str) -> Mapping[str, Any]:
        """What was put there; empty when nothing was."""
        return self._things.get(name, {})

    def put(self, name: str, thing: Mapping[str, Any]) -> None:
        """Remember this; it has to consist of texts, numbers and switches."""
        if thing != self._things.get(name):
            self._things[name] = thing
            self._is_changed = True

    def save(self) -> None:
        """Write it down. What another console has written meanwhile of other profiles stays."""
        if self._path is None or not self._is_changed:
            return
        others = {name: found for name, found in _read(self._path).items() if name != self._profile}
        latest = [*others.items(), (self._profile, self._things)][-KEPT_PROFILES:]
        with suppress(OSError, ValueError, TypeError):
            _write(self._path, json.dumps({"profiles": dict(latest)}, indent=1))
            self._is_changed = False


def described(view: DataclassInstance) -> dict[str, Any]:
    """The fields of a dataclass that can be remembered."""
    found = {field.name: getattr(view, field.name) for field in fields(view)}
    return {name: value for name, value in found.items() if isinstance(value, _KINDS)}


def restored(view: View, remembered: Mapping[str, Any]) -> View:
    """The dataclass with the remembered values of fields that it still has, of the same type.

    >>> from tsconsole.presentation.monitor_view import View as Monitor
    >>> restored(Monitor(), {"filter": "iot", "problems_only": "yes", "gone": 1}).filter
    'iot'
    """
    known = {
        name: remembered[name]
        for name, value in described(view).items()
        if name in remembered and type(remembered[name]) is type(value)
    }
    return replace(view, **known)


_KINDS = (str, int, float, bool)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            profiles = json.loads(file.read(LARGEST))["profiles"]
        return {str(name): found for name, found in profiles.items() if isinstance(found, dict)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
