"""The actions of the screens about failures; part of the registry in `tsconsole.actions`."""

from __future__ import annotations

from tsconsole.action import Action, Group

_SORT: Group = "Sort, and again: the other way round"

# fmt: off
SIDE_ACTIONS: tuple[Action, ...] = (
    Action("open", "enter", "Open", "the error in full, with the query that was attempted",
           "This row", ("errors",), 10),
    Action("retry", "y", "Retry", "try again now what is marked below, else this rollup",
           "This row", ("errors",), 20, changes=True),
    Action("mark", "space", "Mark", "mark a rollup of the retry queue, or no longer", "This row",
           ("errors",), 24),
    Action("acknowledge", "a", "Acknowledge", "note that this error, and earlier ones that say "
           "the same, were seen to", "This row", ("errors", "failure"), 30, changes=True),
    Action("group", "u", "One by one", "each error by itself, or those that say the same as one",
           "What is shown", ("errors",), 34),
    Action("retry_all", "ctrl+y", "Retry due", "try again everything whose waiting time is over",
           "All rollups", ("errors",), 0, changes=True),
    Action("retry_failing", "ctrl+e", "Retry all", "try again everything that is failing, without "
           "waiting (asks)", "All rollups", ("errors",), 36, changes=True),
    Action("acknowledge_all", "ctrl+k", "Acknowledge all", "acknowledge every error (asks)",
           "All rollups", ("errors",), 0, changes=True),
    Action("sort_by('last')", "L", "By last", "the latest last", _SORT, ("errors",)),
    Action("sort_by('first')", "B", "By first", "the oldest first", _SORT, ("errors",)),
    Action("sort_by('count')", "C", "By count", "most often first", _SORT, ("errors",)),
    Action("sort_by('new')", "U", "By new", "most that nobody acknowledged first", _SORT,
           ("errors",)),
    Action("sort_by('target')", "N", "By rollup", "by name", _SORT, ("errors",)),
    Action("plan", "x", "Explain", "how the server would run the attempted query now (EXPLAIN)",
           "What is shown", ("failure",), 20),
)
# fmt: on
