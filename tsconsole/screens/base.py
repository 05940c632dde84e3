"""What every screen of the console has: its keys, from the registry, and a reason for each that
does not work now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingsMap, BindingType
from textual.message import Message

from tsconsole.actions.action import PLACE_NAMES, shown_key
from tsconsole.actions.registry import Action, Place, actions_at, all_actions, find_action
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Operation
from tsconsole.database import Settings, conninfo_of
from tsconsole.errors import TsconsoleError
from tsconsole.formatting import shorten
from tsconsole.screens.operating import OperatingScreen, ScreenResult
from tsconsole.session import Session
from tsconsole.terminal.leaving import can_be_continued
from tsconsole.terminal.psql import find_psql, run_psql
from tsconsole.widgets.tray import Tray

if TYPE_CHECKING:
    from tsconsole.screens.palette import Entry

BREAKPOINTS = [(0, "-narrow"), (100, "-middle"), (140, "-wide")]


def bindings(place: Place) -> list[BindingType]:
    """The bindings of a screen, from the registry."""
    return [
        Binding(
            action.keys,
            action.name,
            action.label,
            id=f"{place}.{action.name}",
            tooltip=action.meaning,
            priority=action.priority,
            show=bool(action.weight),
        )
        for action in actions_at(place)
        if action.keys
    ]


class Switch(Message):
    """The operator wants to watch another server."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings


