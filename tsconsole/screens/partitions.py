"""The partitions of one rollup or source: what they hold, and which of them retention takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background import upkeep_jobs
from tsconsole.background.operation import Connection
from tsconsole.formatting import ABSENT, age, moment, short_number, size
from tsconsole.intervals import short_interval
from tsconsole.models import ExpiredPartition, PartitionStat, Retention
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.base import bindings
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.palette import Entry, PaletteScreen
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.screens.table_screen import TableScreen
from tsconsole.widgets.grid import BEGINNING, Field, Grid, Look, named
from tsconsole.widgets.partitions_pane import range_label

MOST = 2000
"""Partitions that are listed: the newest."""
_STATES = ("expired", "open", "premade", "closed")


@dataclass(frozen=True)
class PartitionsData:
    """What the screen shows."""

    now: datetime
    table: str | None
    partitions: tuple[PartitionStat, ...]
    tables: tuple[Retention, ...]
    """Every table that can be looked at, with how long it keeps its rows."""

    @property
    def retention(self) -> Retention | None:
        """How long this table keeps its rows."""
        return next((one for one in self.tables if one.table_name == self.table), None)


class PartitionsScreen(TableScreen[PartitionsData]):
    """One table's partitions."""

    place = "partitions"
    BINDINGS = bindings("partitions")

    def grids(self) -> list[Grid[Any]]:
        """One grid."""
        return [
            Grid(
                id="partitions",
                number=5,
                title="Partitions",
                fields=FIELDS,
                key=lambda part: part.partition_name,
                text=lambda part: f"{part.partition_name} {part.range_start} {part.state}",
                is_problem=lambda part: part.state == "expired",
                noun="partition",
                words="reading …",
            )
        ]

    async def fetch(self, connection: Connection) -> PartitionsData:
        """Read the partitions of the table, and which tables there are."""
        tables, found = await operations.partitions_overview(connection, self.table_name, MOST)
        if self.table_name is None and tables:
            self.table_name = tables[-1].table_name
            _, found = await operations.partitions_overview(connection, self.table_name, MOST)
        now = self.session.now or datetime.now(timezone.utc)
        return PartitionsData(now, self.table_name, tuple(found), tuple(tables))

    def draw(self) -> None:
        """Draw the rows, and what the table's retention is."""
        data, grid = self.data, self.main
        if data is None:
            return
        grid.words = "No partitions yet." if data.table else "There are no rollups here yet."
        retention = data.retention
        kind = "source" if retention is not None and retention.is_source else "rollup"
        grid.about = f"{data.table or ''} ({kind})" if data.table else ""
        total = sum(part.total_bytes for part in data.partitions)
        expired = [part for part in data.partitions if part.state == "expired"]
        parts = [f"{size(total)} in {len(data.partitions)}", kept_words(retention)]
        if expired:
            parts.append(f"{len(expired)} expired, {size(sum(p.total_bytes for p in expired))}")
        if len(data.partitions) == MOST:
            parts.append(f"the newest {MOST}")
        grid.below = " · ".join(parts) if data.table else ""
        grid.display_rows(data.partitions, data.now)

    def why_not(self, action: Action) -> str | None:
        """What needs a table, or a rollup."""
        reason = super().why_not(action)
        if reason is not None or action.method not in _NEED_TABLE:
            return reason
        if self.table_name is None:
            return "there is no table here yet"
        retention = self.data.retention if self.data else None
        if action.name == "optimize" and (retention is None or retention.is_source):
            return "the widths of a source's partitions are not ours to choose"
        return None

    def action_open(self) -> None:
        """Everything about the partition under the cursor."""
        part = self.main.selected
        if part is not None:
            body = "\n".join(f"{name:16}{value}" for name, value in facts(part))
            sections = [Section("Partition", body)]
            self.app.push_screen(ReaderScreen(self.session, part.partition_name, sections))

    def action_choose(self) -> None:
        """Look at another table."""
        entries = [
            Entry(one.table_name, f"{'source' if one.is_source else 'rollup'}, {kept_words(one)}",
                  target=one.table_name)
            for one in (self.data.tables if self.data else ())
        ]  # fmt: skip

        def look_at(entry: Entry | None) -> None:
            if entry is not None:
                self.table_name = entry.target
                self.poller.poke()

        self.app.push_screen(
            PaletteScreen(entries, "Partitions of", "a rollup or a source"), look_at
        )

    def action_dry_run(self) -> None:
        """Show what retention would take away."""
        self.spawn(self._dry_run, "dry run")

    async def _dry_run(self) -> None:
        if self.table_name is None:
            return
        async with self.session.connect() as connection:
            found = await operations.expired_partitions(connection, self.table_name)
        sections = dry_run_sections(found, self.data.retention if self.data else None)
        title = f"Retention of {self.table_name}: what would go"
        self.app.push_screen(ReaderScreen(self.session, title, sections))

    def action_apply(self) -> None:
        """Take away what is expired, once it is confirmed with the table's name."""
        self.spawn(self._ask_to_apply, "dry run")

    async def _ask_to_apply(self) -> None:
        table = self.table_name
        if table is None:
            return
        async with self.session.connect() as connection:
            found = await operations.expired_partitions(connection, table)
        gone = [part for part in found if part.action != "keep"]
        if not gone:
            why = spoken("({dry_run} says why)")
            kept = f"; {len(found)} expired ones have to stay {why}" if found else ""
            self.say(f"nothing of {table} can go{kept}")
            return
        question = apply_question(table, gone)
        typed = table if any(part.action == "drop" for part in gone) else None
        self.ask(
            "Apply", question,
            lambda: self.start("retention of", table, upkeep_jobs.apply_retention(table)), typed,
        )  # fmt: skip

    def action_retention(self) -> None:
        """Change how long rows are kept, and what becomes of them then."""
        table, retention = self.table_name, self.data.retention if self.data else None
        if table is None:
            return
        before = retention.retention_period if retention else None

        def then(period: str | None) -> None:
            if period is None:
                return
            if upkeep_jobs.is_forever(period):
                self.start("retention of", table, upkeep_jobs.set_retention(table, period, "drop"))
                return
            question = Text(f"What becomes of partitions of {table} older than {period}?")
            answers = ["drop them with their rows", "move them to the archive schema"]
            at = int(retention is not None and retention.retention_action == "archive")

            def set_it(choice: int | None) -> None:
                if choice is not None:
                    action = ("drop", "archive")[choice]
                    work = upkeep_jobs.set_retention(table, period, action)
                    self.start("retention of", table, work)

            self.app.push_screen(ChooseScreen("Retention", question, answers, at), set_it)

        question = Text.assemble("Keep rows of ", (table, "bold"), " for (90d, 2 years; never)")
        value = short_interval(before) if before else "never"
        self.app.push_screen(
            AskScreen(
                "Retention", question, value, lambda text: None if text else "write a period"
            ),
            then,
        )

    def action_optimize(self) -> None:
        """Choose the width of coming partitions from measured growth."""
        if self.table_name is not None:
            work = upkeep_jobs.optimize(self.table_name)
            self.start("partition width of", self.table_name, work)


