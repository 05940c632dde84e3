"""Intervals as people write and read them."""

from __future__ import annotations

import functools
import re

_UNITS = {
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "sec": "seconds",
    "m": "minutes",
    "min": "minutes",
    "h": "hours",
    "hr": "hours",
    "d": "days",
    "w": "weeks",
    "mon": "months",
    "mo": "months",
    "y": "years",
}
_SIZES = {unit.removesuffix("s"): size for size, unit in enumerate(dict.fromkeys(_UNITS.values()))}
"""The units from the smallest up."""
_SHORT = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_CLOCK = re.compile(r"^(-?)(\d+):(\d\d):(\d\d(?:\.\d+)?)$")


def interval_text(text: str) -> str:
    """PostgreSQL's spelling of a short interval: `5m` is 5 minutes, not 5 months.

    Everything that is not a list of number and short unit is left to PostgreSQL.

    >>> interval_text("5m"), interval_text("1h30m"), interval_text("1 day")
    ('5 minutes', '1 hours 30 minutes', '1 day')
    """
    position, parts = 0, []
    while position < len(text):
        match = _SHORT.match(text, position)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            return text.strip()
        parts.append(f"{match[1]} {unit}")
        position = match.end()
    return " ".join(parts) or text.strip()


def interval_list(text: str) -> list[str]:
    """The intervals of a list: commas part them, and so does a unit that is not smaller than the
    one before it, because nobody writes a day and an hour as `1h 1d`.

    >>> interval_list("1m, 1h,1d"), interval_list("5m 1h 1d"), interval_list("1h 30m, 1 day")
    (['1m', '1h', '1d'], ['5m', '1h', '1d'], ['1h 30m', '1 day'])
    """
    return [width for part in text.split(",") for width in _parted(part.strip()) if width]


def _parted(text: str) -> list[str]:
    """A part between two commas, where a unit follows that is not smaller than the last."""
    starts, smallest, position = [0], len(_SIZES), 0
    while position < len(text):
        match = _SHORT.match(text, position)
        unit = match[2].lower() if match else ""
        size = _SIZES.get(_UNITS.get(unit, unit).removesuffix("s"))
        if match is None or size is None:
            return [text]
        if size >= smallest:
            starts.append(position)
        smallest, position = size, match.end()
    return [text[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]


@functools.lru_cache(maxsize=1000)
def short_interval(text: str) -> str:
    """PostgreSQL's text of an interval, short: `01:00:00` is `1 h`, `1 mon` stays.

    >>> short_interval("00:15:00"), short_interval("1 day"), short_interval("01:30:00")
    ('15 min', '1 d', '1 h 30 min')
    """
    words = text.replace("days", "d").replace("day", "d").replace("mons", "mon").split()
    clock = _CLOCK.match(words[-1]) if words else None
    if clock is None:
        return " ".join(words)
    sign, hours, minutes, seconds = clock[1], int(clock[2]), int(clock[3]), float(clock[4])
    parts = words[:-1]
    parts += [f"{sign}{hours} h"] if hours else []
    parts += [f"{sign}{minutes} min"] if minutes else []
    if seconds or not parts:
        parts.append(f"{sign}{seconds:g} s" if seconds >= 1 or not seconds else _small(seconds))
    return " ".join(parts)


def _small(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"
