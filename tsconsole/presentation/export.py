"""Points of the data explorer as text, and ranges of time that people type."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

from tsconsole.formatting import age
from tsconsole.models import DataSeries


def as_csv(series: DataSeries) -> str:
    """Comma-separated, with a header; times as ISO 8601 with their zone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", "value", "rows"])
    for point in series.points:
        value = "" if point.value is None else repr(point.value)
        writer.writerow([point.time.isoformat(), value, point.rows])
    return text.getvalue()


def as_tabs(series: DataSeries) -> str:
    """Separated by tabs, for spreadsheets."""
    lines = ["time\tvalue\trows"]
    for point in series.points:
        value = "" if point.value is None else repr(point.value)
        lines.append(f"{point.time.isoformat()}\t{value}\t{point.rows}")
    return "\n".join(lines)


def parse_range(text: str) -> tuple[datetime, datetime] | str:
    """Two moments in the zone of this terminal, or what is wrong with them.

    >>> start, end = parse_range("2026-03-01 2026-03-02 12:30")
    >>> str(end - start)
    '1 day, 12:30:00'
    >>> parse_range("2026-03-02 2026-03-01")
    'The second moment must lie after the first.'
    >>> parse_range("yesterday")
    'Write two moments, each as 2026-03-01 or 2026-03-01 12:30.'
    """
    moments: list[str] = []
    for word in text.split():
        if "-" not in word and moments:
            moments[-1] += f" {word}"
        else:
            moments.append(word)
    try:
        start, end = (datetime.fromisoformat(one).astimezone() for one in moments)
    except (ValueError, OverflowError):
        return "Write two moments, each as 2026-03-01 or 2026-03-01 12:30."
    if start >= end:
        return "The second moment must lie after the first."
    return start, end


def span_words(span: timedelta) -> str:
    """How much time a point stands for.

    >>> span_words(timedelta(hours=1)), span_words(timedelta(days=1))
    ('1 h', '1 d')
    """
    return age(span).removesuffix(" 00").removesuffix(" 0 h")
