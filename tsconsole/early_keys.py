"""Keys that are pressed before the console is ready for them: none is lost, none crashes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from textual.app import App, ScreenStackError
from textual.dom import DOMNode
from textual.widgets import OptionList

_PAGES = ("page_up", "page_down")
LONGEST = 2.0
"""Seconds that an action waits at most for its screen."""


class EarlyKeys(App[int]):
    """An App whose actions wait for the screen that they are for."""

    async def run_action(
        self,
        action: Any,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Wait until the screen in front is made: a key may have bubbled up from the one below.

        Turn no page of a list that has no room yet, or none at all: Textual fails on it.
        """
        await self._screen_is_made()
        widget = default_namespace
        if isinstance(widget, OptionList) and action in _PAGES and not _has_room(widget):
            return True
        return await super().run_action(action, default_namespace, namespaces)

    async def _screen_is_made(self) -> None:
        end = asyncio.get_running_loop().time() + LONGEST
        while self.is_running and asyncio.get_running_loop().time() < end:
            try:
                if self.screen.is_mounted:
                    return
            except ScreenStackError:
                return
            await asyncio.sleep(0.005)


def _has_room(widget: OptionList) -> bool:
    return bool(widget.scrollable_content_region)
