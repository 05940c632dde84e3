"""The actions of the screens of one topic each; part of the registry in `tsconsole.actions`."""

from __future__ import annotations

from tsconsole.actions.action import SORT, Action

# fmt: off
VIEW_ACTIONS: tuple[Action, ...] = (
    Action("open", "enter", "Open", "everything about the row under the cursor", "This row",
           ("partitions", "maintenance", "schedule", "indexes", "activity"), 20),
    Action("choose", "c", "Table", "look at another table", "This table",
           ("partitions", "indexes"), 10),

    Action("dry_run", "d", "Dry run", "show what retention would take away, and what has to stay",
           "This table", ("partitions",), 30),
    Action("apply", "ctrl+d", "Apply retention", "take away what is expired (asks)", "This table",
           ("partitions",), 34, changes=True),
    Action("retention", "i", "Keep", "change how long rows are kept", "This table",
           ("partitions",), 36, changes=True),
    Action("optimize", "w", "Width", "choose the width of coming partitions from measured growth",
           "This table", ("partitions",), 38, changes=True),
    Action("sort_by('range')", "N", "By range", "oldest first", SORT, ("partitions",)),
    Action("sort_by('size')", "B", "By size", "largest first", SORT, ("partitions",)),
    Action("sort_by('rows')", "R", "By rows", "most rows first", SORT, ("partitions",)),
    Action("sort_by('dead')", "D", "By dead rows", "most dead rows first", SORT,
           ("partitions",)),
    Action("sort_by('state')", "S", "By state", "expired first", SORT, ("partitions",)),

    Action("run_task", "r", "Run", "run the task under the cursor now", "This row",
           ("maintenance",), 10, changes=True),
    Action("run_table", "m", "Run rollup", "run every task of its rollup", "This row",
           ("maintenance",), 30, changes=True),
    Action("run_due", "y", "Run due", "run everything that is due", "All rollups",
           ("maintenance",), 32, changes=True),
    Action("run_all", "ctrl+e", "Run all", "run every task of every rollup", "All rollups",
           ("maintenance",), 34, changes=True),
    Action("sort_by('target')", "N", "By rollup", "by name", SORT, ("maintenance",)),
    Action("sort_by('task')", "K", "By task", "by name", SORT, ("maintenance",)),
    Action("sort_by('outcome')", "S", "By outcome", "failed first", SORT, ("maintenance",)),
    Action("sort_by('next')", "W", "By next run", "soonest first", SORT, ("maintenance",)),
    Action("sort_by('last')", "L", "By last run", "longest ago first", SORT, ("maintenance",)),
    Action("sort_by('took')", "T", "By duration", "slowest first", SORT, ("maintenance",)),

    Action("run_now", "r", "Run", "run the rollup now", "This row", ("schedule",), 10,
           changes=True),
    Action("interval", "i", "Interval", "change how often the rollup is due", "This row",
           ("schedule",), 30, changes=True),
    Action("switch", "p", "Pause", "take it out of the schedule, or back into it", "This row",
           ("schedule",), 32, changes=True),
    Action("cron", "k", "pg_cron", "let pg_cron run what is due", "All rollups", ("schedule",), 34,
           changes=True),
    Action("cron_remove", "ctrl+d", "Remove jobs", "take our jobs out of pg_cron", "All rollups",
           ("schedule",), changes=True),
    Action("sort_by('target')", "N", "By rollup", "by name", SORT, ("schedule",)),
    Action("sort_by('next')", "W", "By next run", "soonest first", SORT, ("schedule",)),
    Action("sort_by('last')", "L", "By last run", "longest ago first", SORT, ("schedule",)),
    Action("sort_by('retry')", "Y", "By retry", "soonest first", SORT, ("schedule",)),

    Action("follow", "b", "Build or drop", "do what is advised, in the background", "This row",
           ("indexes",), 30, changes=True),
    Action("sort_by('advice')", "S", "By advice", "what to create first", SORT, ("indexes",)),
    Action("sort_by('index')", "N", "By name", "by name", SORT, ("indexes",)),
    Action("sort_by('gain')", "C", "By gain", "most saved first", SORT, ("indexes",)),
    Action("sort_by('size')", "B", "By size", "largest first", SORT, ("indexes",)),

    Action("sort_by('target')", "N", "By name", "by name", SORT, ("activity",)),
    Action("sort_by('read')", "R", "By rows read", "most rows first", SORT, ("activity",)),
    Action("sort_by('late')", "L", "By late rows", "most late rows first", SORT, ("activity",)),
    Action("sort_by('errors')", "S", "By errors", "most errors first", SORT, ("activity",)),
    Action("sort_by('took')", "T", "By duration", "slowest first", SORT, ("activity",)),
    Action("sort_by('delay')", "D", "By delay", "most delayed first", SORT, ("activity",)),
)
# fmt: on
