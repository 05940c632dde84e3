"""Install the core, or bring it up to date: the plan, the progress, the result."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Static

from tsconsole import installer
from tsconsole.actions.registry import Action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Connection, Operation, Report, Result
from tsconsole.errors import TsconsoleError
from tsconsole.formatting import one_line
from tsconsole.models import Extension, InstallPlan, InstallStep, SchemaState
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.session import Session
from tsconsole.themes import palette
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.live_table import Column, LiveTable

_VERBS = {"apply": "new", "reapply": "changed", "adopt": "record", "keep": "up to date"}


class Began(Message):
    """The installation has come to a file."""

    def __init__(self, step: InstallStep, position: int, count: int) -> None:
        super().__init__()
        self.step = step
        self.position = position
        self.count = count


class Ended(Message):
    """The installation has ended: with a sentence, or with an error."""

    def __init__(self, words: str, error: TsconsoleError | None = None) -> None:
        super().__init__()
        self.words = words
        self.error = error


class InstallScreen(ConsoleScreen[None]):
    """Every file and what it does; one key installs them all, in one transaction."""

    place = "install"
    CSS_PATH = "install.tcss"
    BINDINGS = bindings("install")

    def __init__(
        self, session: Session, plan: InstallPlan, extensions: Sequence[Extension]
    ) -> None:
        super().__init__(session)
        self._plan = plan
        self._extensions = extensions
        self._done: set[str] = set()
        self._current: str | None = None
        self._is_installed = False
        self._operation: int | None = None

    def compose(self) -> ComposeResult:
        """What is missing, the plan, what else the server offers."""
        yield Header()
        yield Static(self._introduction(), id="introduction")
        with Vertical(id="plan", classes="pane") as frame:
            frame.border_title = "The plan"
            yield LiveTable(id="files")
        with Vertical(id="found", classes="pane") as frame:
            frame.border_title = "Extensions: used when there, never needed"
            yield Static(self._found())
        yield Line(id="outcome", classes="wrapped")
        yield KeyBar("install")

    def on_mount(self) -> None:
        """Show the plan."""
        self.query_one(Header).change(
            server=self.session.server,
            profile=self.session.profile,
            read_only=self.session.read_only,
        )
        self.draw_soon(self.draw)

    def on_resize(self) -> None:
        """Fit into the new width."""
        self.draw_soon(self.draw)

    def why_not(self, action: Action) -> str | None:
        """Install once; go on when there is something to look at."""
        if action.name == "install":
            if self._is_installed:
                return "it is installed already"
            if self.session.running:
                return "it is being installed"
        if action.name == "go_on" and not (
            self._is_installed or self._plan.state is SchemaState.OLDER
        ):
            return "there is nothing to watch before the core is installed"
        return super().why_not(action)

    def action_install(self) -> None:
        """Install everything, in the background."""
        self._done.clear()

        async def work(connection: Connection, report: Report) -> Result:
            def on_step(step: InstallStep, position: int, count: int) -> None:
                report(f"{position} of {count}: {step.file_name}")
                self.post_message(Began(step, position, count))

            try:
                done = await installer.install(connection, on_step)
            except TsconsoleError as error:
                self.post_message(Ended(error.message, error))
                raise
            count = len(done.pending)
            files = "1 file" if count == 1 else f"{count} files"
            words = f"installed: {files}" if count else "somebody else did it already"
            self.post_message(Ended(words))
            return Result(words)

        self.start("install the core", None, work)

    def action_go_on(self) -> None:
        """Watch the database."""
        from tsconsole.screens.monitor import MonitorScreen

        self.app.switch_screen(MonitorScreen(self.session))

    @on(DataTable.RowSelected)
    def enter(self) -> None:
        """Enter goes on, once there is something to go on to."""
        self.call_later(self.run_action, "go_on")

    @on(Began)
    def follow(self, event: Began) -> None:
        """Mark how far it has come."""
        if self._current is not None:
            self._done.add(self._current)
        self._current = event.step.file_name
        line = f"▶ {event.position} of {event.count}: {event.step.file_name}"
        self._say(line, palette(self.app).accent)
        self.draw()
        self.query_one(LiveTable).select(event.step.file_name)

    def shows_result(self, operation: Operation) -> bool:
        """The last line says it."""
        return True

    @on(Ended)
    def end(self, event: Ended) -> None:
        """Say how it ended; nothing of a failed installation stays."""
        colours = palette(self.app)
        self._current = None
        if event.error is None:
            self._is_installed = True
            self._done = {step.file_name for step in self._plan.steps}
            self.query_one("#introduction", Static).update(self._introduction())
            self._say(
                f"✓ {event.words}. {spoken('Press {go_on} to go on.')}", f"bold {colours.success}"
            )
        else:
            self._done.clear()
            words = " ".join(part for part in (event.words, event.error.hint) if part)
            self._say(f"✗ Nothing was changed. {one_line(words)}", f"bold {colours.error}")
        self.draw()
        self.refresh_bindings()

    def draw(self) -> None:
        """Write the table."""
        table = self.query_one(LiveTable)
        room = table.size.width - table.scrollbar_size_vertical
        if room <= 0:
            return
        names = max(len(step.file_name) for step in self._plan.steps)
        columns = [
            Column("state", "", 12), Column("file", "FILE", names),
            Column("what", "WHAT IT DOES", max(room - names - 12 - 6, 10)),
        ]  # fmt: skip
        table.lay_out(columns)
        # What is not touched stands at the end.
        steps = sorted(self._plan.steps, key=lambda step: step.action == "keep")
        table.show({step.file_name: self._cells(step) for step in steps})

    def _cells(self, step: InstallStep) -> list[Text]:
        colours = palette(self.app)
        state = Text(f"  {_VERBS[step.action]}", style=colours.muted)
        if step.file_name == self._current:
            state = Text("▶ running", style=colours.accent)
        elif step.file_name in self._done:
            state = Text("✓ done")
        title = one_line(step.title)
        return [state, Text(step.file_name), Text(title, style=colours.muted, no_wrap=True)]

    def _introduction(self) -> Text:
        count = len(self._plan.pending)
        if self._is_installed:
            return Text.assemble(
                ("The core is in this database. ", "bold"), "Every file is applied."
            )
        if self._plan.state is SchemaState.ABSENT:
            text = Text.assemble(("The core is not installed in this database. ", "bold"))
            text.append(
                f"It is {count} files of SQL: two schemas, silver and tsconsole, with tables, "
                "functions and views. They are applied in one transaction: all, or nothing."
            )
        else:
            text = Text.assemble(("The core in this database is older than this program. ", "bold"))
            text.append(
                f"{count} {'file is' if count == 1 else 'files are'} new or changed; rollups and "
                "their data stay as they are. All is applied in one transaction, or nothing."
            )
        return text

    def _found(self) -> Text:
        colours = palette(self.app)
        lines = Text()
        for extension in self._extensions:
            version = extension.installed_version or extension.available_version or ""
            glyph = {"installed": "✓", "available": "○", "absent": "·"}[extension.state]
            style = colours.muted if extension.state == "absent" else ""
            lines.append(f"{glyph} {extension.name:14}", style=style)
            lines.append(f"{extension.state:10}{version:9}", style=style)
            lines.append(f"{extension.purpose}\n", style=colours.muted)
        lines.rstrip()
        return lines

    def _say(self, words: str, style: str) -> None:
        self.query_one("#outcome", Line).update(Text(words, style=style))
