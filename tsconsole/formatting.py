"""Numbers, sizes, times and names as the console writes them: short, with units, aligned."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache

ABSENT = "·"
"""What stands in a cell that has nothing to say."""


def age(span: timedelta | None) -> str:
    """Write how long ago something was, in at most two units.

    >>> age(timedelta(seconds=41)), age(timedelta(minutes=6, seconds=20))
    ('41 s', '6 m')
    >>> age(timedelta(hours=3, minutes=2)), age(timedelta(days=2, hours=4))
    ('3 h 02', '2 d 4 h')
    """
    if span is None:
        return ABSENT
    seconds = int(span.total_seconds())
    if seconds < 0:
        return "-" + age(-span)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} m"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02}"
    days, hours = seconds // 86400, seconds % 86400 // 3600
    return f"{days} d {hours} h" if days < 100 else f"{days} d"


def took(span: timedelta | None) -> str:
    """Write how long something took, as exactly as anyone needs it.

    >>> took(timedelta(milliseconds=4)), took(timedelta(seconds=2.14)), took(timedelta(seconds=75))
    ('4 ms', '2.1 s', '1:15')
    """
    if span is None:
        return ABSENT
    seconds = span.total_seconds()
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return countdown(span)


def countdown(span: timedelta | None) -> str:
    """Write the time that is left on a clock.

    >>> countdown(timedelta(seconds=161)), countdown(timedelta(seconds=3761))
    ('2:41', '1:02:41')
    >>> countdown(timedelta(seconds=-3))
    'now'
    """
    if span is None:
        return ABSENT
    seconds = int(span.total_seconds())
    if seconds <= 0:
        return "now"
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def coming(span: timedelta) -> str:
    """Say when something comes.

    >>> coming(timedelta(seconds=161)), coming(timedelta(seconds=-3))
    ('in 2:41', 'now')
    """
    left = countdown(span)
    return left if left == "now" else f"in {left}"


def number(value: float | None) -> str:
    """Write a count in full, grouped by thousands.

    >>> number(612004), number(None)
    ('612 004', '·')
    """
    return ABSENT if value is None else f"{value:,.0f}".replace(",", " ")


def short_number(value: float | None) -> str:
    """Write a count in some four characters.

    >>> short_number(999), short_number(12400), short_number(1_200_000)
    ('999', '12.4 k', '1.2 M')
    """
    if value is None:
        return ABSENT
    if abs(value) < 1000:
        return f"{value:.0f}"
    for unit in ("k", "M", "G", "T"):
        value /= 1000
        if abs(value) < 999.5:
            return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:.0f} {unit}"
    return f"{value:.0f} T"


def size(value: float | None) -> str:
    """Write a number of bytes.

    >>> size(0), size(16384), size(12_582_912)
    ('0 B', '16 kB', '12 MB')
    """
    if value is None:
        return ABSENT
    if value < 1024:
        return f"{value:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1024
        if value < 1023.5:
            return f"{value:.1f} {unit}" if value < 9.95 and unit != "kB" else f"{value:.0f} {unit}"
    return f"{value:.0f} TB"


def when(moment: datetime | None, now: datetime | None, is_brief: bool = False) -> str:
    """Write a moment as people say it: with a date only when it is not today."""
    if moment is None:
        return ABSENT
    try:
        local = moment.astimezone()
    except (OverflowError, ValueError):  # infinity and its neighbours
        return str(moment)
    today = day_of(now or datetime.now(tz=local.tzinfo))
    if local.date() == today:
        return f"{local:%H:%M}"
    if local.year == today.year:
        return f"{local:%m-%d}" if is_brief else f"{local:%m-%d %H:%M}"
    return f"{local:%Y-%m}" if is_brief else f"{local:%Y-%m-%d}"


def day_of(now: datetime) -> date:
    """The day here: at its end, `when` writes its moments another way."""
    return now.astimezone().date()


def moment(value: datetime | None) -> str:
    """Write a moment in full, in the zone of this terminal."""
    if value is None:
        return ABSENT
    try:
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S %Z}".rstrip()
    except (OverflowError, ValueError):
        return str(value)


_SECONDS = {"year": 31557600.0, "mon": 2629800.0, "day": 86400.0}


@lru_cache(1024)
def approximate_seconds(interval: str) -> float:
    """About how long an interval in PostgreSQL's spelling is: good for comparing, not for adding.

    >>> approximate_seconds("01:30:00"), approximate_seconds("1 day"), approximate_seconds("2 mons")
    (5400.0, 86400.0, 5259600.0)
    """
    total, words = 0.0, interval.split()
    for position, word in enumerate(words):
        if ":" in word:
            parts = [float(part) for part in word.lstrip("-").split(":")]
            total += sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
        elif position and word.rstrip("s") in _SECONDS:
            total += float(words[position - 1]) * _SECONDS[word.rstrip("s")]
    return total


def one_line(text: str | None) -> str:
    """Fold a text of several lines into one."""
    return " ".join((text or "").split())


_SQL = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*")"""
    r"|\s+(select|from|where|group by|order by|returning|union all|insert into|values)\b",
)


