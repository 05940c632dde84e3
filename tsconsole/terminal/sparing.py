"""Sends to the terminal only what is not on it yet, and no picture that is gone in a moment.

Textual draws whole screens again: two to four times when one is opened, 13 KB each time, and that
is 14 seconds on a line of 9,600 baud. Here a screen is sent once, when it stands still.
"""

from __future__ import annotations

import asyncio
import curses
import os
from typing import Any
from weakref import WeakSet

from rich.color import ColorSystem
from rich.console import Console
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.screen import Screen

from tsconsole.terminal.cells import Terminal

CALM = 0.03
"""Seconds in which a new screen is drawn once its data is there, and between two sendings."""
LONGEST_WAIT = 0.4
"""Seconds after which a new screen is sent as it is, with whatever it waits for."""


class SparingApp(App[int]):
    """An App that remembers what the terminal shows."""

    def __init__(self) -> None:
        super().__init__()
        system = self.console._color_system or ColorSystem.TRUECOLOR
        self._terminal = Terminal(system, terminal_erases())
        self._seen: WeakSet[Screen[Any]] = WeakSet()
        """The screens that have been sent once."""
        self._in_front: Screen[Any] | None = None
        self._wait_until = 0.0
        """When the screen in front is sent, whether it is complete or not."""
        self._sent_at = 0.0
        self._sending: asyncio.TimerHandle | None = None

    def on_load(self) -> None:
        """After another program had the terminal, nothing is known of it."""
        self.app_resume_signal.subscribe(self, lambda _: self._terminal.forget())

    def on_resize(self, _: events.Resize) -> None:
        """A terminal of another size may have moved its lines."""
        self._terminal.forget()

    def action_redraw(self) -> None:
        """Send the whole screen again, in case something else wrote on it."""
        self._terminal.forget()
        self._send()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if self.is_headless or not isinstance(renderable, (LayoutUpdate, ChopsUpdate)):
            super()._display(screen, renderable)
        elif not self._batch_count and type(screen) is not Screen:  # Textual's own is empty.
            self._terminal.draw(renderable)
            self._send_soon(screen)
            self.post_display_hook()

    def _send_soon(self, screen: Screen[Any]) -> None:
        """Send at once, unless something was sent just now or a new screen is not complete."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if screen is not self._in_front:
            self._in_front, self._wait_until = screen, now + LONGEST_WAIT
        if screen in self._seen:
            self._send_at(max(now, self._sent_at + CALM))
        elif getattr(screen, "is_complete", True):
            # The very first is waited for most.
            self._send_at(min(now + CALM, self._wait_until) if self._seen else now)
        else:
            self._send_at(self._wait_until)

    def _send_at(self, when: float) -> None:
        loop = asyncio.get_running_loop()
        if self._sending is not None:
            if self._sending.when() <= when:
                return
            self._sending.cancel()
            self._sending = None
        if when <= loop.time():
            self._send()
        else:
            self._sending = loop.call_at(when, self._send)

    def _send(self) -> None:
        self._sending = None
        if self._in_front is None:
            return
        self._seen.add(self._in_front)
        self._sent_at = asyncio.get_running_loop().time()
        text = self._terminal.sequence(*self.size)
        if text:
            written: Any = Written(text)
            super()._display(self._in_front, written)


class Written(CompositorUpdate):
    """An update that is made already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:
        """The characters and sequences that are sent."""
        return self._text


def terminal_erases() -> bool:
    """Whether what this terminal erases gets the colour that is set; tmux and GNU screen say no."""
    try:
        curses.setupterm(os.environ.get("TERM", "dumb"), 1)
        return curses.tigetflag("bce") > 0
    except curses.error:
        return False
