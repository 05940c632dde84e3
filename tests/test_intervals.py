"""Intervals as people write them."""

from __future__ import annotations

import doctest

import pytest

from tsconsole import intervals


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5m", "5 minutes"),
        ("1h30m", "1 hours 30 minutes"),
        ("1 h 30 min", "1 hours 30 minutes"),
        ("500ms", "500 milliseconds"),
        ("1mo", "1 months"),
        ("1mon", "1 months"),
        ("2w", "2 weeks"),
        ("-1h", "-1 hours"),
        ("1.5s", "1.5 seconds"),
        ("15 minutes", "15 minutes"),
        ("P1D", "P1D"),
        ("01:00:00", "01:00:00"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_short_spellings_are_postgresql_s(written: str, meant: str) -> None:
    assert intervals.interval_text(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5m", ["5m"]),
        ("1m, 1h,1d", ["1m", "1h", "1d"]),
        ("5m 1h 1d", ["5m", "1h", "1d"]),
        ("15 minutes 1 hour 1 mon", ["15 minutes", "1 hour", "1 mon"]),
        ("1h30m 1d12h", ["1h30m", "1d12h"]),
        ("1h 1h", ["1h", "1h"]),
        ("1 day 2 hours", ["1 day 2 hours"]),
        ("5m 01:00:00", ["5m 01:00:00"]),
        ("5 parsecs 1h", ["5 parsecs 1h"]),
        (" , ", []),
    ],
)
def test_a_unit_that_is_not_smaller_begins_the_next_interval(
    written: str, meant: list[str]
) -> None:
    assert intervals.interval_list(written) == meant


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("01:00:00", "1 h"),
        ("00:00:01", "1 s"),
        ("00:00:00.25", "250 ms"),
        ("1 day", "1 d"),
        ("7 days", "7 d"),
        ("1 mon", "1 mon"),
        ("3 mons", "3 mon"),
        ("1 year", "1 year"),
        ("1 day 12:30:00", "1 d 12 h 30 min"),
        ("00:00:00", "0 s"),
    ],
)
def test_postgresql_s_text_shortened(text: str, short: str) -> None:
    assert intervals.short_interval(text) == short


def test_examples() -> None:
    assert doctest.testmod(intervals).failed == 0