class ConsoleScreen(OperatingScreen[ScreenResult]):
    """A screen with actions of the registry."""

    place: ClassVar[Place]
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    AUTO_FOCUS: ClassVar[str | None] = "LiveTable"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._has_tray = False
        self._take_own_keys()

    @property
    def address(self) -> dict[str, str]:
        """How to find this screen again at the next start; empty where that makes no sense."""
        return {}

    def on_mount(self) -> None:
        """Let ages and countdowns move."""
        if self.session.ticks:
            self.set_interval(1.0, self._tick_when_seen)

    def follow_theme(self, redraw: Callable[[], object]) -> None:
        """Draw anew when the theme changes. A watcher of the App would keep this screen, and all
        that it has read, for as long as the console runs."""
        self.app.theme_changed_signal.subscribe(self, lambda _: redraw())

    def on_unmount(self) -> None:
        """Let the App forget this screen."""
        self.app.theme_changed_signal.unsubscribe(self)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim an action that cannot be done now."""
        known = find_action(action, self.place, parameters)
        if known is None or self.why_not(known) is None:
            return True
        return None

    def why_not(self, action: Action) -> str | None:
        """Why an action cannot be done now; None when it can."""
        if action.method.startswith("replay_") and self.session.replay is None:
            return "this is no recording"
        leaves = action.method in ("psql", "profiles")
        if (action.changes or leaves) and self.session.replay is not None:
            return "this is a recording"
        if action.changes and self.session.read_only:
            return "this console was started read-only"
        if action.changes and self.session.is_lost:
            return "the server is gone"
        server = self.session.server
        if action.changes and server is not None and server.is_standby:
            return "this server is a standby, which takes no changes"
        if action.needs == "operation" and not self.session.running:
            return "nothing runs"
        return None

    def on_key(self, event: events.Key) -> None:
        """Say why, when the key of a dimmed action is pressed."""
        for action in actions_at(self.place):
            if not action.keys or event.key not in action.keys.split(","):
                continue
            reason = self.why_not(action)
            if reason is not None:
                event.stop()
                self.say(f"{action.label}: {reason}", "warning")
                return

    def operation_changed(self, operation: Operation) -> None:
        """Something in the background began, went on or ended."""
        self.draw_tray()
        self.refresh_bindings()

    def shows_result(self, operation: Operation) -> bool:
        """Whether this screen itself shows how an operation ended; else a notification does."""
        return False

    @property
    def is_in_front(self) -> bool:
        """Whether no screen and no dialog is before this one. What changes behind another screen
        makes Textual send all of that one again: 13 KB, 14 s at 9,600 baud."""
        # While the console ends there is no screen at all.
        return self.is_attached and self.app.screen_stack[-1:] == [self]

    def draw_soon(self, draw: Callable[[], None]) -> None:
        """Draw when all has its size, unless this screen was left meanwhile."""

        def draw_if_open() -> None:
            if self in self.app.screen_stack:
                draw()

        self.call_after_refresh(draw_if_open)

    def on_screen_resume(self) -> None:
        """Show what has happened behind another screen."""
        self.draw_tray()

    def draw_tray(self) -> None:
        """Show what runs in the background."""
        running = self.session.running
        if self.is_in_front and (running or self._has_tray):
            self._has_tray = bool(running)
            for tray in self.query(Tray):
                tray.display_operations(running, self.session.clock())

    def tick(self) -> None:
        """A second has passed."""
        self.draw_tray()

    def action_help(self) -> None:
        """Show every key of this screen; the chosen one is pressed."""
        from tsconsole.screens.help import HelpScreen

        def press(name: str | None) -> None:
            if name is not None:
                self.call_later(self.run_action, name)

        lines = [(action, self.why_not(action)) for action in actions_at(self.place) if action.keys]
        self.app.push_screen(HelpScreen(lines), press)

    def action_palette(self) -> None:
        """Find an action or a rollup by its name, and do it or go there."""
        from tsconsole.screens.palette import PaletteScreen

        def choose(entry: Entry | None) -> None:
            if entry is not None and entry.run is not None:
                self.call_later(self.run_action, entry.run)
            elif entry is not None and entry.target is not None:
                self.call_later(self.go_to_rollup, entry.target)

        self.app.push_screen(PaletteScreen(self._palette_entries()), choose)

    def go_to_rollup(self, target: str) -> None:
        """Show everything about a rollup."""
        from tsconsole.screens.details import DetailsScreen

        snapshot = self.session.snapshot
        for rollup in snapshot.operations if snapshot else ():
            if rollup.target_table == target:
                self.app.push_screen(DetailsScreen(self.session, rollup))

    @property
    def table_in_view(self) -> str | None:
        """The table that a screen about one table would be about, when it is opened from here."""
        return None

    def action_view(self, name: str) -> None:
        """Go to the screen of a topic."""
        from tsconsole.screens.views import open_view

        open_view(self, name)  # type: ignore[arg-type]

    def action_pane(self, number: int) -> None:
        """Go to a pane of the monitor."""
        from tsconsole.screens.views import go_to_pane

        go_to_pane(self, number)  # type: ignore[arg-type]

    @property
    def explained(self) -> str:
        """What F1 explains: a topic of `tsconsole.explanations`."""
        return self.place

    def action_explain(self) -> None:
        """Say in words what is seen here, and what to do about it."""
        from tsconsole.actions.explanations import explain
        from tsconsole.screens.reader import ReaderScreen, Section

        explanation = explain(self.explained)
        sections = [Section(heading, body) for heading, body in explanation.sections]
        self.app.push_screen(ReaderScreen(self.session, explanation.title, sections))

    def action_leave(self) -> None:
        """Quit; ask first while something runs."""
        from tsconsole.screens.confirm import ConfirmScreen

        running = self.session.running
        if not running:
            self.app.exit()
            return
        question = still_running(running, "Quitting cancels")
        self.app.push_screen(
            ConfirmScreen("Quit", question, "Quit"), lambda yes: self.app.exit() if yes else None
        )

    def action_suspend(self) -> None:
        """Go to the background of the shell; `fg` brings the console back."""
        if can_be_continued():
            self.app.action_suspend_process()
        else:
            self.say("there is no shell that could bring the console back", "warning")

    async def action_psql(self) -> None:
        """Leave the terminal to psql on the same connection, and come back."""
        program, settings = find_psql(), self.session.settings
        if program is None or settings is None:
            self.say("psql is not on the PATH of this machine", "warning")
            return
        try:
            conninfo = await conninfo_of(settings)
            with self.app.suspend():
                code = run_psql(program, conninfo, self.session.read_only)
        except TsconsoleError as error:
            self.say(error.message, "error")
        except SuspendNotSupported:
            self.say("this terminal cannot be left to another program", "warning")
        else:
            self.say("back from psql" if code == 0 else f"psql ended with {code}")

    def action_profiles(self) -> None:
        """Choose another server."""
        from tsconsole.screens.choose import ChooseScreen

        choices = self.session.choices
        if len(choices) < 2:
            self.say("config.toml has no other profile", "warning")
            return
        names = [f"{choice.profile or choice.origin}   {choice.target}" for choice in choices]
        here = next((i for i, c in enumerate(choices) if c.profile == self.session.profile), 0)

        def switch(choice: int | None) -> None:
            if choice is not None and choice != here:
                self.post_message(Switch(choices[choice]))

        question = Text("Watch another server. What it shows is remembered for each.")
        self.app.push_screen(ChooseScreen("Profiles", question, names, here), switch)

    def action_back(self) -> None:
        """Go back to the screen before."""
        self.dismiss(None)

    def action_statements(self) -> None:
        """Show what the console has sent to the server."""
        from tsconsole.screens.statements import StatementsScreen

        self.app.push_screen(StatementsScreen(self.session))

    def action_log(self) -> None:
        """Show what this session has done."""
        from tsconsole.screens.log import LogScreen

        self.app.push_screen(LogScreen(self.session))

    def _palette_entries(self) -> list[Entry]:
        from tsconsole.screens.palette import Entry

        entries = []
        for action in actions_at(self.place):
            if action.method != "palette":
                entries.append(Entry(
                    action.label, action.meaning, action.key if action.keys else "",
                    run=action.name, reason=self.why_not(action),
                ))  # fmt: skip
        known = {entry.run for entry in entries}
        snapshot = self.session.snapshot
        for rollup in snapshot.operations if snapshot else ():
            state = f"{rollup.health_status.lower()}, from {rollup.source_table}"
            key = shown_key("enter")
            entries.append(Entry(rollup.target_table, state, key, target=rollup.target_table))
        for action in all_actions():
            if action.name not in known and action.method != "palette":
                known.add(action.name)
                places = " and ".join(spoken(PLACE_NAMES[place]) for place in action.places)
                key = action.key if action.keys else ""
                entries.append(Entry(action.label, action.meaning, key, reason=f"on {places}"))
        return entries

    def _take_own_keys(self) -> None:
        """Bind the registry's keys as they are now: the class has the defaults."""
        bound = self._bindings.key_to_bindings
        own = [binding for binding in bindings(self.place) if isinstance(binding, Binding)]
        names = {binding.id for binding in own}
        for key, found in list(bound.items()):
            bound[key] = [binding for binding in found if binding.id not in names]
            if not bound[key]:
                del bound[key]
        for key, found in BindingsMap(own).key_to_bindings.items():
            bound.setdefault(key, []).extend(found)

    def _tick_when_seen(self) -> None:
        if self.is_in_front:
            self.tick()


def still_running(running: Sequence[Operation], what_cancels: str) -> Text:
    """A question before what would cancel operations."""
    it = "it" if len(running) == 1 else "them"
    names = "\n".join(f"▶ {shorten(operation.title, 60)}" for operation in running)
    return Text(f"Still running:\n{names}\n\n{what_cancels} {it}, on the server too.")
