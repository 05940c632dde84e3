"""How a recording writes what operations returned: JSON, a row that came before as a number.

Only dataclasses of this program's models are read back: a recording is data, and never runs code.
"""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from tsconsole import models

TAG = "@"


class Rows:
    """The rows of one segment of a recording, each written once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.new: list[Any] = []
        """Rows that the next line has to bring along."""

    def encode(self, value: Any) -> Any:
        """A value as JSON has it."""
        if value is None or (
            isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)
        ):
            return value
        if isinstance(value, Enum):
            return {TAG: "enum", "c": type(value).__name__, "v": value.value}
        if isinstance(value, timedelta):
            return {TAG: "span", "v": [value.days, value.seconds, value.microseconds]}
        if isinstance(value, (datetime, date)):
            return {TAG: type(value).__name__, "v": value.isoformat()}
        if isinstance(value, Decimal):
            return {TAG: "decimal", "v": str(value)}
        if isinstance(value, tuple):
            return {TAG: "tuple", "v": [self.encode(item) for item in value]}
        if isinstance(value, (list, set, frozenset)):
            return [self.encode(item) for item in value]
        if isinstance(value, Mapping):
            return {TAG: "map", "v": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if is_dataclass(value):
            return self._row(value)
        return str(value)

    def _row(self, value: Any) -> Any:
        content = {f.name: self.encode(getattr(value, f.name)) for f in fields(value) if f.init}
        row = {TAG: "row", "c": type(value).__name__, "v": content}
        text = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self.new.append(row)
        return {TAG: "ref", "v": number}


def decode(value: Any, rows: list[Any]) -> Any:
    """The value again; `rows` are those of its segment, in the order in which they came."""
    if isinstance(value, list):
        return [decode(item, rows) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = value[TAG], value["v"]
    if kind == "ref":
        return decode(rows[content], rows)
    if kind == "row":
        known = {f.name for f in fields(_classes()[value["c"]]) if f.init}
        given = {name: decode(item, rows) for name, item in content.items() if name in known}
        return _classes()[value["c"]](**given)
    if kind == "tuple":
        return tuple(decode(item, rows) for item in content)
    if kind == "map":
        return {decode(k, rows): decode(v, rows) for k, v in content}
    if kind == "span":
        return timedelta(*content)
    if kind == "enum":
        return _classes()[value["c"]](content)
    return _READ[kind](content)


_READ: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
}


@functools.cache
def _classes() -> dict[str, Any]:
    """The models by name."""
    modules = [models] + [
        importlib.import_module(f"tsconsole.models.{module.name}")
        for module in pkgutil.iter_modules(models.__path__)
    ]
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum))
    }
