"""The console as a whole: which screens, which theme, and what happens when something ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any, ClassVar

from textual import on
from textual.message import Message
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from tsconsole.actions.action import write_keys_plainly
from tsconsole.background.operation import Background, Operation
from tsconsole.config import ConsoleConfig
from tsconsole.database import Settings, connected
from tsconsole.faults import confess
from tsconsole.health import plain_glyphs
from tsconsole.memory import Memory
from tsconsole.recording.recorder import Recorder
from tsconsole.screens.base import ConsoleScreen, Switch, still_running
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.connect import ConnectScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.session import Session, waking_clock
from tsconsole.start import POLL_TIMEOUT, Start
from tsconsole.terminal.early_keys import EarlyKeys
from tsconsole.terminal.leaving import leave_with_the_terminal
from tsconsole.terminal.plain import PlainText
from tsconsole.terminal.sparing import SparingApp
from tsconsole.themes import DARK, LIGHT, for_terminal

SETTLED = 2.0
"""What is there after so many seconds stays: to search it for garbage would hold up keys."""
STYLES = sorted((Path(__file__).parent / "widgets").glob("*.tcss"))


class OperationChanged(Message):
    """Something in the background began, went on or ended."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation


class TsConsole(EarlyKeys, SparingApp):
    """Watches and operates the rollups of one database."""

    TITLE = "tsconsole"
    CSS_PATH: ClassVar[list[str | PurePath]] = [*STYLES]
    ENABLE_COMMAND_PALETTE = False
    NOTIFICATION_TIMEOUT = 6

    def __init__(
        self,
        settings: Settings,
        config: ConsoleConfig | None = None,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = waking_clock,
        ticks: bool = True,
        choices: Sequence[Settings] = (),
        memory: Path | None = None,
        recorder: Recorder | None = None,
        start: Start | None = None,
    ) -> None:
        super().__init__()
        self._recorder, self._start = recorder, start
        self.config = config or ConsoleConfig()
        self._read_only = read_only or self.config.read_only
        self._clock, self._ticks, self._memory = clock, ticks, memory
        is_known = any(choice.profile == settings.profile for choice in choices)
        self._choices = tuple(choices) if is_known else (settings, *choices)
        self._prepare(settings)
        self.fault: BaseException | None = None
        is_plain = plain_glyphs(self.config.glyphs)
        write_keys_plainly(is_plain)
        if is_plain:
            self._filters.append(PlainText())

    def on_load(self) -> None:
        """Choose the theme before anything is drawn."""
        for theme in (DARK, LIGHT):
            colours = self.console.color_system
            self.register_theme(for_terminal(theme, colours, is_grey=self.no_color))
        wanted = {"dark": DARK.name, "light": LIGHT.name, None: DARK.name}
        name = wanted.get(self.config.theme, self.config.theme)
        self.theme = name if name in self.available_themes else DARK.name

    async def on_mount(self) -> None:
        """Connect, and leave cleanly when the terminal goes away."""
        if not self.is_headless:
            leave_with_the_terminal(self.exit)
            self.set_timer(SETTLED, gc.freeze)
        await self.database.open()
        seen = await self._start.seen() if self._start else None
        self._start = None
        if seen is None:
            self.push_screen(self.first_screen())
        else:
            self.session.server, snapshot = seen
            self.push_screen(MonitorScreen(self.session, snapshot))
        if self.config.theme not in {None, "dark", "light", *self.available_themes}:
            known = ", ".join(sorted(self.available_themes))
            message = f"There is no theme {self.config.theme}. Those there are: {known}."
            self.notify(message, severity="warning", timeout=15, markup=False)
        if self._recorder is not None:
            self.set_interval(5.0, self._tell_of_the_recording)

    def _tell_of_the_recording(self) -> None:
        fault = self._recorder.fault if self._recorder is not None else None
        if fault is not None:
            self._recorder = None
            self.notify(fault, severity="error", timeout=30, markup=False)

    def first_screen(self) -> Screen[None]:
        """Where the console begins."""
        return ConnectScreen(self.session, self.settings)

    async def on_unmount(self) -> None:
        """Remember what was shown, and let no connection stay behind."""
        self.session.memory.save()
        self.workers.cancel_all()
        await self.database.close()

    def exit(self, *args: Any, **kwargs: Any) -> None:
        """Note where the operator was: the screens are gone before anything else is told."""
        self._note_place()
        super().exit(*args, **kwargs)

    @on(Switch)
    def switch(self, event: Switch) -> None:
        """Watch another server; what runs on this one is asked about."""
        running = self.session.running
        if not running:
            self.run_worker(self._switch(event.settings), exit_on_error=False)
            return
        question = still_running(running, "Watching another server cancels")

        def go(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._switch(event.settings), exit_on_error=False)

        self.push_screen(ConfirmScreen("Profiles", question, "Cancel it"), go)

    async def _switch(self, settings: Settings) -> None:
        self._note_place()
        self.session.memory.save()
        left = self.database
        self.workers.cancel_group(self, "operations")
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self._prepare(settings)
        await self.database.open()
        self.push_screen(self.first_screen())
        await left.close()

    def _prepare(self, settings: Settings) -> None:
        """Make what belongs to one server; nothing is connected yet."""
        settings = replace(settings, read_only=settings.read_only or self._read_only)
        start = self._start or Start(settings, self._recorder)
        self.settings, self.database, statements = settings, start.database, start.statements
        self.session = Session(
            partial(self.database.connection, POLL_TIMEOUT),
            Background(
                lambda: connected(settings, statements), self._operation_changed, self._clock
            ),
            settings=settings,
            read_only=settings.read_only,
            profile=settings.profile,
            interval=self.config.refresh_interval,
            error_limit=self.config.error_limit,
            clock=self._clock,
            ticks=self._ticks,
            memory=Memory(self._memory, settings.profile or settings.target),
            choices=self._choices,
            statements=statements,
        )

    def _note_place(self) -> None:
        addresses = [s.address for s in self.screen_stack if isinstance(s, ConsoleScreen)]
        if addresses:
            self.session.memory.put("screen", next(filter(None, reversed(addresses)), {}))

    def action_theme(self) -> None:
        """Change between dark and light."""
        self.theme = DARK.name if not self.current_theme.dark else LIGHT.name

    @on(OperationChanged)
    def operation_changed(self, event: OperationChanged) -> None:
        """Tell the screens; say how it went when it has ended."""
        operation = event.operation
        for screen in self.screen_stack:
            if isinstance(screen, ConsoleScreen):
                screen.operation_changed(operation)
        if operation.result is not None and not self._is_shown(operation):
            self.notify(
                operation.result.message,
                title=operation.title,
                severity=operation.result.severity,
                timeout=15 if operation.result.severity == "error" else 6,
                markup=False,
            )

    @on(Worker.StateChanged)
    def worker_failed(self, event: Worker.StateChanged) -> None:
        """An unforeseen fault of a worker is said, not thrown."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            error = event.worker.error
            self.notify(f"{type(error).__name__}: {error}", severity="error", markup=False)

    def _is_shown(self, operation: Operation) -> bool:
        match self.screen_stack:
            case [*_, ConsoleScreen() as screen]:
                return screen.shows_result(operation)
        return False

    def _operation_changed(self, operation: Operation) -> None:
        if self.is_running:
            self.post_message(OperationChanged(operation))

    def _handle_exception(self, error: Exception) -> None:
        """A fault of the console itself: a tidy exit instead of a page of traceback."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        self.fault = self.fault or error
        self.exit(1)


async def run_console_async(
    settings: Settings, config: ConsoleConfig | None = None, **options: Any
) -> int:
    """Run the console inside an event loop that does other things too."""
    recorder = options.get("recorder")
    try:
        return await run_app(TsConsole(settings, config, **options))
    finally:
        if recorder is not None:
            recorder.close()


async def run_app(app: TsConsole) -> int:
    """Run this console, and say what went wrong with it if anything did."""
    code = await app.run_async(mouse=app.config.mouse)
    if app.fault is not None:
        sys.stderr.write(confess(app.fault))
        return 1
    return code or app.return_code or 0
