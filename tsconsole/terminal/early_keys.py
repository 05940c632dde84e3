"""Keys that are pressed before the console is ready for them: none is lost, none crashes it, and
each finds what the one before has done.

Textual hands every key to the widget in focus as soon as it comes. What a key is bound to is found
later, when nobody on the way up to the App wants it: of `tab` and a text that come at once, as a
slow line or a paste delivers them, the text was in the field before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from textual import events
from textual.app import App, ScreenStackError
from textual.dom import DOMNode
from textual.widgets import OptionList

Typed = events.Key | events.Paste
_PAGES = ("page_up", "page_down")
LONGEST = 2.0
"""Seconds that a key or an action waits at most for what comes before it; those behind it do not
wait for the same again."""
PAUSE = 0.005
"""Seconds between two looks whether it has come."""


class EarlyKeys(App[int]):
    """An App whose keys and actions wait for the screen that they are for."""

    def __init__(self) -> None:
        super().__init__()
        self._early: deque[Typed] = deque()
        """The keys and pastes that wait, in their order."""
        self._giving: asyncio.Task[None] | None = None
        self._acting = 0
        """How many actions are being done."""

    async def on_event(self, event: events.Event) -> None:
        """Keep a key back until the one before it is done with."""
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
        elif self._early or not self._is_ready(event):
            self._early.append(event)
            if self._giving is None or self._giving.done():
                self._giving = asyncio.create_task(self._give())
        else:
            await super().on_event(event)

    async def _give(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        try:
            while self._early and self.is_running:
                key = self._early[0]
                if self._is_ready(key):
                    end = loop.time() + LONGEST
                elif loop.time() < end:
                    await asyncio.sleep(PAUSE)
                    continue
                await super().on_event(key)
                self._early.popleft()
        except Exception as error:
            # A task of its own: Textual would not hear of it, and the console would go on deaf.
            self._early.clear()
            self._handle_exception(error)

    def _is_ready(self, typed: Typed) -> bool:
        """Whether the screen in front is made, reads nothing that the key may be meant for, and no
        message is on its way that an earlier key may have caused."""
        try:
            screen = self.screen
        except ScreenStackError:
            return True
        if self._acting or not (screen.is_mounted and screen.stack_updates):
            return False
        goes_back = isinstance(typed, events.Key) and typed.key == "escape"
        if getattr(screen, "keeps_keys", False) and not goes_back:
            return False  # To go back waits for no server.
        pumps = (self, screen, *screen.walk_children())
        return all(pump._message_queue.empty() for pump in pumps)

    async def run_action(
        self,
        action: Any,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Wait until the screen in front is made: a key may have bubbled up from the one below.

        Turn no page of a list that has no room yet, or none at all: Textual fails on it.
        """
        self._acting += 1
        try:
            await self._screen_is_made()
            widget = default_namespace
            if isinstance(widget, OptionList) and action in _PAGES and not _has_room(widget):
                return True
            return await super().run_action(action, default_namespace, namespaces)
        finally:
            self._acting -= 1

    async def _screen_is_made(self) -> None:
        end = asyncio.get_running_loop().time() + LONGEST
        while self.is_running and asyncio.get_running_loop().time() < end:
            try:
                if self.screen.is_mounted:
                    return
            except ScreenStackError:
                return
            await asyncio.sleep(PAUSE)


def _has_room(widget: OptionList) -> bool:
    return bool(widget.scrollable_content_region)
