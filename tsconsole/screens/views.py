"""The screens of one topic each, and how one gets from one to another."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from textual.screen import Screen

if TYPE_CHECKING:
    from tsconsole.screens.base import ConsoleScreen
    from tsconsole.session import Session

VIEWS: dict[str, str] = {
    "partitions": "PartitionsScreen",
    "maintenance": "MaintenanceScreen",
    "schedule": "ScheduleScreen",
    "indexes": "IndexesScreen",
    "activity": "ActivityScreen",
    "errors": "ErrorsScreen",
}
"""The module in `tsconsole.screens` and the class of each; loaded when it is first wanted."""


def make_view(name: str, session: Session, table_name: str | None) -> Screen[None]:
    """Make the screen of a topic, for a table where it looks at one."""
    module = import_module(f"tsconsole.screens.{name}")
    screen: Screen[None] = getattr(module, VIEWS[name])(session, table_name)
    return screen


def open_view(screen: ConsoleScreen[None], name: str) -> None:
    """Go to a topic. From one topic to the next, back leads to where the first was opened."""
    if screen.place == name:
        return
    view = make_view(name, screen.session, screen.table_in_view)
    if screen.place in VIEWS:
        screen.app.switch_screen(view)
    else:
        screen.app.push_screen(view)


def go_to_pane(screen: ConsoleScreen[None], number: int) -> None:
    """Go back to the monitor, to one of its panes."""
    stack = screen.app.screen_stack
    places = [getattr(one, "place", "") for one in stack]
    if "monitor" not in places:
        return
    monitor = stack[places.index("monitor")]
    for _ in stack[places.index("monitor") + 1 :]:
        screen.app.pop_screen()
    monitor.call_later(monitor.run_action, f"pane({number})")
