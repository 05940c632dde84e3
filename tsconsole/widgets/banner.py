"""The server is gone, or does not answer as it should: why, and when the next try is."""

from __future__ import annotations

import re
from datetime import timedelta

from rich.text import Text
from textual import events

from tsconsole.actions.spoken_keys import key_of
from tsconsole.formatting import countdown
from tsconsole.polling import PollFailure
from tsconsole.widgets.line import Line, justified

_WHERE = re.compile(
    r"^Cannot connect to .+?: |(connection is bad|connection failed): "
    r"|(connection to )?server (at|on socket) \"[^\"]*\"( \([^)]*\))?(, port \d+)? failed: "
)


class Banner(Line):
    """One line in the colour of an error; not there when all is well."""

    def __init__(self) -> None:
        super().__init__(classes="banner")
        self.display = False
        self._ends: tuple[Text, Text] | None = None
        """What stands at the two ends of the line."""

    def display_failure(
        self, failure: PollFailure | None, now: float, is_live: bool = True
    ) -> None:
        """Show why, and the seconds that are left; in a recording nothing is tried again."""
        if failure is None:
            if self.display:
                self.display = False
            return
        self.display = True
        left = countdown(timedelta(seconds=max(failure.next_try - now, 0) + 0.999))
        right = Text(
            "connecting …" if left == "now" else f"next try in {left}   {key_of('refresh')} now"
        )
        words = f"✗ {in_a_line(failure)}"
        if not is_live:
            words, right = words if failure.is_lost else cause(failure.message), Text()
        self._ends = Text(words), right
        self._draw()

    def on_resize(self, _: events.Resize) -> None:
        """Fit into the new width."""
        self._draw()

    def _draw(self) -> None:
        if self._ends is not None:
            width = self.size.width or self.app.size.width - 2
            self.show(justified(*self._ends, width))


def in_a_line(failure: PollFailure) -> str:
    """What happened, and why."""
    what = "SERVER LOST" if failure.is_lost else "POLL FAILED"
    return f"{what}  {cause(failure.message)}"


def cause(message: str) -> str:
    """What went wrong, without where: the header says that.

    >>> cause('Cannot connect to iot at db as me: connection is bad: connection to server at '
    ...       '"db", port 5432 failed: Connection refused')
    'Connection refused'
    """
    return _WHERE.sub("", message) or message