_NEED_TABLE = ("dry_run", "apply", "retention", "optimize")


def kept_words(retention: Retention | None) -> str:
    """How long rows are kept, in words."""
    if retention is None or retention.retention_period is None:
        return "kept for ever"
    then = "archived" if retention.retention_action == "archive" else "dropped"
    return f"kept for {short_interval(retention.retention_period)}, then {then}"


def apply_question(table: str, gone: list[ExpiredPartition]) -> Text:
    """What will go, by name and size."""
    dropped = [part for part in gone if part.action == "drop"]
    verb = "Drop" if dropped else "Archive"
    room = size(sum(part.total_bytes for part in gone))
    names = "\n".join(part.partition_name for part in gone[:8])
    more = f"\n… and {len(gone) - 8} more" if len(gone) > 8 else ""
    question = Text.assemble(
        f"{verb} {len(gone)} partitions of ", (table, "bold"), f", {room}?\n\n{names}{more}"
    )
    if dropped:
        question.append("\n\nTheir rows go with them. This cannot be undone.")
    return question


def dry_run_sections(found: list[ExpiredPartition], retention: Retention | None) -> list[Section]:
    """What would go, and what has to stay and why."""
    gone = [part for part in found if part.action != "keep"]
    kept = [part for part in found if part.action == "keep"]
    room = size(sum(part.total_bytes for part in gone))
    sections = [Section("The rule", f"Rows are {kept_words(retention)}.")]
    if not found:
        sections.append(Section("What would go", "Nothing: no partition is older than that."))
    for heading, parts in (
        (f"Would go: {len(gone)}, {room}", gone),
        (f"Older, but has to stay: {len(kept)}", kept),
    ):
        lines = [
            f"{part.action:8} {size(part.total_bytes):>7}  {part.partition_name}\n"
            f"{'':18}{moment(part.range_start)} to {moment(part.range_end)}\n{'':18}{part.reason}"
            for part in parts
        ]
        sections.append(Section(heading, "\n".join(lines), "code"))
    return sections


