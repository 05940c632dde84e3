"""The table: rows that nobody sees cost nothing, and those that are scrolled to are up to date."""

from __future__ import annotations

from rich.text import Text
from textual.app import App, ComposeResult

from tsconsole.widgets.live_table import Column, LiveTable


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
