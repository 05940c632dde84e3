"""The data explorer: any measure of any rollup over time, as a plot or as a table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from tsconsole import operations
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.operation import Connection
from tsconsole.errors import OperationError
from tsconsole.formatting import ABSENT, moment
from tsconsole.models import DataLevel, DataSeries
from tsconsole.models.explorer import View, Window, first_window
from tsconsole.presentation.export import as_csv, as_tabs, parse_range, span_words
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.base import bindings
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.polling_screen import PollingScreen
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.session import Session
from tsconsole.themes import palette
from tsconsole.widgets.banner import Banner
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.live_table import Column, LiveTable
from tsconsole.widgets.series_plot import AXIS, SeriesPlot
from tsconsole.widgets.tray import Tray

ALL = "(all together)"
NO_RIGHT = "42501"


@dataclass(frozen=True)
class Explored:
    """What was read, and for which view."""

    view: View
    points: int
    series: DataSeries
    now: datetime


class ExplorerScreen(PollingScreen[Explored]):
    """One measure of one rollup."""

    place = "explorer"
    CSS_PATH = "explorer.tcss"
    BINDINGS = bindings("explorer")
    AUTO_FOCUS = ""

    def __init__(self, session: Session, target: str) -> None:
        super().__init__(session)
        self.target = target
        self.view: View | None = None
        self.data: Explored | None = None
        self._levels: list[DataLevel] = []
        self._fetched_at: float | None = None
        self._live = True
        """Whether the rows are complete up to now, which takes the right to read the source."""

    def compose(self) -> ComposeResult:
        """What is shown, the plot or the table, the keys."""
        yield Header()
        yield Banner()
        yield Line(id="headline")
        yield SeriesPlot(id="plot")
        yield LiveTable(id="points")
        yield Static("reading …", id="nothing")
        yield Tray()
        yield KeyBar("explorer")

    def on_mount(self) -> None:
        """Nothing is read yet; the plot comes first."""
        super().on_mount()
        self.query_one(LiveTable).display = self.query_one(SeriesPlot).display = False
        self.query_one("#headline", Line).show(Text(self.target, style="bold"))
        self.follow_theme(self._redraw)

    def on_resize(self) -> None:
        """Another width, another number of points."""
        self.draw_soon(self._changed)

    @property
    def table_in_view(self) -> str | None:
        """The rollup."""
        return self.target

    @property
    def seconds_old(self) -> float | None:
        """The age of what is shown."""
        return None if self._fetched_at is None else self.session.clock() - self._fetched_at

    async def fetch(self, connection: Connection) -> Explored:
        """Read the points of the view; nothing when it stands still and was read before."""
        now = self.session.now or datetime.now(timezone.utc)
        points = max(self.size.width - AXIS, 20)
        if self.view is None:
            self.view = await self._begin(connection, now, points)
        view = replace(self.view, window=self.view.window.moved(now))
        data = self.data
        if data and not view.window.follows and (data.view, data.points) == (view, points):
            return data
        series = await self._read(connection, view, points)
        return Explored(view, points, series, now)

    async def _begin(self, connection: Connection, now: datetime, points: int) -> View:
        """The first measure, of the latest rows that there are."""
        self._levels = await operations.data_levels(connection, self.target)
        level = self._own_level()
        if level is None:
            message = f"{self.target} is not a rollup."
            raise OperationError(message, spoken("It may have been dropped; {back} goes back."))
        names = sorted(level.measures, key=lambda name: not name.startswith("avg_"))
        window = first_window(now, level.interval, points)
        extent = await operations.data_extent(connection, level)
        if extent is not None and extent[1] < window.start:
            window = Window(extent[1] - window.span, extent[1], False)
        return View(self.target, names[0] if names else "rollup_count", window)

    async def _read(self, connection: Connection, view: View, points: int) -> DataSeries:
        try:
            return await operations.data_series(connection, self._levels, view, points, self._live)
        except OperationError as error:
            if error.sqlstate != NO_RIGHT or not self._live:
                raise
        self._live = False
        return await operations.data_series(connection, self._levels, view, points, False)

    def show_data(self, data: Explored) -> None:
        """Draw what was read, unless something else is wanted by now."""
        self.data, self._fetched_at = data, self.session.clock()
        self.session.is_lost = False
        self.draw()

    def draw(self) -> None:
        """Draw everything."""
        data = self.data
        if data is None:
            return
        colours, view, series = palette(self.app), data.view, data.series
        filters = [f"{name} = {ABSENT if value is None else value}"
                   for name, value in view.filters.items()]  # fmt: skip
        state = "live" if view.window.follows else "stands still"
        state += "" if self._live else ", stored rows only: no right to read the source"
        level = series.level.target
        origin = f", from {level}" if level != view.target else ""
        headline = Text.assemble(
            (view.measure, "bold"), "   ", " · ".join([view.target, *filters]), "   ",
            (f"a point each {span_words(series.width)}{origin} · {state}", colours.muted),
            no_wrap=True,
        )  # fmt: skip
        self.query_one("#headline", Line).show(headline)
        plot, table = self.query_one(SeriesPlot), self.query_one(LiveTable)
        plot.display = not table.display
        window = view.window
        plot.border_title = f"{moment(window.start)} to {moment(window.end)}"
        plot.border_subtitle = f"{len(series.points)} points"
        plot.display_series(series, window)
        nothing = self.query_one("#nothing", Static)
        nothing.display = not series.points
        if not series.points:
            words = "No rows in this range. {everything} shows everything, {earlier} goes back."
            nothing.update(spoken(words))
        if table.display:
            self._draw_table(series)

    def _draw_table(self, series: DataSeries) -> None:
        table = self.query_one(LiveTable)
        table.lay_out(
            [Column("time", "TIME", 19), Column("value", "VALUE", 20, True),
             Column("rows", "ROWS", 8, True)]
        )  # fmt: skip
        table.show({
            point.time.isoformat(): [
                Text(f"{point.time.astimezone():%Y-%m-%d %H:%M:%S}"),
                Text(ABSENT if point.value is None else f"{point.value:.10g}", justify="right"),
                Text(str(point.rows), justify="right"),
            ]
            for point in reversed(series.points)
        })  # fmt: skip

    def action_zoom_in(self) -> None:
        """Look at half the time."""
        self._look(lambda window, now: window.zoomed(0.5))

    def action_zoom_out(self) -> None:
        """Look at twice the time."""
        self._look(lambda window, now: window.zoomed(2))

    def action_earlier(self) -> None:
        """Go back by a quarter of what is seen."""
        self._look(lambda window, now: window.panned(-0.25, now))

    def action_later(self) -> None:
        """Go on by a quarter of what is seen; up to now it follows the clock."""
        self._look(lambda window, now: window.panned(0.25, now))

    def action_now(self) -> None:
        """Go to the present, and follow it."""
        self._look(lambda window, now: replace(window, follows=True).moved(now))

    def action_everything(self) -> None:
        """Look at everything that is stored."""
        self.spawn(self._find_everything, "extent")

    def action_range(self) -> None:
        """Type the range."""
        if self.view is None:
            return
        window = self.view.window
        value = (
            f"{window.start.astimezone():%Y-%m-%d %H:%M} {window.end.astimezone():%Y-%m-%d %H:%M}"
        )
        question = Text("From and to, each a date or a date with a time:")

        def look(answer: str | None) -> None:
            found = parse_range(answer or "")
            if isinstance(found, tuple):
                self._look(lambda window, now: Window(found[0], found[1], False))

        self.app.push_screen(AskScreen("Range", question, value, _range_problem), look)

    def action_measure(self) -> None:
        """Choose what is plotted."""
        level, view = self._own_level(), self.view
        if level is None or view is None or not level.measures:
            return
        names = list(level.measures)

        def choose(choice: int | None) -> None:
            if choice is not None and self.view is not None:
                self.view = replace(self.view, measure=names[choice])
                self._changed()

        here = names.index(view.measure) if view.measure in names else 0
        self.app.push_screen(ChooseScreen("Measure", Text("Plot"), names, here), choose)

    def action_dimension(self) -> None:
        """Choose a dimension, then the value that is wanted of it."""
        level = self._own_level()
        names = list(level.dimensions) if level is not None else []
        if not names:
            self.say(f"{self.target} has no dimensions")
        elif len(names) == 1:
            self.spawn(partial(self._ask_value, names[0]), "values")
        else:

            def choose(choice: int | None) -> None:
                if choice is not None:
                    self.spawn(partial(self._ask_value, names[choice]), "values")

            self.app.push_screen(ChooseScreen("Dimension", Text("Filter by"), names), choose)

    def action_table(self) -> None:
        """Show the points as a table, or as a plot."""
        plot, table = self.query_one(SeriesPlot), self.query_one(LiveTable)
        plot.display, table.display = table.display, plot.display
        self.draw()
        # The arrows belong to the table as long as it is seen.
        self.set_focus(table if table.display else None)

    def action_statement(self) -> None:
        """Show the SQL that was run."""
        if self.data is not None:
            sections = [Section("The statement that was run", self.data.series.statement, "code")]
            self.app.push_screen(ReaderScreen(self.session, self.target, sections))

    def action_copy(self) -> None:
        """Copy the points to the clipboard of the terminal (OSC 52)."""
        if self.data is not None:
            self.app.copy_to_clipboard(as_tabs(self.data.series))
            self.say(f"copied {len(self.data.series.points)} rows")

    def action_csv(self) -> None:
        """Write the points to a file."""
        data = self.data
        if data is None:
            return
        name = f"{self.target}-{data.view.measure}.csv".replace('"', "").replace("/", "_")

        def write(answer: str | None) -> None:
            if answer is not None:
                path = Path(answer).expanduser().resolve()
                self.spawn(partial(self._write, path, as_csv(data.series)), "export")

        question = Text(f"Write {len(data.series.points)} rows to")
        self.app.push_screen(AskScreen("CSV", question, name, _path_problem), write)

    def _own_level(self) -> DataLevel | None:
        return next((level for level in self._levels if level.target == self.target), None)

    def _look(self, move: Callable[[Window, datetime], Window]) -> None:
        if self.view is not None:
            now = self.session.now or datetime.now(timezone.utc)
            window = self.view.window.moved(now)
            self.view = replace(self.view, window=move(window, now))
            self._changed()

    def _changed(self) -> None:
        self.poller.poke()

    def _redraw(self) -> None:
        self.query_one(SeriesPlot).redraw()
        self.draw_soon(self.draw)

    async def _find_everything(self) -> None:
        level = self._own_level()
        if level is None:
            return
        async with self.session.connect() as connection:
            extent = await operations.data_extent(connection, level)
        if extent is None:
            self.say("nothing is stored yet")
        elif self.view is not None:
            start, end = extent
            self.view = replace(self.view, window=Window(start, max(end, start + level.interval),
                                                         False))  # fmt: skip
            self._changed()

    async def _ask_value(self, column: str) -> None:
        if self.view is None:
            return
        async with self.session.connect() as connection:
            values = await operations.data_values(connection, self._levels, self.view, column)

        def choose(choice: int | None) -> None:
            if choice is None or self.view is None:
                return
            filters = {k: v for k, v in self.view.filters.items() if k != column}
            if choice:
                filters[column] = values[choice - 1]
            self.view = replace(self.view, filters=filters)
            self._changed()

        shown = [ALL, *("(null)" if value is None else value for value in values)]
        self.app.push_screen(ChooseScreen("Dimension", Text(f"{column} ="), shown), choose)

    async def _write(self, path: Path, text: str) -> None:
        try:
            await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        except OSError as error:
            self.say(f"{path}: {error.strerror}", "error")
        else:
            self.say(f"written to {path}")


def _range_problem(text: str) -> str | None:
    found = parse_range(text)
    return found if isinstance(found, str) else None


def _path_problem(text: str) -> str | None:
    if not text:
        return "Say which file to write."
    if Path(text).expanduser().exists():
        return f"{text} is there already. Give another name."
    return None
