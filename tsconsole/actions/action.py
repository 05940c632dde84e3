"""What an action is: something that a key does, described once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal[
    "monitor", "details", "create", "install", "connect", "log", "reader", "help", "partitions",
    "maintenance", "schedule", "indexes", "activity", "statements", "steps", "errors", "failure",
    "explorer",
]  # fmt: skip
PLACE_NAMES: dict[Place, str] = {
    "monitor": "the monitor", "details": "the details of a rollup", "create": "the form",
    "install": "the installation", "connect": "the connection", "log": "the log",
    "reader": "a text", "help": "the help",
    "partitions": "the partitions ({view('partitions')})",
    "maintenance": "the maintenance ({view('maintenance')})",
    "schedule": "the schedule ({view('schedule')})",
    "indexes": "the indexes ({view('indexes')})",
    "activity": "the last hour ({view('activity')})",
    "statements": "the statements", "steps": "the running steps",
    "errors": "the errors ({view('errors')})", "failure": "an error in full",
    "explorer": "the data",
}  # fmt: skip
"""What each screen is called in a sentence; keys as in `tsconsole.spoken_keys`."""
Needs = Literal["nothing", "rollup", "error", "retry", "operation"]
Group = Literal[
    "The rollup under the cursor, or those that are marked", "All rollups", "What is shown",
    "This table", "This row", "This plot", "Sort, and again: the other way round", "Where to go",
    "This form", "Program", "In a recording",
]  # fmt: skip

SORT: Group = "Sort, and again: the other way round"


@dataclass(frozen=True)
class Action:
    """Something that a key does."""

    name: str
    """The method `action_<name>` of the screen, and the id under which the key can be remapped."""
    keys: str
    """Keys in Textual's spelling, separated by commas; the first is the one that is shown. Without
    any, the palette is the way to it."""
    label: str
    """One or two words for the footer."""
    meaning: str
    """A sentence for the help."""
    group: Group
    places: tuple[Place, ...]
    weight: int = 0
    """Place in the footer, the smallest first; 0 keeps it out of the footer."""
    changes: bool = False
    """Whether it changes the database: then it is refused in a read-only session."""
    needs: Needs = "nothing"
    """What has to be there for it to act on."""
    priority: bool = False
    """Whether the key works even while an input has the focus."""

    @property
    def key(self) -> str:
        """The key as people write it."""
        return shown_key(self.keys.split(",")[0])

    @property
    def method(self) -> str:
        """The name without its parameters and without the App's prefix.

        >>> Action("pane(2)", "2", "", "", "What is shown", ()).method
        'pane'
        """
        return self.name.split("(")[0].removeprefix("app.")


_KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "exclamation_mark": "!",
    "plus": "+",
    "minus": "-",
    "enter": "↵",
    "escape": "esc",
    "equals_sign": "=",
    "backslash": "\\",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "comma": ",",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "full_stop": ".",
    "colon": ":",
}


_PLAIN_NAMES: dict[str, str] = {}
"""Names that are words on a terminal without the signs."""


def write_keys_plainly(is_plain: bool) -> None:
    """From now on, write keys in ASCII, or with the signs that people know."""
    _PLAIN_NAMES.clear()
    if is_plain:
        _PLAIN_NAMES.update({key: key for key, name in _KEY_NAMES.items() if not name.isascii()})


def shown_key(key: str) -> str:
    """Write a key as people do.

    >>> shown_key("question_mark"), shown_key("ctrl+r"), shown_key("enter")
    ('?', '^r', '↵')
    """
    return _PLAIN_NAMES.get(key) or _KEY_NAMES.get(key, key.replace("ctrl+", "^"))
