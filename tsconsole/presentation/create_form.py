"""The form for a new rollup as data: what it proposes, what is wrong with it, what it asks for.

It knows no widgets and no database: the screen feeds it what the operator typed and what the
catalog says. The server has the last word; here only what can be said at once is said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tsconsole.intervals import interval_list, interval_text
from tsconsole.models import LadderRequest, RollupRequest, SourceColumn

TIME_TYPES = ("timestamp with time zone", "timestamp without time zone", "date")
NUMERIC = ("min", "max", "avg", "sum", "count")
"""What a measure of numbers keeps unless something else is wanted: it merges up a ladder."""
LONGEST_NAME = 63
FIELDS = (
    "source", "time_column", "intervals", "target", "dimensions", "measures", "timezone",
    "look_back", "retention",
)  # fmt: skip

_UNIT = re.compile(
    r"(\d+(?:\.\d+)?)\s*(microsecond|millisecond|second|minute|hour|day|week|mon(?:th)?|year)s?",
)
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?")
_SECONDS = {
    "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0, "week": 604800.0,
}  # fmt: skip
_MONTHS = {"mon": 1.0, "month": 1.0, "year": 12.0}


@dataclass(frozen=True)
class Width:
    """A bucket width: months, or seconds, never both."""

    text: str
    months: float = 0.0
    seconds: float = 0.0

    @property
    def suffix(self) -> str:
        """What the core puts behind a ladder's prefix: 1m, 1h, 1d, 1mon."""
        if self.months:
            years, rest = divmod(self.months, 12)
            return f"{years:g}y" if not rest else f"{self.months:g}mon"
        for size, unit in ((604800, "w"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
            if self.seconds % size == 0:
                return f"{self.seconds / size:g}{unit}"
        return f"{self.seconds * 1000:g}ms"


@dataclass(frozen=True)
class Form:
    """What stands in the form."""

    source: str | None = None
    is_rollup: bool = False
    columns: tuple[SourceColumn, ...] = ()
    time_column: str | None = None
    intervals: str = "1m"
    target: str = ""
    dimensions: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    timezone: str = "UTC"
    look_back: str = ""
    retention: str = ""

    @property
    def widths(self) -> list[str]:
        """The intervals, one by one."""
        return interval_list(self.intervals)

    @property
    def is_ladder(self) -> bool:
        """Whether more than one rollup is asked for."""
        return len(self.widths) > 1


def times(columns: Sequence[SourceColumn]) -> list[str]:
    """The columns that can be the time."""
    return [c.column_name for c in columns if c.data_type.startswith(TIME_TYPES)]


def changed(form: Form, name: str, value: str | tuple[str, ...]) -> Form:
    """The form with another value in one field."""
    return replace(form, **{name: value})  # type: ignore[arg-type]


def propose(
    form: Form,
    source: str,
    is_rollup: bool,
    columns: Sequence[SourceColumn],
    taken: Collection[str],
) -> Form:
    """Fill the form in for a source: its time, its dimensions and measures, a free name."""
    time = next((c.column_name for c in columns if c.proposed_role == "time"), None)
    chosen = replace(
        form,
        source=source,
        is_rollup=is_rollup,
        columns=tuple(columns),
        time_column=time or next(iter(times(columns)), None),
        dimensions=tuple(c.column_name for c in columns if c.proposed_role == "dimension"),
        measures=tuple(c.column_name for c in columns if c.proposed_role == "measure"),
        intervals="1h" if is_rollup else form.intervals,
    )
    return replace(chosen, target=propose_target(chosen, taken))


def propose_target(form: Form, taken: Collection[str]) -> str:
    """A name after the source and the interval, or a prefix for a ladder, that is still free."""
    if form.source is None:
        return ""
    bare = form.source.rsplit(".", 1)[-1].strip('"')
    if form.is_rollup:
        bare = re.sub(r"_\d+(ms|s|m|h|d|w|mon|y)$", "", bare)
    base = "silver." + re.sub(r"\W+", "_", bare.lower())
    suffixes = _suffixes(form)
    for number in range(1, 100):
        prefix = base if number == 1 else f"{base}_{number}"
        names = [f"{prefix}_{suffix}" for suffix in suffixes]
        if not set(names) & set(taken):
            return prefix if form.is_ladder else names[0]
    return base


def names_of(form: Form) -> list[str]:
    """The tables that the form would create."""
    if form.is_ladder:
        return [f"{form.target.strip()}_{suffix}" for suffix in _suffixes(form)]
    return [form.target.strip()]


def makes(form: Form) -> str:
    """What a ladder will be called, in one line: a second one would move all that is below it.

    >>> makes(Form(intervals="1m, 1h, 1d", target="silver.readings"))
    'makes silver.readings_1m, …_1h, …_1d'
    """
    first, *rest = names_of(form) or [""]
    shorter = ["…" + name.removeprefix(form.target.strip()) for name in rest]
    return "makes " + ", ".join([first, *shorter])


def parse_width(text: str) -> Width | str:
    """A bucket width, or what is wrong with it.

    >>> parse_width("1m").suffix, parse_width("15 minutes").suffix, parse_width("3 months").suffix
    ('1m', '15m', '3mon')
    >>> parse_width("0s"), parse_width("1 mon 1 day")
    ('0s is no time at all', '1 mon 1 day mixes months with days, which have no fixed ratio')
    """
    spelled = interval_text(text).lower()
    rest = _CLOCK.sub("", _UNIT.sub("", spelled)).replace("-", "").strip(" ,")
    found = list(_UNIT.finditer(spelled)) + list(_CLOCK.finditer(spelled))
    if rest or not found:
        return f"{text} is no interval: write 30s, 1m, 15m, 1h, 1d or 1mon"
    if "-" in spelled:
        return f"{text} is negative"
    months = sum(float(u[1]) * _MONTHS.get(u[2], 0) for u in _UNIT.finditer(spelled))
    seconds = sum(float(u[1]) * _SECONDS.get(u[2], 0) for u in _UNIT.finditer(spelled))
    for clock in _CLOCK.finditer(spelled):
        seconds += int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
    if months and seconds:
        return f"{text} mixes months with days, which have no fixed ratio"
    if not months and not seconds:
        return f"{text} is no time at all"
    return Width(text, months, seconds)


def check(form: Form, taken: Collection[str]) -> dict[str, str]:
    """What is wrong, by field; empty when the server may be asked."""
    found: dict[str, str] = {}
    if form.source is None:
        return {"source": "choose the table to read"}
    if form.time_column is None:
        found["time_column"] = "this table has no column with a time"
    found.update(_check_intervals(form))
    found.update(_check_target(form, taken))
    if not form.timezone.strip():
        found["timezone"] = "name a zone, such as UTC or Europe/Berlin"
    if form.look_back.strip() and isinstance(wrong := parse_width(form.look_back), str):
        found["look_back"] = wrong
    found.update(_check_retention(form))
    return found


def request(form: Form) -> RollupRequest | LadderRequest:
    """What the form asks for. It must have been checked."""
    common = {
        "source": form.source or "",
        "time_column": form.time_column,
        "dimensions": list(form.dimensions),
        "measures": None if form.is_rollup else _measures(form),
        "timezone": form.timezone.strip(),
        "look_back_window": interval_text(form.look_back) if form.look_back.strip() else None,
    }
    widths = [interval_text(width) for width in form.widths]
    kept = [interval_text(text) or None for text in _retentions(form)]
    if form.is_ladder:
        return LadderRequest(
            **common,  # type: ignore[arg-type]
            target_prefix=form.target.strip(),
            rollup_intervals=widths,
            retention_periods=kept if any(kept) else None,
        )
    return RollupRequest(
        **common,  # type: ignore[arg-type]
        target=form.target.strip(),
        rollup_interval=widths[0] if widths else "",
        retention_period=kept[0] if kept else None,
    )


_FIELD_WORDS = (
    ("timezone", ("time zone", "timezone")),
    ("time_column", ("time column", "time_column", "not a time")),
    ("retention", ("retention",)),
    ("look_back", ("look_back", "look back")),
    ("dimensions", ("dimension",)),
    ("measures", ("measure", "aggregate", "computed exactly")),
    ("intervals", ("interval", "buckets of")),
    ("target", ("target", "exists already", "create tables", "schema", "columns of the")),
    ("source", ("source", "permission", "owner", "lock")),
)


def field_of(message: str) -> str:
    """The field that a message of the server is about; the source when it does not say."""
    lowered = message.lower()
    for field, words in _FIELD_WORDS:
        if any(word in lowered for word in words):
            return field
    return "source"


def _measures(form: Form) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    for column in form.columns:
        if column.column_name in form.measures:
            numeric = [name for name in NUMERIC if name in column.aggregates]
            other = [name for name in ("mode",) if name in column.aggregates]
            wanted = numeric if "avg" in numeric else other or numeric
            kept[column.column_name] = wanted or list(column.aggregates[:1])
    return kept


def _suffixes(form: Form) -> list[str]:
    parsed = [parse_width(text) for text in form.widths]
    return [width.suffix if isinstance(width, Width) else "…" for width in parsed] or ["…"]


def _check_intervals(form: Form) -> dict[str, str]:
    if not form.widths:
        return {"intervals": "write 1m, or 1m, 1h, 1d for a ladder"}
    parsed = [parse_width(text) for text in form.widths]
    for width in parsed:
        if isinstance(width, str):
            return {"intervals": width}
    good = [width for width in parsed if isinstance(width, Width)]
    for lower, upper in pairwise(good):
        if not _is_multiple(lower, upper):
            return {"intervals": f"{upper.text} is not made of whole buckets of {lower.text}"}
    return {}


def _is_multiple(lower: Width, upper: Width) -> bool:
    if upper.months and lower.months:
        return upper.months > lower.months and upper.months % lower.months == 0
    if upper.months:
        return 86400 % lower.seconds == 0
    return bool(
        not lower.months and upper.seconds > lower.seconds and not upper.seconds % lower.seconds
    )


def _check_target(form: Form, taken: Collection[str]) -> dict[str, str]:
    if not form.target.strip():
        return {"target": "give a name"}
    for name in names_of(form):
        bare = name.rsplit(".", 1)[-1]
        if len(bare.strip('"').encode()) > LONGEST_NAME:
            return {"target": f"{bare} has more than {LONGEST_NAME} bytes"}
        if name in taken or f"silver.{name}" in taken:
            return {"target": f"{name} exists already"}
    return {}


def _retentions(form: Form) -> list[str]:
    return [part.strip() for part in form.retention.split(",")] if form.retention.strip() else []


def _check_retention(form: Form) -> dict[str, str]:
    kept = _retentions(form)
    if not kept:
        return {}
    count = len(form.widths)
    if len(kept) != max(count, 1):
        noun = "interval" if count == 1 else "intervals"
        return {
            "retention": f"{len(kept)} periods for {count} {noun}: 30d, 1y, (nothing: for ever)"
        }
    for text in kept:
        width = parse_width(text) if text else None
        if isinstance(width, str):
            return {"retention": width}
    return {}
