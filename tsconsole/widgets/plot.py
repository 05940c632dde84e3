"""A plot that is forgotten once its screen is left."""

from __future__ import annotations

from textual_plotext import PlotextPlot


class Plot(PlotextPlot):
    """A PlotextPlot that does not stay with the App for ever: it asks to be told of other themes,
    and never takes that back; five plots of a screen are 0.7 MB for each visit."""

    def on_unmount(self) -> None:
        """Ask for no more."""
        self.app.theme_changed_signal.unsubscribe(self)
