"""The actions of the screens about failures and data; part of `tsconsole.actions`."""

from __future__ import annotations

from tsconsole.actions.action import SORT, Action

# fmt: off
SIDE_ACTIONS: tuple[Action, ...] = (
    Action("open", "enter", "Open", "the error in full, with the query that was attempted",
           "This row", ("errors",), 10),
    Action("retry", "y", "Retry", "try again now what is marked, else this rollup",
           "This row", ("errors",), 20, changes=True),
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
    Action("sort_by('last')", "L", "By last", "the latest last", SORT, ("errors",)),
    Action("sort_by('first')", "B", "By first", "the oldest first", SORT, ("errors",)),
    Action("sort_by('count')", "C", "By count", "most often first", SORT, ("errors",)),
    Action("sort_by('new')", "U", "By new", "most that nobody acknowledged first", SORT,
           ("errors",)),
    Action("sort_by('target')", "N", "By rollup", "by name", SORT, ("errors",)),
    Action("plan", "x", "Explain", "how the server would run the attempted query now (EXPLAIN)",
           "What is shown", ("failure",), 20),
    Action("explorer", "d", "Data", "plot its measures over time: zoom, pan, filter, export",
           "Where to go", ("monitor", "details", "steps"), 55, needs="rollup"),
    Action("zoom_in", "up,plus,equals_sign", "Zoom in", "look at half the time", "This plot",
           ("explorer",), 16),
    Action("zoom_out", "down,minus", "Zoom out", "look at twice the time", "This plot",
           ("explorer",), 18),
    Action("earlier", "left,comma", "Earlier", "go back by a quarter of what is seen", "This plot",
           ("explorer",), 20),
    Action("later", "right,full_stop", "Later", "go on by a quarter of what is seen", "This plot",
           ("explorer",), 22),
    Action("now", "end", "Now", "go to the present, and follow it", "This plot", ("explorer",), 24),
    Action("everything", "home", "Everything", "look at everything that is stored", "This plot",
           ("explorer",), 26),
    Action("range", "i", "Range", "type from when to when", "This plot", ("explorer",), 28),
    Action("measure", "m", "Measure", "choose what is plotted", "This plot", ("explorer",), 10),
    Action("dimension", "f", "Dimension", "choose the value of a dimension", "This plot",
           ("explorer",), 12),
    Action("table", "v", "Table", "the points as a table, or as a plot", "What is shown",
           ("explorer",), 14),
    Action("statement", "s", "SQL", "the statement that was run", "What is shown",
           ("explorer",), 32),
    Action("copy", "c", "Copy", "copy the points to the clipboard, over SSH too", "What is shown",
           ("explorer",), 34),
    Action("csv", "w", "CSV", "write the points to a file", "What is shown", ("explorer",), 36),
)
# fmt: on
