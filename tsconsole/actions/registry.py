"""Every action of the console, once.

Bindings, footer, palette, help and the documentation are made from this registry, so they cannot
disagree. A screen shows the actions whose `places` name it, and implements `action_<name>` for
each. Lower case acts on what is under the cursor, shift sorts, ctrl does what is wide or final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tsconsole.actions.action import SORT
from tsconsole.actions.action import Action as Action
from tsconsole.actions.action import Group as Group
from tsconsole.actions.action import Place as Place
from tsconsole.actions.action import shown_key as shown_key
from tsconsole.actions.side_actions import SIDE_ACTIONS
from tsconsole.actions.view_actions import VIEW_ACTIONS

_ROLLUP: tuple[Place, ...] = ("monitor", "details")
_VIEWS: tuple[Place, ...] = (
    "partitions",
    "maintenance",
    "schedule",
    "indexes",
    "activity",
    "errors",
)
"""Screens that show one topic each, reached by a number from anywhere."""
_ANYWHERE: tuple[Place, ...] = ("monitor", *_VIEWS)
_SIDE: tuple[Place, ...] = ("steps",)
"""Screens that a letter opens, and escape leaves."""
_LIVE: tuple[Place, ...] = (*_ROLLUP, *_VIEWS, *_SIDE)
"""Screens that are kept fresh."""
_MARKED: tuple[Place, ...] = ("monitor", "maintenance", "schedule", "indexes")
"""Screens on which one action is done to several rows, and `a` is free."""
_TEXTS: tuple[Place, ...] = ("reader", "failure", "explorer")
_ONE: Group = "The rollup under the cursor, or those that are marked"

# fmt: off
ACTIONS: tuple[Action, ...] = (
    *VIEW_ACTIONS,
    *SIDE_ACTIONS,
    Action(
        "run", "r", "Run", "run it now until nothing is left to do",
        _ONE, _ROLLUP, 20, changes=True, needs="rollup",
    ),
    Action(
        "create", "n", "New", "create a rollup, or a ladder of them", "All rollups",
        ("monitor",), 10, changes=True,
    ),
    Action(
        "run_all", "ctrl+e", "Run all", "run every active rollup now", "All rollups",
        ("monitor",), 62, changes=True,
    ),
    Action(
        "retry", "y", "Retry", "try again now what failed, without waiting",
        _ONE, _ROLLUP, 30, changes=True, needs="retry",
    ),
    Action(
        "retry_all", "ctrl+y", "Retry due", "retry every failed rollup whose waiting time is over",
        "All rollups", ("monitor",), 0, changes=True,
    ),
    Action(
        "maintain", "m", "Maintain",
        "partitions ahead, expired ones dropped, indexes, statistics",
        _ONE, _ROLLUP, 58, changes=True, needs="rollup",
    ),
    Action(
        "maintain_all", "", "Maintain all", "maintain every rollup", "All rollups",
        ("monitor",), 0, changes=True,
    ),
    Action(
        "pause", "p", "Pause", "pause it, or let it go on", _ONE,
        (*_ROLLUP, "steps"), 54, changes=True, needs="rollup",
    ),
    Action(
        "verify", "v", "Verify", "compare its rows with GROUP BY over the source",
        _ONE, _ROLLUP, 56, needs="rollup",
    ),
    Action(
        "details", "enter", "Details", "definition, progress, runs, plots and the last error",
        _ONE, ("monitor", "steps"), 40, needs="rollup",
    ),
    Action(
        "error", "e", "Error", "the last error in full, with the query that was attempted",
        _ONE, _ROLLUP, 50, needs="error",
    ),
    Action(
        "drop", "ctrl+d", "Drop", "drop the rollup and its rows (asks for its name)",
        _ONE, _ROLLUP, 0, changes=True, needs="rollup",
    ),
    Action(
        "cancel", "x", "Cancel", "cancel what runs here, on the server too",
        "Program", (*_ROLLUP, *_VIEWS), needs="operation",
    ),
    Action(
        "cancel", "x", "Cancel", "cancel this step on the server, and pause the rollup if you like",
        _ONE, ("steps",), 10,
    ),
    Action(
        "steps", "w", "Who runs", "every step that runs now: who, since when, which range",
        "Where to go", _ROLLUP, 68,
    ),
    Action(
        "log", "o", "Log", "what this session has done so far, with results in full",
        "Program", _LIVE, 70,
    ),
    Action(
        "statements", "l", "SQL", "every statement that this console sent, with its duration",
        "Program", ("monitor", "details", "install", "connect", "log", *_VIEWS),
    ),
    Action(
        "mark", "space", "Mark", "mark it, or no longer: actions act on all that are marked",
        "What is shown", (*_MARKED, "errors"), 63,
    ),
    Action(
        "mark_all", "a", "Mark all", "mark every row that is shown, or none", "What is shown",
        _MARKED,
    ),
    Action(
        "filter", "slash", "Filter", "show only rows of this pane that contain a text (!text: that "
        "do not)", "What is shown", _ANYWHERE, 52,
    ),
    Action(
        "problems", "exclamation_mark", "Problems", "show only what needs attention, and back",
        "What is shown", _ANYWHERE, 60,
    ),
    Action(
        "zoom", "z", "Zoom", "give this pane the whole screen, and back", "What is shown",
        _ANYWHERE, 61,
    ),
    Action("sort", "s", "Sort", "sort by the next column", SORT, _ANYWHERE, 64),
    Action("sort_by('state')", "S", "By state", "worst first", SORT, ("monitor",)),
    Action("sort_by('target')", "N", "By name", "by name", SORT, ("monitor",)),
    Action("sort_by('lag')", "L", "By lag", "most lag first", SORT, ("monitor",)),
    Action("sort_by('pending')", "P", "By pending", "most pending first", SORT, ("monitor",)),
    Action("sort_by('rows')", "R", "By rows", "most rows a run first", SORT, ("monitor",)),
    Action("sort_by('took')", "T", "By duration", "slowest first", SORT, ("monitor",)),
    Action("sort_by('watermark')", "W", "By watermark", "oldest watermark first", SORT,
           ("monitor",)),
    Action(
        "slower", "plus,equals_sign", "Slower", "refresh less often", "What is shown", _LIVE,
    ),
    Action("faster", "minus", "Faster", "refresh more often", "What is shown", _LIVE),
    Action("hold", "h", "Hold", "stop refreshing, and go on", "What is shown",
           (*_LIVE, "explorer"), 66),
    Action("refresh", "ctrl+r", "Refresh", "refresh at once", "What is shown",
           (*_LIVE, "explorer")),
    Action(
        "strip", "0", "Health", "go to the strip: left and right choose a figure, enter opens it",
        "Where to go", ("monitor",),
    ),
    Action("pane(1)", "1", "Rollups", "go to the rollups", "Where to go", _LIVE),
    Action("pane(2)", "2", "Partitions", "go to the partitions", "Where to go", _LIVE),
    Action("pane(3)", "3", "Errors", "go to the error log", "Where to go", _LIVE),
    Action("pane(4)", "4", "Retries", "go to the retry queue", "Where to go", _LIVE),
    Action("view('partitions')", "5", "Partitions", "partitions of a table, and retention",
           "Where to go", _LIVE),
    Action("view('maintenance')", "6", "Maintenance", "tasks, when they ran, their log",
           "Where to go", _LIVE),
    Action("view('schedule')", "7", "Schedule", "what is due; workers and pg_cron", "Where to go",
           _LIVE),
    Action("view('indexes')", "8", "Indexes", "which indexes of a table would pay", "Where to go",
           _LIVE),
    Action("view('activity')", "9", "Last hour", "rows, late rows, errors and delays by minute, "
           "and by rollup", "Where to go", _LIVE),
    Action("view('errors')", "E", "Errors", "every error, grouped, and the retry queue",
           "Where to go", _LIVE),
    Action(
        "app.focus_next", "tab", "Next", "go to the next pane or field", "Where to go",
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
        ("reader", "failure"), 10,
    ),
    Action(
        "copy", "c", "Copy SQL", "copy the SQL that creates it again, over SSH too",
        "What is shown", ("details",), 67,
    ),
    Action(
        "back", "escape", "Back", "go back", "Program",
        ("details", "create", "log", *_TEXTS, "help", "statements", *_VIEWS, *_SIDE),
        80,
    ),
    Action(
        "clear", "escape", "Clear", "clear the filter, then the marks, then the zoom",
        "What is shown", ("monitor",),
    ),
    Action("app.theme", "t", "Theme", "change between dark and light", "Program", _LIVE),
    Action(
        "replay_step(-1)", "left_square_bracket", "Earlier", "one moment back in a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "replay_step(1)", "right_square_bracket", "Later", "one moment on in a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "replay_seek(-60)", "left_curly_bracket", "Minute back", "a minute back in a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "replay_seek(60)", "right_curly_bracket", "Minute on", "a minute on in a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "replay_step(-1000000)", "less_than_sign", "Begin", "to the begin of a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "replay_step(1000000)", "greater_than_sign", "End", "to the end of a recording",
        "In a recording", _LIVE,
    ),
    Action(
        "profiles", "ctrl+o", "Profiles", "watch another server of config.toml", "Program",
        ("monitor", "details", "install", "connect"),
    ),
    Action(
        "psql", "backslash", "psql", "leave the terminal to psql on this connection, and come back",
        "Program", (*_LIVE, "failure", "explorer"),
    ),
    Action(
        "suspend", "ctrl+z", "Suspend", "go to the background of the shell; fg comes back",
        "Program", ("monitor", "details", "install", "connect", "log", *_TEXTS,
         "create", "statements", *_VIEWS, *_SIDE), priority=True,
    ),
    Action(
        "palette", "colon,ctrl+p", "Palette", "find an action or a rollup by a part of its name",
        "Program", (*_LIVE, "log", *_TEXTS, "statements"), 85,
    ),
    Action(
        "app.redraw", "ctrl+l", "Redraw", "send the whole screen again, when something wrote on it",
        "Program", (*_LIVE, "install", "connect", "create", "log", *_TEXTS, "statements"),
    ),
    Action(
        "explain", "f1", "Explain", "what is seen here, in words: columns, states, what to do",
        "Program", (*_LIVE, "log", "explorer"),
    ),
    Action(
        "help", "question_mark", "Help", "every key that works here", "Program",
        (*_LIVE, "install", "connect", "log", *_TEXTS, "statements"), 90,
    ),
    Action("help_here", "f1", "Help", "every key that works here", "Program", ("create",), 90),
    Action(
        "leave", "q", "Quit", "quit (asks while something runs)", "Program",
        ("monitor", "details", "install", "connect", *_VIEWS), 99,
    ),
)
# fmt: on


_own_keys: dict[str, str] = {}
"""Keys that the operator has chosen, by the name of the action."""


def use_keys(keys: Mapping[str, str]) -> None:
    """Give actions other keys, for this process; whoever asks for actions gets those keys."""
    _own_keys.clear()
    _own_keys.update(keys)


def with_keys(action: Action, keys: Mapping[str, str]) -> Action:
    """An action with its keys of a table, if it is in there."""
    return replace(action, keys=keys[action.name]) if action.name in keys else action


def actions_at(place: Place) -> tuple[Action, ...]:
    """The actions of one screen, in the order of the registry."""
    return tuple(with_keys(action, _own_keys) for action in ACTIONS if place in action.places)


def all_actions() -> tuple[Action, ...]:
    """Every action, with the keys that it has now."""
    return tuple(with_keys(action, _own_keys) for action in ACTIONS)


def footer_at(place: Place) -> tuple[Action, ...]:
    """The actions of one screen that its footer shows, the most useful first."""
    return tuple(sorted((a for a in actions_at(place) if a.weight), key=lambda a: a.weight))


def find_action(name: str, place: Place, parameters: tuple[object, ...] = ()) -> Action | None:
    """Find the action of a screen by the name of its method, and its parameters if it has any."""
    full = f"{name}({', '.join(map(repr, parameters))})" if parameters else name
    for action in ACTIONS:
        if place in action.places and full in (action.name, action.method):
            return with_keys(action, _own_keys)
    return None


def clashes(keys: Mapping[str, str] | None = None) -> list[str]:
    """Keys that two actions of one screen claim, with some keys changed."""
    found = []
    places = {place for action in ACTIONS for place in action.places}
    for place in sorted(places):
        seen: dict[str, str] = {}
        for action in (with_keys(a, keys or {}) for a in ACTIONS if place in a.places):
            for key in filter(None, action.keys.split(",")):
                if key in seen:
                    found.append(f"{place}: {key} is {seen[key]} and {action.name}")
                seen[key] = action.name
    return found
