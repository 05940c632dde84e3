"""The way in: connect, see what the database has, and go on to what fits."""

from __future__ import annotations

from datetime import timedelta

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Middle, Vertical
from textual.message import Message

from tsconsole import __version__
from tsconsole.actions.registry import Action
from tsconsole.database import Settings
from tsconsole.formatting import countdown
from tsconsole.models import SchemaState
from tsconsole.polling import Poller, PollFailure
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.session import Session
from tsconsole.start import Findings, look_around
from tsconsole.themes import palette
from tsconsole.widgets.banner import cause
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line


class Connected(Message):
    """There is a server at the other end."""

    def __init__(self, findings: Findings) -> None:
        super().__init__()
        self.findings = findings


class NotConnected(Message):
    """There is none, or none that will do."""

    def __init__(self, failure: PollFailure) -> None:
        super().__init__()
        self.failure = failure


class ConnectScreen(ConsoleScreen[None]):
    """Tries until it is connected."""

    place = "connect"
    CSS_PATH = "connect.tcss"
    BINDINGS = bindings("connect")
    AUTO_FOCUS = None

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__(session)
        self._settings = settings
        self._failure: PollFailure | None = None
        self._poller: Poller[Findings] = Poller(
            self._look,
            lambda findings: self._post(Connected(findings)),
            lambda failure: self._post(NotConnected(failure)),
            clock=session.clock,
            wanted=lambda: self.is_attached,
        )

    def compose(self) -> ComposeResult:
        """What this is, and how far the connection is."""
        with Middle(), Vertical(id="welcome"):
            yield Line(id="name")
            yield Line(id="where")
            yield Line(id="state", classes="wrapped")
            yield Line(id="hint", classes="wrapped")
            yield Line(id="next")
        yield KeyBar("connect")

    def on_mount(self) -> None:
        """Begin."""
        colours = palette(self.app)
        self.query_one("#name", Line).show(
            Text.assemble(
                ("tsconsole", f"bold {colours.accent}"), (f"  {__version__}", colours.muted)
            )
        )
        where = f"{self._settings.target}  ({self._settings.origin})"
        self.query_one("#where", Line).show(Text(where))
        self.query_one("#state", Line).show(Text("connecting …", style=colours.muted))
        self.spawn(self._poller.run, "poll")

    @on(Connected)
    def go_on(self, event: Connected) -> None:
        """Monitor, installation, or the news that this program is too old."""
        from tsconsole.screens.install import InstallScreen
        from tsconsole.screens.monitor import MonitorScreen

        findings = event.findings
        self.session.server = findings.server
        if findings.plan.state is SchemaState.CURRENT:
            self.app.switch_screen(MonitorScreen(self.session))
        elif findings.plan.state is SchemaState.NEWER:
            self._show_failure(
                "The core in this database is newer than this program.",
                f"It has {', '.join(findings.plan.unknown_files)}. Upgrade this program: "
                "pip install --upgrade tsconsole",
            )
        else:
            plan, extensions = findings.plan, findings.extensions
            self.app.switch_screen(InstallScreen(self.session, plan, extensions))

    @on(NotConnected)
    def explain(self, event: NotConnected) -> None:
        """Why not, and when it is tried again."""
        self._failure = event.failure
        self._show_failure(cause(event.failure.message), event.failure.hint)
        self.tick()

    def tick(self) -> None:
        """Carry on the countdown."""
        if self._failure is None:
            return
        left = timedelta(seconds=self._failure.next_try - self.session.clock() + 0.999)
        words = countdown(left)
        line = "trying again …" if words == "now" else f"next try in {words}"
        self.query_one("#next", Line).show(Text(line, style=palette(self.app).muted))

    def why_not(self, action: Action) -> str | None:
        """Everything on this screen can always be done."""
        return None

    def action_retry_connect(self) -> None:
        """Try now."""
        self._poller.poke()

    def _show_failure(self, message: str, hint: str | None) -> None:
        colours = palette(self.app)
        self.query_one("#state", Line).update(Text(f"✗ {message}", style=f"bold {colours.error}"))
        self.query_one("#hint", Line).update(Text(hint or ""))

    async def _look(self) -> Findings:
        async with self.session.connect() as connection:
            return await look_around(connection)

    def _post(self, message: Message) -> None:
        if self.is_attached:
            self.post_message(message)
