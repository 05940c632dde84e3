"""A small plot of one figure of the last runs, the oldest left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.color import Color
from textual_plotext import PlotextPlot

from tsconsole.themes import palette


class RunPlot(PlotextPlot):
    """One line, as many points as there were runs."""

    def __init__(self, title: str, label: Callable[[float], str], *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self._label = label
        self._values: tuple[float, ...] = ()

    def display_values(self, values: Sequence[float]) -> None:
        """Draw these values; the same values cost nothing."""
        if tuple(values) == self._values:
            return
        self._values = tuple(values)
        self.redraw()

    def redraw(self) -> None:
        """Draw again, in the colours of the theme."""
        plt = self.plt
        plt.clear_data()
        plt.xfrequency(0)
        plt.xaxes(False, False)
        plt.yaxes(True, False)
        if self._values:
            colour = Color.parse(palette(self.app).accent).rgb
            plt.plot(list(self._values), marker="braille", color=colour)
            top = max(self._values) * 1.1 or 1
            plt.ylim(0, top)
            plt.yticks([0, top / 2, top], [self._label(tick) for tick in (0, top / 2, top)])
        self.refresh()
