"""The schedule: what is due, what comes next, and who runs it: workers or pg_cron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background import jobs, upkeep_jobs
from tsconsole.background.operation import Connection, Work
from tsconsole.background.upkeep_jobs import set_interval
from tsconsole.formatting import (
    ABSENT,
    age,
    coming,
    countdown,
    moment,
    one_line,
    short_number,
    when,
)
from tsconsole.intervals import short_interval
from tsconsole.models import CronJob, ScheduledRollup, ScheduleSnapshot, WorkerStatus
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.base import bindings
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.screens.table_screen import TableScreen
from tsconsole.widgets.grid import BEGINNING, NEVER, Field, Grid, Look, named, words

LATE = timedelta(minutes=5)
"""What has been due for longer needs attention."""

NO_CRON = {
    "here": "pg_cron lives here and has none of our jobs. {cron} makes them.",
    "elsewhere": "pg_cron may live in another database of this server. {cron} says what to run "
    "there.",
    "absent": "pg_cron is not on this server. Workers do the same: tsconsole worker.",
}


class ScheduleScreen(TableScreen[ScheduleSnapshot]):
    """The rollups above, workers and pg_cron's jobs below."""

    place = "schedule"
    BINDINGS = bindings("schedule")

    def grids(self) -> list[Grid[Any]]:
        """Rollups, workers, jobs."""
        return [
            Grid(
                id="rollups",
                number=7,
                title="Schedule",
                fields=FIELDS,
                key=lambda rollup: str(rollup.rollup_id),
                text=lambda r: f"{r.target_table} {r.source_table} {' '.join(r.due_work)}",
                is_problem=self._is_late,
                noun="rollup",
                words="reading …",
                can_be_marked=True,
                worst_first=lambda rollup: not self._is_late(rollup),
            ),
            Grid(
                id="workers",
                number=0,
                title="Workers",
                fields=WORKER_FIELDS,
                key=lambda worker: str(worker.id),
                text=lambda worker: f"{worker.name} {worker.host} {worker.pid}",
                is_problem=self._is_silent,
                noun="worker",
                words="No worker has been heard of. On any host: tsconsole worker",
            ),
            Grid(
                id="jobs",
                number=0,
                title="pg_cron",
                fields=JOB_FIELDS,
                key=lambda job: job.job_name,
                text=lambda job: f"{job.job_name} {job.command} {job.last_status}",
                is_problem=lambda job: job.last_status == "failed" or not job.is_active,
                noun="job",
                words="reading …",
            ),
        ]

    async def fetch(self, connection: Connection) -> ScheduleSnapshot:
        """Read everything about scheduling."""
        return await operations.schedule_snapshot(connection)

    def draw(self) -> None:
        """Draw the three grids."""
        data = self.data
        if data is None:
            return
        now = data.database_time
        due = sum(bool(rollup.due_work) for rollup in data.rollups)
        self.main.about = f"{due} due now · {self._who(data)}" if data.rollups else ""
        self.main.words = "There are no rollups here yet, so nothing is scheduled."
        self.main.display_rows(data.rollups, now)
        self.query_one("#workers", Grid).display_rows(data.workers, now)
        cron = self.query_one("#jobs", Grid)
        cron.words = spoken(NO_CRON[data.cron])
        cron.display_rows(data.cron_jobs, now)

    @property
    def table_in_view(self) -> str | None:
        """The rollup under the cursor."""
        rollup = self.main.selected
        return rollup.target_table if rollup is not None else None

    def why_not(self, action: Action) -> str | None:
        """What needs a rollup, or pg_cron."""
        reason = super().why_not(action)
        if reason is not None:
            return reason
        if action.name in ("interval", "switch", "run_now"):
            return self.nothing_chosen(self.main)
        is_absent = self.data is not None and self.data.cron == "absent"
        if action.name in ("cron", "cron_remove") and is_absent:
            return "pg_cron is not on this server"
        return None

    def action_open(self) -> None:
        """Everything about the row under the cursor: a job's runs, a worker, a rollup."""
        row, data = self.focused_grid.selected, self.data
        if row is None or data is None:
            return
        if isinstance(row, CronJob):
            self.app.push_screen(ReaderScreen(self.session, row.job_name, job_sections(row, data)))
        elif isinstance(row, WorkerStatus):
            sections = worker_sections(row, data.database_time)
            self.app.push_screen(ReaderScreen(self.session, row.name, sections))
        else:
            self.go_to_rollup(row.target_table)

    def action_interval(self) -> None:
        """Change how often the chosen rollups are due."""
        rollups = self.main.chosen
        if not rollups:
            return
        targets = [rollup.target_table for rollup in rollups]

        def change(interval: str | None) -> None:
            if interval is not None:
                self._each("schedule", targets, partial(set_interval, interval=interval))

        who = targets[0] if len(targets) == 1 else f"{len(targets)} rollups"
        question = Text.assemble("Run ", (who, "bold"), " every (30s, 5m, 1h, 1 day)")
        value = short_interval(rollups[0].refresh_interval)
        self.app.push_screen(AskScreen("Interval", question, value, _problem), change)

    def action_switch(self) -> None:
        """Take the chosen rollups out of the schedule; when all are out, back into it."""
        active = [rollup.target_table for rollup in self.main.chosen if rollup.is_active]
        if active:
            self._each("pause", active, partial(jobs.pause, is_paused=False))
        else:
            paused = [rollup.target_table for rollup in self.main.chosen]
            self._each("resume", paused, partial(jobs.pause, is_paused=True))

    def action_run_now(self) -> None:
        """Run the chosen rollups until nothing is left to do."""
        works = [
            (chosen.target_table, jobs.run(chosen.target_table)) for chosen in self.main.chosen
        ]
        self.start_each("run", works, "rollups", jobs.bottom_up)

    def _each(self, verb: str, targets: Sequence[str], work_of: Callable[[str], Work]) -> None:
        self.start_each(verb, [(target, work_of(target)) for target in targets], "rollups")

    def action_cron(self) -> None:
        """Have pg_cron run what is due."""
        question = Text(
            "Let pg_cron run what is due: rollups, retries, maintenance, and pruning of its own "
            "run details?\n\nJobs that are there already are brought up to date."
        )
        self.ask("Schedule", question, lambda: self.start(
            "schedule jobs of pg_cron", None, upkeep_jobs.schedule_jobs))  # fmt: skip

    def action_cron_remove(self) -> None:
        """Take our jobs out of pg_cron."""
        question = Text(
            "Remove our jobs from pg_cron?\n\nWithout a worker nothing runs the rollups then."
        )
        self.ask("Remove", question, lambda: self.start(
            "remove jobs of pg_cron", None, upkeep_jobs.unschedule_jobs))  # fmt: skip

    def _who(self, data: ScheduleSnapshot) -> str:
        now = data.database_time
        alive = [worker for worker in data.workers if worker.is_alive(now)]
        jobs_there = [job for job in data.cron_jobs if job.is_active]
        who = []
        if alive:
            hosts = {worker.host for worker in alive}
            who.append(f"{len(alive)} worker{'s' * (len(alive) > 1)} on {', '.join(sorted(hosts))}")
        if jobs_there:
            who.append(f"pg_cron with {len(jobs_there)} jobs")
        return "run by " + " and ".join(who) if who else "nobody runs them"

    def _is_late(self, rollup: ScheduledRollup) -> bool:
        now = self.data.database_time if self.data else None
        is_waiting = rollup.next_due is not None and rollup.running_since is None
        return bool(now and is_waiting and now - (rollup.next_due or now) > LATE)

    def _is_silent(self, worker: WorkerStatus) -> bool:
        return self.data is not None and not worker.is_alive(self.data.database_time)


