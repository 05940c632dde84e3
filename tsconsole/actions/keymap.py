"""Keys of one's own: the table [keys] of config.toml, checked against the registry of actions."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from typing import Any

from tsconsole.actions.registry import ACTIONS, clashes
from tsconsole.config_rules import Problem, did_you_mean, shown

_CURSOR = ("up", "down", "left", "right", "pageup", "pagedown", "home", "end")
_NAMED = frozenset((*_CURSOR, "insert", "delete", "backspace", "tab", "enter", "escape", "space"))
_FUNCTION = frozenset(f"f{number}" for number in range(1, 25))
_TAKEN = {
    **dict.fromkeys((*_CURSOR, "j", "k", "g", "G"), "moves the cursor"),
    "ctrl+c": "belongs to the terminal",
    "ctrl+q": "belongs to the terminal",
    "ctrl+m": "is enter, for a terminal",
    "ctrl+i": "is tab, for a terminal",
}  # fmt: skip
_TEXTUAL = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Where Textual's name of a character is not the one of Unicode."""


def check_keys(where: str, table: Any) -> list[Problem]:
    """What is wrong with a table of keys."""
    if not isinstance(table, dict):
        return [Problem(f"{where}: keys is {shown(table)}; expected a table.")]
    names = {action.name: action for action in ACTIONS}
    problems, good = [], {}
    for name, value in table.items():
        if name not in names:
            hint = f"{did_you_mean(name, names, 'actions')} `tsconsole config keys` lists them."
            problems.append(Problem(f"{where}: keys.{name} is no action.", hint))
            continue
        wrong = _wrong(value)
        if wrong:
            problems.append(Problem(f"{where}: keys.{name} is {shown(value)}: {wrong}.", _EXAMPLE))
        else:
            good[name] = value
    return problems + [
        Problem(f"{where}: two actions have one key: {clash}.", "Give one of them another key.")
        for clash in clashes(key_table(good))
    ]


def key_table(table: Mapping[str, Any]) -> dict[str, str]:
    """The table in Textual's spelling: action to keys, with commas between.

    >>> key_table({"run": "F5", "filter": ["/", "ctrl+f"], "sort": "S"})
    {'run': 'f5', 'filter': 'slash,ctrl+f', 'sort': 'S'}
    """
    return {name: ",".join(key_name(key) for key in _listed(keys)) for name, keys in table.items()}


def key_name(key: str) -> str:
    """A key in Textual's spelling.

    >>> key_name("/"), key_name("^r"), key_name("Ctrl+Home"), key_name("A"), key_name("shift+a")
    ('slash', 'ctrl+r', 'ctrl+home', 'A', 'A')
    """
    key = re.sub(r"^\^(?=.)", "ctrl+", key.strip())
    *modifiers, last = key.split("+") if len(key) > 1 and not key.endswith("++") else [key]
    modifiers = [modifier.lower() for modifier in modifiers]
    if modifiers == ["shift"] and len(last) == 1 and last.isalpha():
        return last.upper()
    if len(last) > 1 or modifiers:
        last = last.lower()
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last, last).lower().replace("-", "_").replace(" ", "_")
        last = _TEXTUAL.get(name, name)
    return "+".join([*modifiers, last])


_EXAMPLE = 'A key is written as "r", "R", "?", "f5" or "ctrl+r"; several as ["r", "f5"].'


def _wrong(value: Any) -> str | None:
    keys = _listed(value)
    if not keys or not all(isinstance(key, str) and key.strip() for key in keys):
        return "expected a key, or a list of keys"
    for key in keys:
        name = key_name(key)
        *modifiers, last = name.split("+")
        is_character = len(last) == 1 or len(key) == 1
        if not (is_character or last in _NAMED | _FUNCTION | _PUNCTUATION):
            return f"there is no key {key}"
        if not set(modifiers) <= {"ctrl", "shift", "alt"}:
            return f"{key} has a modifier other than ctrl, shift and alt"
        if name in _TAKEN:
            return f"{key} {_TAKEN[name]}"
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_PUNCTUATION = frozenset(map(key_name, string.punctuation))

_KEY = {"type": "string", "minLength": 1}
KEY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "keys of your own, by the name of the action: `tsconsole config keys`",
    "additionalProperties": {"anyOf": [_KEY, {"type": "array", "items": _KEY, "minItems": 1}]},
}
"""JSON schema of the table."""
