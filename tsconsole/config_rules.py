"""What a setting may be: in words, as a test, and as JSON schema, said once beside its field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


@dataclass(frozen=True)
class Expected:
    """What a setting's value must be, in words, as a test, and as JSON schema."""

    words: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any]
    is_secret: bool = False
    """Whether a wrong value may not be shown: it can have a password in it."""


@dataclass(frozen=True)
class Problem:
    """Something wrong in a configuration file."""

    message: str
    hint: str | None = None


def number(low: float, high: float) -> Expected:
    """A number of seconds."""

    def holds(value: Any) -> bool:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and low <= value <= high

    words = f"a number of seconds from {low:g} to {high:g}"
    return Expected(words, holds, {"type": "number", "minimum": low, "maximum": high})


def whole(low: int, high: int) -> Expected:
    """A whole number."""

    def holds(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Expected(f"a whole number from {low} to {high}", holds, schema)


def one_of(*words: str) -> Expected:
    """One of some words."""
    return Expected("one of " + ", ".join(words), lambda v: v in words, {"enum": list(words)})


def is_dsn(value: Any) -> bool:
    """Whether libpq could read it."""
    try:
        return TEXT.holds(value) and bool(conninfo_to_dict(value))
    except ProgrammingError:
        return False


TEXT = Expected(
    "a text in quotes",
    lambda value: isinstance(value, str) and value.strip() != "",
    {"type": "string", "pattern": r"\S"},
)
SWITCH = Expected(
    "true or false", lambda value: isinstance(value, bool), {"type": "boolean"}
)  # fmt: skip
SECONDS = number(0.001, 86400)
DSN = Expected(
    'a libpq DSN, such as "host=db dbname=iot" or "postgresql://db/iot"', is_dsn,
    {"type": "string", "pattern": r"\S"}, is_secret=True,
)  # fmt: skip


def setting(expected: Expected, meaning: str, default: Any = None) -> Any:
    """A field of a settings dataclass, with what its value must be and what it means."""
    return field(default=default, metadata={"expected": expected, "meaning": meaning})


def expectations(kind: type[Any]) -> dict[str, Expected]:
    """What the file may say for a dataclass of settings."""
    return {f.name: f.metadata["expected"] for f in fields(kind) if "expected" in f.metadata}


def check_table(where: str, prefix: str, table: Any, kind: type[Any]) -> list[Problem]:
    """What is wrong in one table of a file."""
    keys = expectations(kind)
    found = []
    if not isinstance(table, dict):
        return [Problem(f"{where}: {prefix[:-1]} is {shown(table)}; expected a table.")]
    for key, value in table.items():
        if key not in keys:
            found.append(
                Problem(f"{where}: there is no key {prefix}{key}.", did_you_mean(key, keys))
            )
        elif not keys[key].holds(value):
            is_what = "not one" if keys[key].is_secret else shown(value)
            found.append(
                Problem(f"{where}: {prefix}{key} is {is_what}; expected {keys[key].words}.")
            )
    return found


def did_you_mean(key: str, known: Mapping[str, Any], what: str = "keys") -> str:
    """The known name that is closest, or all of them."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known {what}: " + ", ".join(known) + "."


def shown(value: Any) -> str:
    """A value as TOML writes it, cut to what fits into a sentence."""
    text = "a table" if isinstance(value, dict) else repr(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 60 else text[:57] + "…"


def table_schema(kind: type[Any]) -> dict[str, Any]:
    """JSON schema of a table: a key for each field, with its meaning and its default."""
    properties = {}
    for one in fields(kind):
        if "expected" not in one.metadata:
            continue
        about = {"description": one.metadata["meaning"]}
        if one.default is not MISSING and one.default is not None:
            about["default"] = one.default
        properties[one.name] = {**one.metadata["expected"].schema, **about}
    return {"type": "object", "additionalProperties": False, "properties": properties}
