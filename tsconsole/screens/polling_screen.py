"""A screen that is kept fresh: header, banner, refresh interval, hold, and a lost server."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from textual import on
from textual.message import Message

from tsconsole import operations
from tsconsole.background.operation import Connection
from tsconsole.polling import Poller, PollFailure
from tsconsole.presentation.activity import Activity
from tsconsole.screens.base import ConsoleScreen
from tsconsole.screens.dialog import Dialog
from tsconsole.session import Session
from tsconsole.terminal.lines_only import LinesOnly
from tsconsole.widgets.banner import Banner, in_a_line
from tsconsole.widgets.header import Header

Data = TypeVar("Data")


class Polled(Message):
    """A poll has brought data."""

    def __init__(self, data: object) -> None:
        super().__init__()
        self.data = data


class PollFailed(Message):
    """A poll has failed."""

    def __init__(self, failure: PollFailure) -> None:
        super().__init__()
        self.failure = failure


class PollingScreen(ConsoleScreen[None], Generic[Data]):
    """Fetches while it is seen, and shows what came or why nothing came."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._compositor = LinesOnly()
        self.is_complete = False
        """Whether anything, or why nothing, has come: before that, little is to be seen."""
        self.failure: PollFailure | None = None
        self.poller: Poller[Data | None] = Poller(
            self._fetch_connected,
            lambda data: self._post(Polled(data)),
            lambda failure: self._post(PollFailed(failure)),
            interval=session.interval,
            clock=session.clock,
            wanted=lambda: self.is_in_front or self._dialog is not None,
        )

    @abstractmethod
    async def fetch(self, connection: Connection) -> Data:
        """Read from the database everything that is on this screen."""

    @abstractmethod
    def show_data(self, data: Data) -> None:
        """Show what was read."""

    def on_mount(self) -> None:
        """Begin to poll."""
        self.query_one(Header).change(
            server=self.session.server,
            profile=self.session.profile,
            read_only=self.session.read_only,
            interval=self.poller.interval,
        )
        self.spawn(self.poller.run, "poll")

    def on_screen_resume(self) -> None:
        """Refresh at once what may be old by now; behind another screen nothing is polled."""
        self.poller.interval = self.pace
        self.poller.poke()
        self.set_class(self.failure is not None, "-stale")
        self.draw_header()

    @on(Polled)
    def take(self, event: Polled) -> None:
        """Show the data."""
        event.stop()
        if self._is_being_left:
            return
        self.is_complete = True
        if self.failure is not None:
            self.say("connected again")
        self._set_failure(None)
        if event.data is None:
            return  # Only the connection was looked at.
        self.show_data(event.data)  # type: ignore[arg-type]
        self.draw_header()
        self.refresh_bindings()

    @on(PollFailed)
    def lose(self, event: PollFailed) -> None:
        """Leave the last data where it is, dimmed, and say why it is old."""
        event.stop()
        if self._is_being_left:
            return
        self.is_complete = True
        self._set_failure(event.failure)
        if self.is_in_front:
            self.draw_header()
            self.refresh_bindings()

    def tick(self) -> None:
        """Carry on ages and countdowns."""
        super().tick()
        if self.session.has_slept():
            self.poller.poke()
        self.draw_header()

    def draw_header(self) -> None:
        """Show the age of the data, and the next try when the server is lost."""
        self.query_one(Header).change(
            server=self.session.server,
            interval=self.poller.interval,
            is_held=self.poller.held,
            seconds_old=self.seconds_old,
            is_lost=self.failure is not None,
            replay=self.session.replay.words if self.session.replay else None,
        )
        self.query_one(Banner).display_failure(
            self.failure, self.session.clock(), self.session.replay is None
        )

    @property
    def pace(self) -> float:
        """Seconds from one poll to the next."""
        return self.session.interval

    @property
    def seconds_old(self) -> float | None:
        """The age of what is shown."""
        return self.session.seconds_old

    def action_slower(self) -> None:
        """Refresh less often."""
        self.session.interval = self.poller.slower()
        self.draw_header()

    def action_faster(self) -> None:
        """Refresh more often."""
        self.session.interval = self.poller.faster()
        self.draw_header()

    def action_hold(self) -> None:
        """Stop refreshing, or go on."""
        self.poller.hold()
        self.draw_header()

    def action_replay_step(self, by: int) -> None:
        """Go to the next moment of a recording, or to the one before."""
        replay = self.session.replay
        if replay is not None:
            self._replayed(replay.step(by))

    def action_replay_seek(self, seconds: int) -> None:
        """Go so many seconds on in a recording, or back."""
        replay = self.session.replay
        if replay is not None:
            self._replayed(replay.seek(seconds))

    def _replayed(self, has_moved: bool) -> None:
        if not has_moved:
            self.say("the recording has nothing beyond this", "warning")
            return
        self.session.activity = Activity()
        self.poller.poke()

    def action_refresh(self) -> None:
        """Refresh at once."""
        self.poller.poke()

    def _set_failure(self, failure: PollFailure | None) -> None:
        self.failure = failure
        self.session.is_lost = failure is not None and failure.is_lost
        if self.is_in_front:
            self.set_class(failure is not None, "-stale")
        elif (dialog := self._dialog) is not None:
            dialog.show_failure(in_a_line(failure) if failure else None)

    @property
    def _is_being_left(self) -> bool:
        return not any(isinstance(child, Header) for child in self.children)

    @property
    def _dialog(self) -> Dialog[Any] | None:
        """The dialog of this screen that is open: then only the connection is looked at."""
        match self.app.screen_stack:
            case [*_, below, Dialog() as dialog] if below is self and not self.session.replay:
                return dialog
        return None

    async def _fetch_connected(self) -> Data | None:
        async with self.session.connect() as connection:
            if self.session.is_lost or not self.is_in_front:
                # It may be another server now, or the same one after an upgrade.
                self.session.server = await operations.server_info(connection)
            return await self.fetch(connection) if self.is_in_front else None

    def _post(self, message: Message) -> None:
        if self.is_attached:
            self.post_message(message)
