"""Maintenance: every task of every rollup, what it said, when it runs next, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.background import upkeep_jobs
from tsconsole.background.operation import Connection
from tsconsole.formatting import ABSENT, age, countdown, moment, one_line, took, when
from tsconsole.intervals import short_interval
from tsconsole.models import MaintenanceEntry, PlannedTask
from tsconsole.screens.base import bindings
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.screens.table_screen import TableScreen
from tsconsole.widgets.grid import BEGINNING, NEVER, Field, Grid, Look, named, words

LOGGED = 100
"""Entries of the log that are read."""
_GLYPHS = {"done": "✓", "skipped": "·", "failed": "✗"}


@dataclass(frozen=True)
class MaintenanceData:
    """What the screen shows."""

    now: datetime
    tasks: tuple[PlannedTask, ...]
    log: tuple[MaintenanceEntry, ...]


class MaintenanceScreen(TableScreen[MaintenanceData]):
    """The plan above, the log below."""

    place = "maintenance"
    BINDINGS = bindings("maintenance")

    def grids(self) -> list[Grid[Any]]:
        """The tasks, and the log."""
        return [
            Grid(
                id="tasks",
                number=6,
                title="Maintenance",
                fields=FIELDS,
                key=task_key,
                text=lambda t: f"{t.target_table} {t.task} {t.last_outcome} {t.last_detail}",
                is_problem=lambda task: task.last_outcome == "failed" or task.is_due,
                noun="task",
                words="reading …",
                can_be_marked=True,
                worst_first=lambda task: (task.last_outcome != "failed", not task.is_due),
            ),
            Grid(
                id="log",
                number=0,
                title="Log",
                fields=LOG_FIELDS,
                key=lambda entry: str(entry.id),
                text=lambda e: f"{e.target_table} {e.task} {e.outcome} {e.detail}",
                is_problem=lambda entry: entry.outcome == "failed",
                noun="entry",
                nouns="entries",
                words="Nothing was maintained yet.",
            ),
        ]

    async def fetch(self, connection: Connection) -> MaintenanceData:
        """Read the plan and the log, in one round trip."""
        tasks, log = await operations.maintenance_overview(connection, LOGGED)
        now = self.session.now or datetime.now(timezone.utc)
        return MaintenanceData(now, tuple(tasks), tuple(log))

    def draw(self) -> None:
        """Draw both grids."""
        if self.data is None:
            return
        main = self.main
        due = sum(task.is_due for task in self.data.tasks)
        failed = sum(task.last_outcome == "failed" for task in self.data.tasks)
        main.about = f"{due} due" + (f", {failed} failed" if failed else "")
        main.words = "There are no rollups here yet, so there is nothing to maintain."
        main.display_rows(self.data.tasks, self.data.now)
        self.query_one("#log", Grid).display_rows(self.data.log, self.data.now)
        self.selection_changed()

    def selection_changed(self) -> None:
        """Say what the task under the cursor is for, and what it said."""
        task = self.main.selected
        said = f": {one_line(task.last_detail)}" if task and task.last_detail else ""
        self.main.below = f"{task.task}: {task.purpose}{said}" if task else ""
        self.main.draw_titles()

    @property
    def table_in_view(self) -> str | None:
        """The rollup of the task under the cursor."""
        task = self.main.selected
        return task.target_table if task is not None else None

    def why_not(self, action: Action) -> str | None:
        """What needs a task."""
        reason = super().why_not(action)
        if reason is None and action.name in ("run_task", "run_table"):
            return self.nothing_chosen(self.main)
        if reason is None and action.name == "run_due" and not self._due():
            return "nothing is due"
        return reason

    def action_open(self) -> None:
        """What the task under the cursor, or the entry of the log, said in full."""
        grid = self.focused_grid
        row = grid.selected
        if row is None:
            return
        sections = task_sections(row) if isinstance(row, PlannedTask) else entry_sections(row)
        title = f"{row.task} of {row.target_table}"
        self.app.push_screen(ReaderScreen(self.session, title, sections))

    def action_run_task(self) -> None:
        """Run the marked tasks now, or the one under the cursor."""
        tasks = self.main.chosen
        if len(tasks) != 1:
            self._ask("what is marked", tasks)
            return
        what = f"{tasks[0].task} of {tasks[0].target_table}"
        if tasks[0].task == "retention":
            question = Text(f"Run {what}?\n\nExpired partitions go with their rows.")
            self.ask("Run", question, lambda: self._run(what, tasks))
        else:
            self._run(what, tasks)

    def action_run_table(self) -> None:
        """Run every task of the marked rollups, or of the one under the cursor."""
        targets = {task.target_table for task in self.main.chosen}
        tasks = [one for one in self._tasks() if one.target_table in targets]
        whose = next(iter(targets)) if len(targets) == 1 else f"{len(targets)} rollups"
        self._ask(f"every task of {whose}", tasks)

    def action_run_due(self) -> None:
        """Run what is due."""
        self._ask("what is due", self._due())

    def action_run_all(self) -> None:
        """Run every task of every rollup."""
        self._ask("every task of every rollup", list(self._tasks()))

    def _ask(self, what: str, tasks: list[PlannedTask]) -> None:
        if not tasks:
            return
        question = Text.assemble("Run ", (what, "bold"), f": {len(tasks)} tasks?")
        if any(task.task == "retention" for task in tasks):
            question.append("\n\nExpired partitions go with their rows.")
        self.ask("Run", question, lambda: self._run(f"{len(tasks)} tasks", tasks))

    def _run(self, what: str, tasks: list[PlannedTask]) -> None:
        self.start("maintain", what, upkeep_jobs.run_tasks(tasks))

    def _tasks(self) -> tuple[PlannedTask, ...]:
        return self.data.tasks if self.data is not None else ()

    def _due(self) -> list[PlannedTask]:
        return [task for task in self._tasks() if task.is_due]


def task_key(task: PlannedTask) -> str:
    """What a task is known by."""
    return f"{task.rollup_id}/{task.task}"


def task_sections(task: PlannedTask) -> list[Section]:
    """Everything about a task."""
    facts = [
        ("rollup", task.target_table),
        ("runs every", short_interval(task.run_every)),
        ("last run", moment(task.last_run)),
        ("took", took(task.last_duration)),
        ("outcome", task.last_outcome or "never run"),
        ("next run", moment(task.next_run) if task.next_run else "not needed here"),
    ]
    body = "\n".join(f"{name:12}{value}" for name, value in facts)
    return [
        Section("What it is for", task.purpose),
        Section("When", body),
        Section("What it said", task.last_detail or ""),
    ]


def entry_sections(entry: MaintenanceEntry) -> list[Section]:
    """Everything about an entry of the log."""
    facts = [
        ("outcome", entry.outcome),
        ("began", moment(entry.start_time)),
        ("ended", moment(entry.end_time)),
        ("took", took(entry.duration)),
        ("runs", f"{entry.runs} that said the same" if entry.runs > 1 else "1"),
        ("backend", str(entry.worker_pid)),
    ]
    body = "\n".join(f"{name:12}{value}" for name, value in facts)
    return [Section("What it said", entry.detail or "nothing"), Section("When", body)]


def _outcome(outcome: str | None, look: Look) -> Text:
    if outcome is None:
        return Text("never", style=look.colours.muted)
    style = f"bold {look.colours.error}" if outcome == "failed" else look.colours.muted
    return Text(f"{_GLYPHS[outcome]} {outcome}", style=style)


def _next(task: PlannedTask, look: Look) -> Text:
    if task.next_run is None:
        return Text("not needed", style=look.colours.muted)
    left = task.next_run - look.now
    if task.is_due or left <= timedelta():
        return Text("due")
    words = f"in {countdown(left)}" if left < timedelta(hours=1) else f"in {age(left)}"
    return Text(words, style=look.colours.muted)


def _moment(value: datetime | None, look: Look) -> Text:
    return Text(when(value, look.now) if value else ABSENT, style=look.colours.muted)


FIELDS: tuple[Field[PlannedTask], ...] = (
    Field("task", "TASK", 12, lambda t, look: Text(t.task, style="bold"), lambda t: t.task),
    Field("target", "ROLLUP", 0, lambda t, look: named(t.target_table, look),
          lambda t: (t.target_table, t.task), name=lambda t: t.target_table),
    Field("outcome", "LAST", 9, lambda t, look: _outcome(t.last_outcome, look),
          lambda t: ("failed", "done", "skipped").index(t.last_outcome) if t.last_outcome else 3),
    Field("last", "RAN", 11, lambda t, look: _moment(t.last_run, look),
          lambda t: t.last_run or BEGINNING, right=True),
    Field("took", "TOOK", 7, lambda t, look: Text(took(t.last_duration)),
          lambda t: -(t.last_duration or timedelta()), right=True),
    Field("next", "NEXT", 11, _next, lambda t: t.next_run or NEVER, right=True),
    Field("every", "EVERY", 8,
          lambda t, look: Text(short_interval(t.run_every), style=look.colours.muted),
          right=True, from_room=90),
    Field("said", "SAID", 0,
          lambda t, look: words(one_line(t.last_detail), look, look.colours.muted), from_room=110),
)  # fmt: skip

LOG_FIELDS: tuple[Field[MaintenanceEntry], ...] = (
    Field("at", "ENDED", 11, lambda e, look: _moment(e.end_time, look)),
    Field("outcome", "OUTCOME", 9, lambda e, look: _outcome(e.outcome, look)),
    Field("task", "TASK", 12, lambda e, look: Text(e.task, style="bold")),
    Field("target", "ROLLUP", 20, lambda e, look: named(e.target_table, look),
          name=lambda e: e.target_table),
    Field("took", "TOOK", 7, lambda e, look: Text(took(e.duration)), right=True, from_room=90),
    Field("runs", "RUNS", 5, lambda e, look: Text(f"×{e.runs}" if e.runs > 1 else ""), right=True,
          from_room=90),
    Field("said", "SAID", 0,
          lambda e, look: words(one_line(e.detail), look,
                                look.colours.error if e.outcome == "failed" else "")),
)  # fmt: skip
