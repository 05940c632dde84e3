"""The console's two themes. Colour belongs to what is wrong, so there is little of it.

A test makes sure of what the eye does not show to everybody: contrast, error and warning that are
different colours to the colour-blind too, and a cursor that is seen with 16 colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from textual.app import App
from textual.theme import Theme

DARK = Theme(
    name="tsconsole-dark",
    primary="#6cb6ff",
    secondary="#6cb6ff",
    accent="#6cb6ff",
    foreground="#c9d1d9",
    background="#0f1318",
    surface="#0f1318",
    panel="#1b222b",
    error="#ff7b72",
    warning="#e3b341",
    success="#7ee787",
    dark=True,
    variables={
        "muted": "#828b96",
        "line": "#333c47",
        "bar": "#41688f",
        "block-cursor-background": "#2b4a6f",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1d2630",
        "block-cursor-blurred-foreground": "#c9d1d9",
        "block-cursor-blurred-text-style": "none",
        "scrollbar": "#333c47",
        "scrollbar-hover": "#4b5663",
        "scrollbar-active": "#6cb6ff",
        "scrollbar-background": "#0f1318",
        "scrollbar-background-hover": "#0f1318",
        "scrollbar-background-active": "#0f1318",
        "scrollbar-corner-color": "#0f1318",
        "input-selection-background": "#2b4a6f",
    },
)

LIGHT = Theme(
    name="tsconsole-light",
    primary="#0550ae",
    secondary="#0550ae",
    accent="#0550ae",
    foreground="#1f2328",
    background="#fdfdfc",
    surface="#fdfdfc",
    panel="#eceff2",
    error="#c2185b",
    warning="#855300",
    success="#116329",
    dark=False,
    variables={
        "muted": "#5d656e",
        "line": "#c5ccd3",
        "bar": "#8fb4dd",
        "block-cursor-background": "#c2d3e6",
        "block-cursor-foreground": "#0b1220",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#eceff2",
        "block-cursor-blurred-foreground": "#1f2328",
        "block-cursor-blurred-text-style": "none",
        "scrollbar": "#c5ccd3",
        "scrollbar-hover": "#9aa4ae",
        "scrollbar-active": "#0550ae",
        "scrollbar-background": "#fdfdfc",
        "scrollbar-background-hover": "#fdfdfc",
        "scrollbar-background-active": "#fdfdfc",
        "scrollbar-corner-color": "#fdfdfc",
        "input-selection-background": "#c2d3e6",
    },
)


_FEWER = {
    # The cursor becomes brighter there, and the panel as black or as white as the screen.
    "256": {
        DARK.name: {"muted": "#a8a8a8", "panel": "#262626"},
        LIGHT.name: {"panel": "#e4e4e4"},
    },
    "standard": {
        LIGHT.name: {
            # The nearest of sixteen: a yellow and greys that are not seen on white.
            "error": "#cd0000",
            "warning": "#cd00cd",
            "line": "#7f7f7f",
            "bar": "#7f7f7f",
            "text-disabled": "#7f7f7f",
        },
    },
}
"""What is another colour on terminals that have fewer, by Rich's name for how many."""
_GREY = {
    DARK.name: dict.fromkeys(("error", "warning", "success", "accent", "primary"), "#ffffff"),
    LIGHT.name: dict.fromkeys(("error", "warning", "success", "accent", "primary"), "#000000"),
}
"""What is brightest where no colour is wanted: turned to grey, an alarm would be the dimmest."""


def for_terminal(theme: Theme, colours: str | None = None, *, is_grey: bool = False) -> Theme:
    """The theme as it can be read on a terminal of so many colours, or without any."""
    changes = dict(_FEWER.get(colours or "", {}).get(theme.name, {}))
    changes |= _GREY[theme.name] if is_grey else {}
    own: dict[str, Any] = {name: v for name, v in changes.items() if hasattr(theme, name)}
    variables = theme.variables | {name: v for name, v in changes.items() if name not in own}
    return replace(theme, variables=variables, **own)


@dataclass(frozen=True)
class Palette:
    """The styles of text that is drawn by Rich, which knows no theme."""

    error: str
    warning: str
    success: str
    accent: str
    muted: str
    bar: str
    plain: str = ""

    def of(self, name: str) -> str:
        """The style of a health state, by the theme's name for its colour."""
        return {"error": f"bold {self.error}", "warning": self.warning}.get(name, self.plain)


def palette(app: App[object]) -> Palette:
    """The palette of the theme in use."""
    theme = app.current_theme
    return Palette(
        error=theme.error or "red",
        warning=theme.warning or "yellow",
        success=theme.success or "green",
        accent=theme.accent or theme.primary,
        muted=theme.variables.get("muted", "dim"),
        bar=theme.variables.get("bar", theme.primary),
    )