def _problem(text: str) -> str | None:
    return None if text else "write an interval, such as 5m"


def job_sections(job: CronJob, data: ScheduleSnapshot) -> list[Section]:
    """A job of pg_cron and its last runs."""
    facts = [
        ("schedule", job.schedule),
        ("database", job.database),
        ("active", "yes" if job.is_active else "no"),
        ("last run", f"{moment(job.last_start)}, {job.last_status or 'never'}"),
    ]
    runs = [run for run in data.cron_runs if run.job_name == job.job_name]
    lines = [
        f"{moment(run.start_time)}  {run.status or '':10}  {one_line(run.message)}" for run in runs
    ]
    return [
        Section("Job", "\n".join(f"{name:10}{value}" for name, value in facts)),
        Section("Command", job.command, "code"),
        Section("Its last runs", "\n".join(lines) or "none yet", "code"),
    ]


def worker_sections(worker: WorkerStatus, now: datetime) -> list[Section]:
    """Everything about a worker."""
    facts = [
        ("host", worker.host),
        ("process", str(worker.pid)),
        ("version", worker.version),
        ("started", moment(worker.started_at)),
        ("heard of", f"{age(now - worker.seen_at)} ago"),
        ("steps", f"{worker.steps}, {worker.failures} failed"),
        ("runs", f"{worker.running} of at most {worker.parallel} now ({worker.jobs} wanted)"),
        ("last step", worker.last_step or "none"),
    ]
    return [Section("Worker", "\n".join(f"{name:10}{value}" for name, value in facts))]


