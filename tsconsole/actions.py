"""Every action of the console, once.

Bindings, footer and help are made from this registry, so they cannot disagree. A screen shows
the actions whose `places` name it, and implements `action_<name>` for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal[
    "monitor", "details", "create", "install", "connect", "log", "reader", "help", "statements"
]
Needs = Literal["nothing", "rollup", "error", "retry", "operation"]
Group = Literal[
    "The rollup under the cursor", "All rollups", "What is shown", "This form", "Program"
]


@dataclass(frozen=True)
class Action:
    """Something that a key does."""

    name: str
    """The method `action_<name>` of the screen, and the id under which the key can be remapped."""
    keys: str
    """Keys in Textual's spelling, separated by commas; the first is the one that is shown."""
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


_KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "exclamation_mark": "!",
    "plus": "+",
    "minus": "-",
    "enter": "↵",
    "escape": "esc",
    "equals_sign": "=",
}


def shown_key(key: str) -> str:
    """Write a key as people do.

    >>> shown_key("question_mark"), shown_key("ctrl+r"), shown_key("enter")
    ('?', '^r', '↵')
    """
    return _KEY_NAMES.get(key, key.replace("ctrl+", "^"))


_ROLLUP: tuple[Place, ...] = ("monitor", "details")

# fmt: off
ACTIONS: tuple[Action, ...] = (
    Action(
        "run", "r", "Run", "run it now until nothing is left to do",
        "The rollup under the cursor", _ROLLUP, 20, changes=True, needs="rollup",
    ),
    Action(
        "create", "n", "New", "create a rollup, or a ladder of them", "All rollups",
        ("monitor",), 10, changes=True,
    ),
    Action(
        "run_all", "R", "Run all", "run every active rollup now", "All rollups",
        ("monitor",), 62, changes=True,
    ),
    Action(
        "retry", "y", "Retry", "try again now what failed, without waiting",
        "The rollup under the cursor", _ROLLUP, 30, changes=True, needs="retry",
    ),
    Action(
        "retry_all", "Y", "Retry due", "retry every failed rollup whose waiting time is over",
        "All rollups", ("monitor",), 0, changes=True,
    ),
    Action(
        "maintain", "m", "Maintain",
        "partitions ahead, expired ones dropped, indexes, statistics",
        "The rollup under the cursor", _ROLLUP, 58, changes=True, needs="rollup",
    ),
    Action(
        "maintain_all", "M", "Maintain all", "maintain every rollup", "All rollups",
        ("monitor",), 0, changes=True,
    ),
    Action(
        "pause", "p", "Pause", "pause it, or let it go on", "The rollup under the cursor",
        _ROLLUP, 54, changes=True, needs="rollup",
    ),
    Action(
        "verify", "v", "Verify", "compare its rows with GROUP BY over the source",
        "The rollup under the cursor", _ROLLUP, 56, needs="rollup",
    ),
    Action(
        "details", "enter", "Details", "definition, progress, runs, plots and the last error",
        "The rollup under the cursor", ("monitor",), 40, needs="rollup",
    ),
    Action(
        "error", "e", "Error", "the last error in full, with the query that was attempted",
        "The rollup under the cursor", _ROLLUP, 50, needs="error",
    ),
    Action(
        "drop", "D", "Drop", "drop the rollup and its rows (asks for its name)",
        "The rollup under the cursor", _ROLLUP, 0, changes=True, needs="rollup",
    ),
    Action(
        "cancel", "x", "Cancel", "cancel what runs here, on the server too",
        "Program", _ROLLUP, needs="operation",
    ),
    Action(
        "log", "o", "Log", "what this session has done so far, with results in full",
        "Program", _ROLLUP, 70,
    ),
    Action(
        "statements", "l", "SQL", "every statement that this console sent, with its duration",
        "Program", ("monitor", "details", "install", "connect", "log"),
    ),
    Action(
        "filter", "slash", "Filter", "show only rollups that contain a text (!text: that do not)",
        "What is shown", ("monitor",), 52,
    ),
    Action(
        "problems", "exclamation_mark", "Problems", "show only what needs attention, and back",
        "What is shown", ("monitor",), 60,
    ),
    Action("sort", "s", "Sort", "sort by the next column", "What is shown", ("monitor",), 64),
    Action("reverse", "S", "Reverse", "turn the order round", "What is shown", ("monitor",)),
    Action(
        "slower", "plus,equals_sign", "Slower", "refresh less often", "What is shown", _ROLLUP,
    ),
    Action("faster", "minus", "Faster", "refresh more often", "What is shown", _ROLLUP),
    Action("hold", "space", "Hold", "stop refreshing, and go on", "What is shown", _ROLLUP, 66),
    Action("refresh", "ctrl+r", "Refresh", "refresh at once", "What is shown", _ROLLUP),
    Action("pane(1)", "1", "Rollups", "go to the rollups", "What is shown", ("monitor",)),
    Action("pane(2)", "2", "Partitions", "go to the partitions", "What is shown", ("monitor",)),
    Action("pane(3)", "3", "Errors", "go to the error log", "What is shown", ("monitor",)),
    Action("pane(4)", "4", "Retries", "go to the retry queue", "What is shown", ("monitor",)),
    Action(
        "app.focus_next", "tab", "Next", "go to the next pane or field", "What is shown",
        ("monitor", "create"),
    ),
    Action(
        "create_now", "ctrl+s", "Create", "check everything on the server, then create",
        "This form", ("create",), 10, changes=True, priority=True,
    ),
    Action(
        "check", "ctrl+t", "Check", "check on the server without creating anything",
        "This form", ("create",), 20, priority=True,
    ),
    Action(
        "install", "i", "Install", "install the core as planned", "Program", ("install",), 10,
        changes=True,
    ),
    Action(
        "go_on", "enter", "Go on", "go on to the rollups of this database", "Program",
        ("install",), 20,
    ),
    Action("retry_connect", "r", "Try again", "connect again now", "Program", ("connect",), 10),
    Action(
        "copy", "c", "Copy", "copy the text to the clipboard, over SSH too", "What is shown",
        ("reader",), 10,
    ),
    Action(
        "back", "escape", "Back", "go back", "Program",
        ("details", "create", "log", "reader", "help", "statements"), 80,
    ),
    Action(
        "clear", "escape", "Clear", "clear the filter", "What is shown", ("monitor",),
    ),
    Action("app.theme", "t", "Theme", "change between dark and light", "Program", _ROLLUP),
    Action(
        "profiles", "ctrl+o", "Profiles", "watch another server of config.toml", "Program",
        ("monitor", "details", "install", "connect"),
    ),
    Action(
        "suspend", "ctrl+z", "Suspend", "go to the background of the shell; fg comes back",
        "Program", ("monitor", "details", "install", "connect", "log", "reader", "create",
         "statements"), priority=True,
    ),
    Action(
        "help", "question_mark", "Help", "every key that works here", "Program",
        ("monitor", "details", "install", "connect", "log", "reader", "statements"), 90,
    ),
    Action("help_here", "f1", "Help", "every key that works here", "Program", ("create",), 90),
    Action(
        "leave", "q", "Quit", "quit (asks while something runs)", "Program",
        ("monitor", "details", "install", "connect"), 99,
    ),
)
# fmt: on


def actions_at(place: Place) -> tuple[Action, ...]:
    """The actions of one screen, in the order of the registry."""
    return tuple(action for action in ACTIONS if place in action.places)


def footer_at(place: Place) -> tuple[Action, ...]:
    """The actions of one screen that its footer shows, the most useful first."""
    return tuple(sorted((a for a in actions_at(place) if a.weight), key=lambda a: a.weight))


def find_action(name: str, place: Place) -> Action | None:
    """Find the action of a screen by its name, without its parameters."""
    for action in actions_at(place):
        if action.name.split("(")[0].removeprefix("app.") == name:
            return action
    return None


def clashes() -> list[str]:
    """Keys that two actions of one screen claim: none, as a test makes sure."""
    found = []
    places = {place for action in ACTIONS for place in action.places}
    for place in sorted(places):
        seen: dict[str, str] = {}
        for action in actions_at(place):
            for key in action.keys.split(","):
                if key in seen:
                    found.append(f"{place}: {key} is {seen[key]} and {action.name}")
                seen[key] = action.name
    return found
