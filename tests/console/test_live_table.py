"""The table: rows that nobody sees cost nothing, and those that are scrolled to are up to date."""

from __future__ import annotations

from rich.segment import Segment
from rich.text import Text
from textual.app import App, ComposeResult
from textual.strip import Strip
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey

from tsconsole.widgets.live_table import KEPT_CELLS, KEPT_LINES, Column, LiveTable


class TableApp(App[None]):
    def compose(self) -> ComposeResult:
        yield LiveTable()


async def test_only_rows_that_are_seen_are_drawn() -> None:
    drawn: list[str] = []

    def show(keys: list[str], words: str) -> None:
        def draw(key: str) -> list[Text]:
            drawn.append(key)
            return [Text(f"{key} {words}")]

        table.show_drawn(keys, draw)

    app = TableApp()
    async with app.run_test(size=(40, 20)) as pilot:
        table = app.query_one(LiveTable)
        table.lay_out([Column("name", "NAME", 20)])
        keys = [f"r{number:04}" for number in range(1000)]
        show(keys, "old")
        await pilot.pause()
        assert set(drawn) <= set(keys[:20])

        await pilot.press("G")
        await pilot.pause()
        assert table.selected == "r0999" and "r0500" not in drawn
        show(keys[:500] + keys[:499:-1], "new")
        await pilot.pause()
        assert table.selected == "r0999" and table.cursor_row == 500
        await pilot.press("g")
        await pilot.pause()
        assert str(table.get_row_at(0)[0]) == "r0000 new"
        assert "r0000 new" in "".join(s.text for s in table.render_line(1))

        show(keys[10:12], "few")
        await pilot.pause()
        assert table.row_count == 2 and table.virtual_size.height == 3


async def test_what_was_drawn_before_does_not_pile_up() -> None:
    app = TableApp()
    async with app.run_test(size=(100, 20)) as pilot:
        table = app.query_one(LiveTable)
        names = [f"c{number}" for number in range(12)]
        table.lay_out([Column(name, name, 5) for name in names])
        keys = [f"r{number:02}" for number in range(18)]
        for poll in range(10):
            table.show({key: [Text(f"{poll}")] * len(names) for key in keys})
            await pilot.pause()
        assert 0 < len(table._cell_render_cache) <= KEPT_CELLS
        for cache in table._row_renderable_cache, table._row_render_cache, table._line_cache:
            assert 0 < len(cache) <= KEPT_LINES


async def test_a_row_looks_as_textual_draws_it() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 10)) as pilot:
        table = app.query_one(LiveTable)
        table.lay_out([Column("a", "A", 8), Column("b", "B", 8, right=True), Column("c", "C", 9)])
        whole = [
            Text("plain"),
            Text("right", "bold red", justify="right"),
            Text.assemble(("bar", "green"), " 3"),
        ]
        cut = [Text("much too long", "dim"), Text("much too long", justify="right"), Text("")]
        table.show({"whole": whole, "cut": cut})
        await pilot.pause()
        for key in map(RowKey, ("whole", "cut")):
            places = (key, 0, table.rich_style, table.cursor_coordinate, table.hover_coordinate)
            own = table._render_line_in_row(*places)
            theirs = DataTable._render_line_in_row(table, *places)
            assert drawn(own) == drawn(theirs)


def drawn(parts: tuple[list[list[Segment]], list[list[Segment]]]) -> list[Segment]:
    return list(Strip(segment for cell in parts[1] for segment in cell).simplify())


async def test_home_and_end_are_the_first_and_the_last_row() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 10)) as pilot:
        table = app.query_one(LiveTable)
        table.lay_out([Column("name", "NAME", 20)])
        keys = [f"r{number:04}" for number in range(50)]
        table.show_drawn(keys, lambda key: [Text(key)])
        for key, reached in (("end", "r0049"), ("home", "r0000"), ("G", "r0049"), ("g", "r0000")):
            await pilot.press(key)
            await pilot.pause()
            assert table.selected == reached, key