def _next(rollup: ScheduledRollup, look: Look) -> Text:
    if not rollup.is_active:
        return Text("⏸ paused", style=look.colours.muted)
    if rollup.running_since is not None:
        return Text(f"▶ for {age(look.now - rollup.running_since)}")
    if rollup.next_due is None:
        return Text("no rows yet", style=look.colours.muted)
    left = rollup.next_due - look.now
    if left <= timedelta():
        late = -left > LATE
        return Text(f"{age(-left)} late", style=look.colours.warning if late else "")
    text = f"in {countdown(left)}" if left < timedelta(hours=1) else f"in {age(left)}"
    return Text(text, style=look.colours.muted)


def _retry(rollup: ScheduledRollup, look: Look) -> Text:
    if rollup.next_retry_time is None:
        return Text("")
    return Text(coming(rollup.next_retry_time - look.now), style=look.colours.warning)


def _pid(rollup: ScheduledRollup, look: Look) -> Text:
    return Text(f"pid {rollup.worker_pid}" if rollup.worker_pid else "", style=look.colours.muted)


def _seen(worker: WorkerStatus, look: Look) -> Text:
    if worker.is_alive(look.now):
        return Text(f"✓ {age(max(look.now - worker.seen_at, timedelta()))}")
    return Text(f"✗ {age(look.now - worker.seen_at)}", style=f"bold {look.colours.error}")


def _job_status(job: CronJob, look: Look) -> Text:
    if not job.is_active:
        return Text("⏸ off", style=look.colours.warning)
    if job.last_status == "failed":
        return Text("✗ failed", style=f"bold {look.colours.error}")
    return Text(job.last_status or "never ran", style=look.colours.muted)


FIELDS: tuple[Field[ScheduledRollup], ...] = (
    Field("target", "ROLLUP", 0, lambda r, look: named(r.target_table, look, "bold"),
          lambda r: r.target_table, name=lambda r: r.target_table),
    Field("every", "EVERY", 8, lambda r, look: Text(short_interval(r.refresh_interval)),
          right=True),
    Field("last", "LAST RUN", 11,
          lambda r, look: Text(when(r.last_run, look.now) if r.last_run else ABSENT),
          lambda r: r.last_run or BEGINNING, right=True),
    Field("next", "NEXT", 12, _next, lambda r: r.next_due or NEVER, right=True),
    Field("work", "DUE NOW", 20, lambda r, look: words(", ".join(r.due_work), look),
          from_room=80),
    Field("retry", "RETRY", 10, _retry, lambda r: r.next_retry_time or NEVER, right=True),
    Field("pid", "RUN BY", 12, _pid, from_room=110),
)  # fmt: skip

WORKER_FIELDS: tuple[Field[WorkerStatus], ...] = (
    Field("host", "HOST", 0, lambda w, look: words(w.host, look, "bold"), lambda w: w.host),
    Field("pid", "PID", 8, lambda w, look: Text(str(w.pid)), right=True),
    Field("seen", "HEARD", 8, _seen, lambda w: w.seen_at, right=True),
    Field("jobs", "RUNS", 6, lambda w, look: Text(f"{w.running}/{w.parallel}"), right=True),
    Field("steps", "STEPS", 7, lambda w, look: Text(short_number(w.steps)), right=True,
          from_room=50),
    Field("failures", "FAILED", 7, lambda w, look: Text(short_number(w.failures)), right=True,
          from_room=60),
)  # fmt: skip

JOB_FIELDS: tuple[Field[CronJob], ...] = (
    Field("job", "JOB", 0, lambda j, look: named(j.job_name, look, "bold"),
          lambda j: j.job_name, name=lambda j: j.job_name),
    Field("schedule", "SCHEDULE", 12, lambda j, look: words(j.schedule, look)),
    Field("status", "LAST", 10, _job_status),
    Field("at", "AT", 11, lambda j, look: Text(when(j.last_start, look.now)), right=True,
          from_room=60),
)  # fmt: skip
