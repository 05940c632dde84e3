"""The form for a new rollup or a ladder: it proposes, shows the SQL, checks, and creates."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Select, Static

from tsconsole import operations
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Connection, Operation, Report, Result
from tsconsole.errors import OperationError
from tsconsole.formatting import short_number, size
from tsconsole.models import Created, LadderRequest, RollupRequest, SourceColumn, SourceTable
from tsconsole.presentation import create_form
from tsconsole.presentation.create_form import Form
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.session import Session
from tsconsole.themes import palette
from tsconsole.widgets.field import Field
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.quiet_input import QuietInput
from tsconsole.widgets.ticks import Ticks
from tsconsole.widgets.tray import Tray

TEXTS = {
    "intervals": ("Every", "", "several make a ladder: 1m, 1h, 1d"),
    "target": ("Target", "", ""),
    "timezone": ("Time zone", "", "where days and months begin"),
    "look_back": ("Look-back", "from the first row", ""),
    "retention": ("Retention", "for ever; else 30d, or one for each level", ""),
}
"""Of each text: its label, what stands in it when it is empty, what stands below it."""


class Tables(Message):
    """The tables that can be read have come."""

    def __init__(self, tables: list[SourceTable]) -> None:
        super().__init__()
        self.tables = tables


class Columns(Message):
    """The columns of a table have come."""

    def __init__(self, source: str, columns: list[SourceColumn]) -> None:
        super().__init__()
        self.source = source
        self.columns = columns


class Refused(Message):
    """The server says what is wrong."""

    def __init__(self, error: OperationError) -> None:
        super().__init__()
        self.error = error


class Accepted(Message):
    """The server has created it, or would."""

    def __init__(self, created: Created, is_real: bool) -> None:
        super().__init__()
        self.created = created
        self.is_real = is_real


class CreateScreen(ConsoleScreen[str | None]):
    """Returns the first target that was created; None when none was."""

    place = "create"
    CSS_PATH = "create.tcss"
    BINDINGS = bindings("create")
    AUTO_FOCUS = "#source"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.is_complete = False
        """Whether the tables to choose from have come."""
        self.form = Form()
        self._untouched = Form()
        self._tables: dict[str, SourceTable] = {}
        self._target_is_proposed = True

    def compose(self) -> ComposeResult:
        """The form on the left, what will happen on the right."""
        yield Line(classes="title")
        with Horizontal(id="both"):
            with VerticalScroll(id="form", can_focus=False):
                yield Field(
                    "source", "Source", Select([], prompt="reading the tables …", id="source")
                )
                yield Field("time_column", "Time column", Select([], prompt="", id="time_column"))
                yield self._text_field("intervals")
                yield self._text_field("target")
                yield Field("dimensions", "Dimensions", Ticks(id="dimensions"), "grouped by")
                yield Field("measures", "Measures", Ticks(id="measures"), "aggregated")
                for name in ("timezone", "look_back", "retention"):
                    yield self._text_field(name)
            with VerticalScroll(id="preview", classes="pane", can_focus=False) as preview:
                preview.border_title = "What will run"
                yield Static(id="sql")
                yield Static(id="verdict")
        yield Tray()
        yield KeyBar("create")

    @property
    def keeps_keys(self) -> bool:
        """Whether keys that come now are meant for what is being read; see EarlyKeys."""
        reads = ("tables", "columns")
        return any(w.group in reads and w.node is self and not w.is_finished for w in self.workers)

    def on_mount(self) -> None:
        """Ask for the tables."""
        self.query_one(".title", Line).show(Text("Create a rollup"))
        self._draw()
        self.spawn(self._read_tables, "tables")

    @on(Tables)
    def offer_tables(self, event: Tables) -> None:
        """Let one be chosen."""
        self.is_complete = True
        self._tables = {table.source_table: table for table in event.tables}
        select = self.query_one("#source", Select)
        select.prompt = "choose a table (type to search)" if event.tables else "no table has a time"
        select.set_options([(_describe(table), table.source_table) for table in event.tables])
        if not event.tables:
            self._field("source").set_error("no table or view here has a column with a time")
        elif select.has_focus:
            select.expanded = True

    @on(Select.Changed, "#source")
    def choose_source(self, event: Select.Changed) -> None:
        """Ask for its columns."""
        if isinstance(event.value, str) and event.value != self.form.source:
            source = event.value
            self.spawn(partial(self._read_columns, source), "columns")

    @on(Columns)
    def offer_columns(self, event: Columns) -> None:
        """Propose everything else."""
        table = self._tables[event.source]
        self.form = create_form.propose(
            self.form, event.source, table.is_rollup, event.columns, self._taken()
        )
        self._untouched = self.form
        self._target_is_proposed = True
        self._fill()

    @on(Select.Changed, "#time_column")
    def choose_time(self, event: Select.Changed) -> None:
        """Another time column."""
        if isinstance(event.value, str):
            self._change(replace(self.form, time_column=event.value))

    @on(Input.Changed)
    def type_text(self, event: Input.Changed) -> None:
        """A text was typed; a name that was only proposed follows the interval."""
        name = event.input.id or ""
        if getattr(self.form, name) == event.value:
            return
        form = create_form.changed(self.form, name, event.value)
        if name == "target":
            self._target_is_proposed = False
        elif name == "intervals" and self._target_is_proposed:
            form = replace(form, target=create_form.propose_target(form, self._taken()))
        self._change(form)
        if form.target != self.query_one("#target", Input).value:
            self.query_one("#target", Input).value = form.target

    @on(Ticks.Changed)
    def tick_column(self, event: Ticks.Changed) -> None:
        """A column was ticked, or no longer."""
        self._change(create_form.changed(self.form, event.ticks.id or "", event.chosen))

    def action_create_now(self) -> None:
        """Create it, when nothing is wrong with it."""
        self._ask_server(is_real=True)

    def action_check(self) -> None:
        """Let the server try, and roll back."""
        self._ask_server(is_real=False)

    @on(Refused)
    def refused(self, event: Refused) -> None:
        """Show it beside the field that it is about."""
        error = event.error
        words = ". ".join(part.rstrip(".") for part in (error.message, error.hint) if part)
        field = self._field(create_form.field_of(error.message))
        field.set_error(words)
        field.scroll_visible()
        for control in field.query("Input, Select, Ticks"):
            control.focus()
        colours = palette(self.app)
        self.query_one("#verdict", Static).update(Text(f"✗ {words}", style=colours.error))

    @on(Accepted)
    def accepted(self, event: Accepted) -> None:
        """Go back, or say that it would work."""
        if event.is_real:
            self.dismiss(event.created.targets[0])
            return
        lines = Text("✓ The server would create it", style=palette(self.app).success)
        for notice in event.created.notices:
            lines.append(f"\n\n{notice}", style=palette(self.app).warning)
        self.query_one("#verdict", Static).update(lines)

    def shows_result(self, operation: Operation) -> bool:
        """What is wrong stands beside its field, what was checked below the SQL."""
        return operation.verb == "check" or operation.outcome == "failed"

    def action_help_here(self) -> None:
        """Show the keys."""
        self.action_help()

    def action_back(self) -> None:
        """Go back; ask only when something was typed."""
        for select in self.query(Select):
            if select.expanded:
                select.expanded = False
                return
        if self.form == self._untouched:
            self.dismiss(None)
            return

        def leave(yes: bool | None) -> None:
            if yes:
                self.dismiss(None)

        question = Text("Leave the form? What you typed is lost.")
        self.app.push_screen(ConfirmScreen("Leave", question, "Leave"), leave)

    def _ask_server(self, is_real: bool) -> None:
        wrong = self._show_errors()
        if wrong:
            first = next(iter(wrong))
            self._field(first).scroll_visible()
            self.say(f"{wrong[first]}", "error")
            return
        wanted = create_form.request(self.form)

        async def work(connection: Connection, report: Report) -> Result:
            try:
                created = await operations.validate_create(connection, wanted)
                if is_real and isinstance(wanted, RollupRequest):
                    created = await operations.create_rollup(connection, wanted)
                elif is_real and isinstance(wanted, LadderRequest):
                    created = await operations.create_ladder(connection, wanted)
            except OperationError as error:
                self.post_message(Refused(error))
                raise
            self.post_message(Accepted(created, is_real))
            names = ", ".join(created.targets)
            if not is_real:
                return Result("the server would create it")
            text = "\n\n".join([f"created {names}", *created.notices])
            return Result(f"{names} created; {spoken('{run} runs it now')}", text=text)

        verb = "create" if is_real else "check"
        self.start(verb, ", ".join(create_form.names_of(self.form)), work)

    async def _read_tables(self) -> None:
        async with self.session.connect() as connection:
            self.post_message(Tables(await operations.source_tables(connection)))

    async def _read_columns(self, source: str) -> None:
        try:
            async with self.session.connect() as connection:
                columns = await operations.source_columns(connection, source)
        except OperationError as error:
            self.post_message(Refused(error))
        else:
            self.post_message(Columns(source, columns))

    def _taken(self) -> set[str]:
        return set(self._tables)

    def _field(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    def _text_field(self, name: str) -> Field:
        label, placeholder, hint = TEXTS[name]
        box = QuietInput(getattr(self.form, name), placeholder, id=name)
        return Field(name, label, box, hint)

    def _fill(self) -> None:
        """Put the form's values into the controls, without hearing them change."""
        form = self.form
        with self.prevent(Input.Changed, Select.Changed):
            times = self.query_one("#time_column", Select)
            times.set_options([(Text(name), name) for name in create_form.times(form.columns)])
            if form.time_column is not None:
                times.value = form.time_column
            for name in ("intervals", "target"):
                self.query_one(f"#{name}", Input).value = getattr(form, name)
            for name in ("dimensions", "measures"):
                choices = self.query_one(f"#{name}", Ticks)
                choices.offer(self._choices(name), getattr(form, name))
                choices.disabled = form.is_rollup and name == "measures"
        if form.is_rollup:
            self._field("measures").set_hint("those of the level below, merged exactly")
        else:
            self._field("measures").set_hint("numbers: min, max, avg, sum, count; others: mode")
        self._draw()

    def _choices(self, name: str) -> list[tuple[str, Text]]:
        """The columns that can be a dimension, or a measure, with their types."""
        muted = palette(self.app).muted
        return [
            (c.column_name, Text.assemble(c.column_name, (f"  {c.data_type}", muted)))
            for c in self.form.columns
            if c.column_name != self.form.time_column and (c.aggregates or name == "dimensions")
        ]

    def _change(self, form: Form) -> None:
        self.form = form
        self._draw()

    def _show_errors(self) -> dict[str, str]:
        wrong = create_form.check(self.form, self._taken())
        for name in create_form.FIELDS:
            self._field(name).set_error(wrong.get(name, ""))
        return wrong

    def _draw(self) -> None:
        """Show the errors at once, and the SQL as it stands."""
        self.query_one("#verdict", Static).update("")
        if self.form.source is None:
            self.query_one("#sql", Static).update(
                Text("Choose a source, and the rest is proposed.")
            )
            return
        self._show_errors()
        statement = operations.create_statement(create_form.request(self.form))
        self.query_one("#sql", Static).update(Text(statement))
        hint = create_form.makes(self.form) if self.form.is_ladder else ""
        self._field("target").set_hint(hint)


def _describe(table: SourceTable) -> Text:
    """A table as one line: what it is, how large."""
    facts = ["rollup" if table.is_rollup else table.kind]
    if table.row_estimate:
        facts.append(f"~{short_number(table.row_estimate)} rows")
    if table.total_bytes:
        facts.append(size(table.total_bytes))
    return Text.assemble(table.source_table, (f"   {', '.join(facts)}", "dim"))
