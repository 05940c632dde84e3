"""What lies over a screen until it is answered, and says there that the server is gone."""

from __future__ import annotations

from typing import TypeVar

from textual.content import Content
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A box with a title; the screen below looks after the server meanwhile."""

    _own_title: str | Content | None = None
    _failure: str | None = None

    def show_failure(self, words: str | None) -> None:
        """Say beside the title that the server is gone, and why; None: it is back."""
        boxes = self.query("#box")
        if words == self._failure or not boxes:
            return
        self._failure, box = words, boxes.first()
        if words is None:
            box.border_title = self._own_title
            return
        if self._own_title is None:
            self._own_title = box.border_title
        lost = (f" ✗ {words} ", "bold $background on $error")
        box.border_title = Content.assemble(self._own_title or "", "  ", lost)