def break_sql(statement: str) -> str:
    """Begin a line at each clause of a generated statement; it stays the same statement.

    >>> print(break_sql("select 'a from b' as x from t where y"))
    select 'a from b' as x
    from t
    where y
    """
    if "\n" in statement.strip():
        return statement.strip()
    return _SQL.sub(lambda m: m[1] or f"\n{m[2]}", statement.strip())


def shorten(text: str, width: int) -> str:
    """Cut the end of a text that does not fit and show that something is missing.

    >>> shorten("division by zero", 10)
    'division …'
    """
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def bar(fraction: float | None, width: int) -> str:
    """Draw a fraction as a bar of eighths of a character.

    >>> bar(0.5, 4), bar(1, 3)
    ('██', '███')
    """
    if fraction is None or width <= 0:
        return ""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float]) -> str:
    """Draw values as one line of bars; nothing at all is the lowest of them.

    >>> sparkline([0, 1, 4, 8])
    '▁▂▅█'
    """
    heights = list(values)
    top = max(heights, default=0)
    if top <= 0:
        return _LEVELS[0] * len(heights)
    last = len(_LEVELS) - 1
    return "".join(_LEVELS[0 if v <= 0 else max(1, round(v / top * last))] for v in heights)


def fit_names(names: Iterable[str], width: int) -> dict[str, str]:
    """Shorten names to a width without making any two of them alike.

    First the schemas go (when the names stay distinct), then characters near the beginning:
    what names of one family differ in, site and level, stands at their end.

    >>> fit_names(["silver.meters_1m", "gold.meters_1h"], 9)
    {'silver.meters_1m': 'meters_1m', 'gold.meters_1h': 'meters_1h'}
    >>> sorted(fit_names(["silver.pressure_north_1m", "silver.pressure_south_1m"], 12).values())
    ['pr…_north_1m', 'pr…_south_1m']
    """
    unique = list(dict.fromkeys(names))
    if all(len(name) <= width for name in unique):
        return {name: name for name in unique}
    bare = {name: _without_schema(name) for name in unique}
    if len(set(bare.values())) < len(unique):
        bare = {name: name for name in unique}
    for tail in (tail for tail in (width - 3, width // 2, width // 3, 3) if 0 < tail < width):
        cut = {name: _cut_middle(short, width, tail) for name, short in bare.items()}
        if len(set(cut.values())) == len(unique):
            return cut
    return bare


def _without_schema(name: str) -> str:
    """Drop the schema of a qualified name, quoted or not."""
    if name.startswith('"'):
        end = name.find('".')
        return name[end + 2 :] if end > 0 else name
    return name.split(".", 1)[-1]


def _cut_middle(name: str, width: int, tail: int) -> str:
    if len(name) <= width:
        return name
    return name[: max(width - 1 - tail, 0)] + "…" + name[len(name) - tail :]