def facts(part: PartitionStat) -> list[tuple[str, str]]:
    """Everything that is known about a partition."""
    return [
        ("state", part.state),
        ("from", moment(part.range_start)),
        ("to", moment(part.range_end)),
        ("rows", f"{short_number(part.row_estimate)}, as of {moment(part.estimated_at)}"),
        ("table", size(part.table_bytes)),
        ("indexes", size(part.index_bytes)),
        ("in all", size(part.total_bytes)),
        ("bytes a row", short_number(part.bytes_per_row)),
        ("dead rows", short_number(part.dead_rows)),
        ("last vacuum", moment(part.last_vacuum)),
        ("last analyze", moment(part.last_analyze)),
    ]


def _bar(part: PartitionStat, look: Look) -> Text:
    largest = max((one.total_bytes for one in look.rows), default=0) or 1
    length = round(part.total_bytes / largest * look.width)
    style = look.colours.warning if part.state == "expired" else look.colours.bar
    return Text("━" * length, style=style)


def _quiet(part: PartitionStat, look: Look) -> str:
    return look.colours.muted if part.state in ("premade", "expired") else ""


def _state(part: PartitionStat, look: Look) -> Text:
    marks = {"expired": "! expired", "premade": "+ premade", "open": "▶ open", "closed": "closed"}
    style = look.colours.warning if part.state == "expired" else look.colours.muted
    return Text(marks[part.state], style=style)


def _ago(value: datetime | None, look: Look) -> Text:
    if value is None:
        return Text(ABSENT, style=look.colours.muted)
    return Text(age(max(look.now - value, look.now - look.now)), style=look.colours.muted)


def _figure(value: str, part: PartitionStat, look: Look) -> Text:
    return Text(value, style=_quiet(part, look))


FIELDS: tuple[Field[PartitionStat], ...] = (
    Field("range", "FROM", 16, lambda p, look: _figure(range_label(p, look.now), p, look),
          lambda p: p.range_start or BEGINNING),
    Field("bar", "", 0, _bar),
    Field("size", "SIZE", 7, lambda p, look: _figure(size(p.total_bytes), p, look),
          lambda p: -p.total_bytes, right=True),
    Field("indexes", "INDEXES", 8, lambda p, look: _figure(size(p.index_bytes), p, look),
          lambda p: -p.index_bytes, right=True, from_room=90),
    Field("rows", "ROWS", 7, lambda p, look: _figure(short_number(p.row_estimate), p, look),
          lambda p: -(p.row_estimate or 0), right=True),
    Field("each", "B/ROW", 6, lambda p, look: _figure(short_number(p.bytes_per_row), p, look),
          lambda p: -(p.bytes_per_row or 0), right=True, from_room=110),
    Field("dead", "DEAD", 7, lambda p, look: _figure(short_number(p.dead_rows or None), p, look),
          lambda p: -(p.dead_rows or 0), right=True, from_room=90),
    Field("vacuum", "VACUUM", 8, lambda p, look: _ago(p.last_vacuum, look),
          lambda p: p.last_vacuum or BEGINNING, right=True, from_room=130),
    Field("analyze", "ANALYZE", 8, lambda p, look: _ago(p.last_analyze, look),
          lambda p: p.last_analyze or BEGINNING, right=True, from_room=110),
    Field("state", "STATE", 9, _state, lambda p: _STATES.index(p.state)),
    Field("name", "PARTITION", 34, lambda p, look: named(p.partition_name, look, _quiet(p, look)),
          lambda p: p.partition_name, from_room=140, name=lambda p: p.partition_name),
)  # fmt: skip
