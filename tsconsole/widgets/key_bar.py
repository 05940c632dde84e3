"""The footer: the keys that matter on this screen, from the registry of actions."""

from __future__ import annotations

from rich.text import Text
from textual import events

from tsconsole.actions.registry import Action, Place, footer_at
from tsconsole.themes import Palette, palette
from tsconsole.widgets.line import Line


class KeyBar(Line):
    """Shows as many keys as fit; help and quit always do."""

    def __init__(self, place: Place) -> None:
        super().__init__(classes="key-bar")
        self._actions = footer_at(place)
        self._places: list[tuple[int, int, Action]] = []
        self._drawn: tuple[object, ...] = ()
        """Of what the line was made: most polls change none of it."""

    def on_mount(self) -> None:
        """Follow the screen: an action is dimmed while it cannot be done."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.draw())
        self.draw()

    def on_resize(self, _: events.Resize) -> None:
        """Fit the keys into the new width."""
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """A click on a key presses it."""
        for start, end, action in self._places:
            if start <= event.x - self.gutter.left < end:
                self.screen.call_later(self.screen.run_action, action.name)

    def draw(self) -> None:
        """Write the line."""
        width, colours = self.size.width, palette(self.app)
        if not width:
            return
        enabled = {action.name: self._is_enabled(action) for action in self._actions}
        if (width, colours, enabled) == self._drawn:
            return
        self._drawn = width, colours, enabled
        last = [action for action in self._actions if action.weight >= 80]
        first = [action for action in self._actions if action.weight < 80]
        tail = sum(len(action.key) + len(action.label) + 3 for action in last) - 2
        line = Text(no_wrap=True)
        self._places.clear()
        for action in first:
            if line.cell_len + len(action.key) + len(action.label) + 3 > width - tail:
                break
            self._write(line, action, enabled[action.name], colours)
        line.append(" " * (width - tail - line.cell_len))
        for action in last:
            self._write(line, action, enabled[action.name], colours)
        line.rstrip()
        self.show(line)

    def _is_enabled(self, action: Action) -> bool:
        name = action.name.split("(")[0].split(".")[-1]
        return bool(self.screen.check_action(name, ()))

    def _write(self, line: Text, action: Action, is_enabled: bool, colours: Palette) -> None:
        start = line.cell_len
        if is_enabled:
            line.append(action.key, f"bold {colours.accent}")
            line.append(f" {action.label}", colours.muted)
        else:
            line.append(f"{action.key} {action.label}", f"dim {colours.muted}")
        self._places.append((start, line.cell_len, action))
        line.append("  ")
