"""A small plot of one figure of the last runs, the oldest left; or of parts, as bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.color import Color

from tsconsole.themes import palette
from tsconsole.widgets.plot import Plot


class RunPlot(Plot):
    """One line, as many points as there were runs; beside it what was expected, where known."""

    def __init__(
        self, title: str, label: Callable[[float], str], *, id: str, bars: bool = False
    ) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self.display = False
        self._label = label
        self._bars = bars
        self._values: tuple[float, ...] = ()
        self._expected: tuple[float | None, ...] = ()

    def display_values(
        self, values: Sequence[float], expected: Sequence[float | None] = ()
    ) -> None:  # fmt: skip
        """Draw these values; the same values cost nothing. Nothing to compare: no plot."""
        self.display = len(values) > 1
        if (tuple(values), tuple(expected)) == (self._values, self._expected):
            return
        self._values, self._expected = tuple(values), tuple(expected)
        known = any(value is not None for value in self._expected)
        self.border_subtitle = "line: measured   dots: predicted" if known else None
        self.redraw()

    def redraw(self) -> None:
        """Draw again, in the colours of the theme."""
        plt = self.plt
        plt.clear_data()
        plt.xfrequency(0)
        plt.xaxes(False, False)
        plt.yaxes(True, False)
        if self._values:
            colours = palette(self.app)
            expected = [(at, value) for at, value in enumerate(self._expected, 1) if value]
            top = max(*self._values, *(value for _, value in expected), 0) * 1.1 or 1
            if self._bars:
                plt.bar(list(self._values), color=Color.parse(colours.bar).rgb, width=0.7)
            else:
                if expected:
                    places, values = zip(*expected, strict=True)
                    muted = Color.parse(colours.warning).rgb
                    plt.scatter(list(places), list(values), marker="dot", color=muted)
                colour = Color.parse(colours.accent).rgb
                plt.plot(list(self._values), marker="braille", color=colour)
            plt.ylim(0, top)
            plt.yticks([0, top / 2, top], [self._label(tick) for tick in (0, top / 2, top)])
        self.refresh()
