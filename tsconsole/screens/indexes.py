"""The index advisor: what would pay on a table, what is in the way, and doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from rich.text import Text

from tsconsole import operations
from tsconsole.actions.action import Action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background import upkeep_jobs
from tsconsole.background.operation import Connection, Operation
from tsconsole.formatting import ABSENT, one_line, short_number, size
from tsconsole.models import IndexAdvice, Retention
from tsconsole.screens.base import bindings
from tsconsole.screens.palette import Entry, PaletteScreen
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.screens.table_screen import TableScreen
from tsconsole.widgets.grid import Field, Grid, Look, named, words
from tsconsole.widgets.header import Header

UNTIL_ASKED = 86400.0
"""Seconds: advice plans many queries, so it is given once, and again when it is asked for."""
WHY_FROM = 120
"""The width of the table from which on there is a column for the reasons."""
_RANK = {"create": 0, "drop": 1, "note": 2}
_GLYPHS = {"create": "+", "drop": "-", "note": "·"}


@dataclass(frozen=True)
class IndexesData:
    """What the screen shows."""

    now: datetime
    table: str | None
    advice: tuple[IndexAdvice, ...]
    tables: tuple[Retention, ...]


class IndexesScreen(TableScreen[IndexesData]):
    """Advice on one table."""

    place = "indexes"
    BINDINGS = bindings("indexes")

    def grids(self) -> list[Grid[Any]]:
        """One grid."""
        return [
            Grid(
                id="advice",
                number=8,
                title="Indexes",
                fields=FIELDS,
                key=advice_key,
                text=lambda a: f"{a.advice} {a.kind} {a.index_name} {a.definition} {a.reason}",
                is_problem=lambda advice: advice.advice != "note",
                noun="piece of advice",
                nouns="pieces of advice",
                words="planning the queries with and without indexes …",
                can_be_marked=True,
            )
        ]

    @property
    def pace(self) -> float:
        """Nothing changes by itself here."""
        return UNTIL_ASKED

    def draw_header(self) -> None:
        """The age of the advice, without an interval that nobody would wait for."""
        super().draw_header()
        self.query_one(Header).change(interval=None)

    async def fetch(self, connection: Connection) -> IndexesData:
        """Ask for advice."""
        tables, found = await operations.advice_overview(connection, self.table_name)
        if self.table_name is None and tables:
            self.table_name = tables[-1].table_name
            _, found = await operations.advice_overview(connection, self.table_name)
        now = self.session.now or datetime.now(timezone.utc)
        ordered = sorted(found, key=lambda advice: _RANK[advice.advice])
        return IndexesData(now, self.table_name, tuple(ordered), tuple(tables))

    def draw(self) -> None:
        """Draw the advice."""
        data, grid = self.data, self.main
        if data is None:
            return
        grid.about = data.table or ""
        grid.words = (
            f"Nothing to do: no index would pay on {data.table}, and none is in the way."
            if data.table
            else "There are no rollups here yet."
        )
        grid.display_rows(data.advice, data.now)
        self.selection_changed()

    def selection_changed(self) -> None:
        """Say why, in full, below."""
        advice = self.main.selected
        self.main.below = one_line(advice.reason) if advice is not None else ""
        self.main.draw_titles()

    def operation_changed(self, operation: Operation) -> None:
        """Show the progress beside what is built."""
        super().operation_changed(operation)
        self.draw()

    def why_not(self, action: Action) -> str | None:
        """What needs advice that can be followed."""
        reason = super().why_not(action)
        if reason is not None or action.name != "follow":
            return reason
        if not self._followed and self.main.chosen:
            return "there is nothing to build or drop in a note"
        return self.nothing_chosen(self.main)

    def action_open(self) -> None:
        """The advice in full, with its statement."""
        advice = self.main.selected
        if advice is not None:
            title = advice.index_name or f"{advice.kind}: {self.table_name}"
            self.app.push_screen(ReaderScreen(self.session, title, advice_sections(advice)))

    def action_choose(self) -> None:
        """Look at another table."""
        entries = [
            Entry(one.table_name, "source" if one.is_source else "rollup", target=one.table_name)
            for one in (self.data.tables if self.data else ())
        ]

        def look_at(entry: Entry | None) -> None:
            if entry is not None:
                self.table_name, self.data = entry.target, None
                self.main.words = "planning the queries with and without indexes …"
                self.main.display_rows((), self.session.now or datetime.now(timezone.utc))
                self.poller.poke()

        self.app.push_screen(PaletteScreen(entries, "Indexes of", "a rollup or a source"), look_at)

    def action_follow(self) -> None:
        """Build or drop the indexes in the background, once it is confirmed."""
        followed = self._followed
        if not followed:
            return
        verbs = {"Build" if advice.advice == "create" else "Drop" for advice in followed}
        verb = verbs.pop() if len(verbs) == 1 else "Follow"
        question = follow_question(verb, followed)
        works = [
            (advice.index_name or "", upkeep_jobs.follow_advice(self.session.settings, advice))
            for advice in followed
        ]
        self.ask(verb, question, lambda: self.start_each(verb.lower(), works, "indexes"))

    @property
    def _followed(self) -> list[IndexAdvice]:
        """The chosen pieces of advice that say what to build or drop."""
        return [one for one in self.main.chosen if one.statement and one.index_name]


def follow_question(verb: str, followed: Sequence[IndexAdvice]) -> Text:
    """What will be built or dropped, by name and size."""
    first = followed[0]
    total = sum(one.size_bytes or 0 for one in followed if one.advice == "create" or verb == "Drop")
    room = f", about {size(total)}" if total else ""
    if len(followed) == 1:
        question = Text.assemble(
            f"{verb} ", (first.index_name or "", "bold"), f" of {first.table_name}{room}?\n\n",
            one_line(first.reason),
        )  # fmt: skip
    else:
        names = "\n".join(f"{_GLYPHS[one.advice]} {one.index_name}" for one in followed)
        question = Text.assemble(
            f"{verb}: ", (f"{len(followed)} indexes", "bold"),
            f" of {first.table_name}{room}, one after the other?\n\n{names}",
        )  # fmt: skip
    runs = (
        "It runs in the background and blocks nobody; {cancel} cancels it and leaves nothing half"
    )
    return question.append(f"\n\n{spoken(runs)} built.")


def advice_key(advice: IndexAdvice) -> str:
    """What an advice is known by."""
    return f"{advice.advice}/{advice.kind}/{advice.index_name}/{advice.reason[:40]}"


def advice_sections(advice: IndexAdvice) -> list[Section]:
    """Everything about an advice."""
    cost = ""
    if advice.cost_before is not None and advice.cost_after is not None:
        cost = (
            f"{short_number(advice.cost_before)} without it, {short_number(advice.cost_after)} "
            f"with it: {gain(advice)} cheaper"
        )
    return [
        Section("Why", advice.reason),
        Section("The planner's cost of the queries that it changes", cost),
        Section("Size", size(advice.size_bytes) if advice.size_bytes is not None else ""),
        Section("The index", advice.definition or "", "code"),
        Section(spoken("What {follow} runs"), advice.statement or "", "code"),
    ]


def gain(advice: IndexAdvice) -> str:
    """How much cheaper the queries get."""
    if not advice.cost_before or advice.cost_after is None:
        return ABSENT
    return f"{max(1 - advice.cost_after / advice.cost_before, 0):.0%}"


def _saved(advice: IndexAdvice) -> float:
    return (advice.cost_before or 0) - (advice.cost_after or 0)


def _advice(advice: IndexAdvice, look: Look) -> Text:
    style = look.colours.muted if advice.advice == "note" else "bold"
    return Text(f"{_GLYPHS[advice.advice]} {advice.advice}", style=style)


def _index(advice: IndexAdvice, look: Look) -> Text:
    if advice.index_name:
        return named(advice.index_name, look)
    # A note is about no index: where there is no other room, it is read here.
    shown = advice.reason if look.room < WHY_FROM else ""
    return words(one_line(shown), look, look.colours.muted)


FIELDS: tuple[Field[IndexAdvice], ...] = (
    Field("advice", "ADVICE", 8, _advice, lambda a: (_RANK[a.advice], -_saved(a))),
    Field("kind", "KIND", 11, lambda a, look: words(a.kind, look)),
    Field("index", "INDEX", 0, _index, lambda a: a.index_name or "",
          name=lambda a: a.index_name or ""),
    Field("before", "COST", 8, lambda a, look: Text(short_number(a.cost_before)), right=True,
          from_room=100),
    Field("after", "AFTER", 8, lambda a, look: Text(short_number(a.cost_after)), right=True,
          from_room=100),
    Field("gain", "GAIN", 6, lambda a, look: Text(gain(a)), lambda a: -_saved(a), right=True),
    Field("size", "SIZE", 7, lambda a, look: Text(size(a.size_bytes)),
          lambda a: -(a.size_bytes or 0), right=True),
    Field("reason", "WHY", 0, lambda a, look: words(one_line(a.reason), look, look.colours.muted),
          from_room=WHY_FROM),
)  # fmt: skip
