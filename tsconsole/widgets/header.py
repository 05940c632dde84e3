"""The first line: which database this is, who we are in it, and how old the picture is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from rich.text import Text
from textual import events

from tsconsole.formatting import age
from tsconsole.models import ServerInfo
from tsconsole.presentation.once import Once
from tsconsole.themes import palette
from tsconsole.widgets.line import Line, fitting, justified


@dataclass(frozen=True)
class HeaderState:
    """What the header shows."""

    server: ServerInfo | None = None
    profile: str | None = None
    read_only: bool = False
    interval: float | None = None
    is_held: bool = False
    seconds_old: float | None = None
    is_lost: bool = False
    replay: str | None = None
    """The moment of a recording that is shown."""


class Header(Line):
    """The connection on the left, refresh and age of the data on the right."""

    def __init__(self) -> None:
        super().__init__(classes="header")
        self.state = HeaderState()
        self._left = Once(self._make_left)

    def change(self, **values: object) -> None:
        """Change some of what is shown."""
        self.state = replace(self.state, **values)  # type: ignore[arg-type]
        self.draw()

    def on_resize(self, _: events.Resize) -> None:
        """Fit into the new width."""
        self.draw()

    def draw(self) -> None:
        """Write the line."""
        if not self.size.width:
            return
        state, width, right = self.state, self.size.width, self._freshness()
        room = width - right.cell_len
        left = self._left(state.server, state.profile, state.read_only, room, self.app.theme)
        self.show(justified(left, right, width))

    def _make_left(
        self, server: ServerInfo | None, profile: str | None, read_only: bool, room: int, _: str
    ) -> Text:
        """The name and the connection in the colours of a theme; what changes often is not here."""
        colours = palette(self.app)
        name = Text("tsconsole  ", style=f"bold {colours.accent}")
        if read_only:
            name.append(" READ-ONLY ", style=f"bold reverse {colours.warning}")
            name.append("  ")
        room -= name.cell_len + 2
        parts = fitting(self._connection(server, profile), room, Text(" · ", style=colours.muted))
        return Text.assemble(name, parts)

    def _connection(self, server: ServerInfo | None, profile: str | None) -> list[Text]:
        muted = palette(self.app).muted
        if server is None:
            return [Text("not connected", style=muted)]
        parts = [Text(profile, style="bold")] if profile else []
        parts.append(Text(address(server)))
        parts.append(Text(f"PostgreSQL {server.version.split()[0]}", style=muted))
        if server.is_superuser:
            parts.append(Text("superuser", style=muted))
        if server.is_standby:
            parts.append(Text("standby", style="bold"))
        return parts

    def _freshness(self) -> Text:
        state, colours = self.state, palette(self.app)
        line = Text()
        if state.interval is None:
            if state.seconds_old is not None:
                line.append(f"data {_age(state.seconds_old)} old", style=colours.muted)
            return line
        if state.replay is not None:
            line.append(" REPLAY ", style=f"bold reverse {colours.accent}")
            line.append(f" {state.replay}", style="bold")
            return line.append("  [ ] step  { } minute", style=colours.muted)
        if state.is_held:
            line.append(" ON HOLD ", style=f"bold reverse {colours.accent}")
        else:
            line.append(f"⟳ {state.interval:g} s", style=colours.muted)
        if state.seconds_old is None:
            line.append(" · no data yet", style=colours.muted)
            return line
        old = f"data {_age(state.seconds_old)} old"
        stale = state.is_lost or state.seconds_old > 3 * state.interval + 2
        line.append(" · ", style=colours.muted)
        line.append(old, style=f"bold {colours.warning}" if stale else colours.muted)
        return line


def address(server: ServerInfo) -> str:
    """A server as user@host:port/database; a socket's folder is called local."""
    host = "local" if not server.host or server.host.startswith("/") else server.host
    return f"{server.user}@{host}:{server.port}/{server.database}"


def _age(seconds: float) -> str:
    return age(timedelta(seconds=max(seconds, 0)))
