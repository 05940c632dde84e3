"""A poll that brings nothing new draws nothing, and yet all that moves with the clock moves on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from textual._compositor import Compositor
from textual.geometry import Region
from textual.strip import Strip as Line

from console.conftest import MakeConsole
from console.operator import Operator
from console.states import NOW
from tsconsole.app import TsConsole
from tsconsole.models import ActivityMinute, MonitorSnapshot
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.terminal.lines_only import LinesOnly
from tsconsole.widgets.errors_pane import ErrorsPane
from tsconsole.widgets.header import Header
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.operations_pane import OperationsPane
from tsconsole.widgets.pane import Pane
from tsconsole.widgets.partitions_pane import PartitionsPane
from tsconsole.widgets.retries_pane import RetriesPane
from tsconsole.widgets.strip import Strip


class Watched:
    """The monitor on failing rollups, with a clock and polls of its own."""

    def __init__(self, app: TsConsole, operator: Operator, clock: list[float]) -> None:
        self.app, self.operator, self._clock = app, operator, clock
        self.screen: MonitorScreen = operator.monitor
        assert app.session.snapshot is not None
        self.data: MonitorSnapshot = app.session.snapshot

    async def poll(self, seconds: float = 0.0, **changes: Any) -> None:
        """Let time pass, and a poll bring the same rows, or some that differ."""
        self._clock[0] += seconds
        now = self.data.database_time + timedelta(seconds=seconds)
        self.data = replace(self.data, database_time=now, **changes)
        self.screen.show_data(self.data)
        self.screen.draw_header()
        await self.operator.pilot.pause()

    def tick(self) -> None:
        """Let a second pass."""
        self._clock[0] += 1
        self.screen.tick()

    def cells(self, pane: type[Pane], row: int = 0) -> list[str]:
        """The texts of a row."""
        return [cell.plain for cell in self.screen.query_one(pane).table.get_row_at(row)]

    def line(self, kind: type[Strip] | type[Header] | type[KeyBar]) -> str:
        """What a line says."""
        shown = self.screen.query_one(kind)._shown
        assert shown is not None
        return shown.plain


@asynccontextmanager
async def watched(make: MakeConsole, lower: str = "4", **options: Any) -> AsyncIterator[Watched]:
    """The monitor, polled by the test alone, with one of its lower panes in front."""
    clock = [1000.0]
    app = make(clock=lambda: clock[0], **options)
    async with app.run_test(size=(140, 45)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_rollups()
        operator.monitor.poller.hold()
        await operator.press(lower)
        await operator.until(lambda: operator.monitor.panes[int(lower)].table.row_count)
        await pilot.pause(0.1)
        yield Watched(app, operator, clock)


async def test_nothing_is_drawn_for_the_same_rows(
    ill: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(ill, "2") as monitor:
        await monitor.poll(retries=())
        drawn: list[str] = []
        kinds: tuple[type[Any], ...] = (OperationsPane, ErrorsPane, PartitionsPane, RetriesPane)
        for kind in (*kinds, Strip):
            monkeypatch.setattr(kind, "draw", lambda self: drawn.append(type(self).__name__))
        monkeypatch.setattr(KeyBar, "show", lambda *_: drawn.append("KeyBar"))
        await monitor.poll(2)
        assert drawn == []
        await monitor.poll(2, operations=monitor.data.operations[1:])
        assert drawn[:2] == ["Strip", "OperationsPane"]


async def test_a_retry_is_counted_down(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        waiting = replace(monitor.data.retries[0], next_retry_time=NOW + timedelta(seconds=161))
        await monitor.poll(retries=(waiting,))
        assert "in 2:41" in monitor.cells(RetriesPane) and "in 2:41" in monitor.line(Strip)
        await monitor.poll(2)
        assert "in 2:39" in monitor.cells(RetriesPane) and "in 2:39" in monitor.line(Strip)
        monitor.tick()
        assert "in 2:38" in monitor.cells(RetriesPane) and "in 2:38" in monitor.line(Strip)


async def test_the_data_gets_older(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        await monitor.poll()
        assert monitor.line(Header).endswith("data 0 s old")
        for second in (1, 2):
            monitor.tick()
            assert monitor.line(Header).endswith(f"data {second} s old")
        await monitor.poll(1)
        assert monitor.line(Header).endswith("data 0 s old")


async def test_at_midnight_what_was_today_gets_a_date(ill: MakeConsole) -> None:
    async with watched(ill, "3") as monitor:
        assert monitor.data.errors
        at = monitor.data.errors[0].error_timestamp
        await monitor.poll()
        assert f"{at:%H:%M}" in monitor.cells(ErrorsPane)
        watermarks = [monitor.cells(OperationsPane, row)[3] for row in range(7)]
        until_midnight = timedelta(days=1) - timedelta(hours=NOW.hour, minutes=NOW.minute)
        await monitor.poll(until_midnight.total_seconds())
        assert f"{at:%m-%d %H:%M}" in monitor.cells(ErrorsPane)
        assert [monitor.cells(OperationsPane, row)[3] for row in range(7)] != watermarks


async def test_the_rate_of_the_last_minute_goes_on_with_the_minutes(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        await monitor.poll(retries=())
        minute = NOW.replace(second=0) - timedelta(minutes=1)
        row = ActivityMinute(minute, 6000, 0, 0, None)
        monitor.app.session.activity.add([row], NOW, 1000.0)
        await monitor.poll()
        assert "100 rows/s" in monitor.line(Strip)
        await monitor.poll(60)
        assert "0 rows/s" in monitor.line(Strip) and "100 rows/s" not in monitor.line(Strip)


async def test_a_new_theme_recolours_the_same_rows(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:

        def style() -> Any:
            return monitor.screen.query_one(OperationsPane).table.get_row_at(0)[0].style

        before = style()
        await monitor.operator.press("t")
        await monitor.operator.until(lambda: style() != before)


async def test_the_same_rows_make_room_for_a_scrollbar(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        table = monitor.screen.operations_pane.table
        first = monitor.data.operations[0]
        assert not table.show_vertical_scrollbar
        many = [replace(first, id=100 + i, target_table=f"silver.r{i}") for i in range(90)]
        await monitor.poll(operations=tuple(many))
        await monitor.operator.until(lambda: table.show_vertical_scrollbar)
        await monitor.poll(2)
        assert table.virtual_size.width <= table.size.width - table.scrollbar_size_vertical


async def test_a_key_is_dimmed_as_soon_as_it_does_nothing(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        bar = monitor.screen.query_one(KeyBar)
        before = bar._shown
        monitor.app.session.is_lost = True
        monitor.screen.refresh_bindings()
        await monitor.operator.until(lambda: bar._shown is not before)
        assert bar._shown is not None and before is not None
        assert bar._shown.plain == before.plain and bar._shown.spans != before.spans


async def test_a_part_of_the_screen_is_drawn_as_all_of_it_is(ill: MakeConsole) -> None:
    async with watched(ill) as monitor:
        ours = monitor.screen._compositor
        assert isinstance(ours, LinesOnly)
        textuals = Compositor()
        vars(textuals).update(vars(ours))
        for y in range(45):
            for height in (1, 4):
                crop = Region(3, y, 20, height).intersection(ours.size.region)
                wanted = drawn(textuals, crop)
                assert drawn(ours, crop) == wanted and any(wanted)


def drawn(compositor: Compositor, crop: Region) -> list[Line]:
    """The lines of a part."""
    is_drawn: Callable[[int], bool] = crop.line_range.__contains__
    chops = compositor._render_chops(crop, is_drawn)
    return [Line.join(chops[y].values()).crop(*crop.column_span) for y in crop.line_range]
