"""A bordered part of the monitor: a number to jump to, a title, a table or a word about it."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tsconsole.actions.spoken_keys import jump_key, spoken
from tsconsole.presentation.filtering import hidden_words
from tsconsole.widgets.live_table import LiveTable


class Pane(Vertical):
    """A table in a frame."""

    number = 0
    title = ""
    empty_words = "nothing here"
    show_header = True

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._titles: tuple[str, str] = ("", "")
        self._words: str | None = None
        self._given: tuple[object, ...] = ()
        self.filter = ""
        """Only rows that pass are shown; see `passes`."""

    def compose(self) -> ComposeResult:
        """The table, and what is said when it is empty."""
        yield LiveTable(id=f"{self.id}-table", show_header=self.show_header)
        yield Static("", classes="empty")

    def on_mount(self) -> None:
        """Show the title before there is any data."""
        self.set_titles("reading …")
        self.say("")

    def on_resize(self) -> None:
        """Fit into the new width, once the table has its own."""
        self.call_after_refresh(self._draw_if_open)

    def draw(self) -> None:
        """Write the rows; each pane knows how."""

    def is_given(self, *given: object) -> bool:
        """Note what is shown from now on, and say whether it is what was shown before: then nothing
        need be drawn. Most polls bring nothing new, and to draw would be half of what they cost.
        """
        room = self.size.width - self.table.scrollbar_size_vertical
        before, self._given = self._given, (*given, room, self.app.theme)
        return self._given == before

    def _draw_if_open(self) -> None:
        # Of a screen that was left meanwhile, the table may be gone before the pane is.
        if self.is_attached and self.screen in self.app.screen_stack:
            self.draw()

    @property
    def table(self) -> LiveTable:
        """The table of this pane."""
        return self.query_one(LiveTable)

    @property
    def is_empty(self) -> bool:
        """Whether there is no row."""
        return not self.table.row_count

    def hidden_words(self, hidden: int) -> str:
        """How many rows the filter hides, as part of the title."""
        return hidden_words(hidden, [f"filter “{self.filter}”"] if self.filter else [])

    def empty_or(self, words: str, total: int) -> str:
        """What to say when no row is shown: that the filter hides them, or the given words."""
        if self.filter and total:
            clears = spoken("Press {clear} to clear it.")
            return f"All {total} are hidden by the filter “{self.filter}”. {clears}"
        return words

    def set_titles(self, words: str, below: str = "") -> None:
        """Put words beside the title, and into the lower edge."""
        if (words, below) == self._titles and self.border_title:
            return
        if self._titles[0] != words or not self.border_title:
            number = f"{jump_key(self.number)} " if self.number else ""
            parts = [(number, "$accent bold"), (self.title, "bold")]
            if words:
                parts.append((f" · {words}", "$muted"))
            self.border_title = Content.assemble(*parts)
        if self._titles[1] != below:
            self.border_subtitle = Content(below) if below else None
        self._titles = (words, below)

    def say(self, words: str) -> None:
        """Show the table, or words in its place when it is empty."""
        if not self.query(".empty"):
            return  # It is being left before it was made.
        empty = self.query_one(".empty", Static)
        self.table.display = not words
        empty.display = bool(words)
        if words and words != self._words:
            empty.update(Text(words))
        self._words = words
