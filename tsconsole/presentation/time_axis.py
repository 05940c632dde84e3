"""What is complete and what is pending of a rollup, on a line that stands for time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.text import Text

from tsconsole.formatting import when
from tsconsole.models import PendingRange
from tsconsole.themes import Palette

DONE, AHEAD = "─", " "
GLYPHS = {"history": "░", "refill": "▒", "recompute": "█"}
"""The glyph of each kind of pending work; where several meet in one character, the last wins."""
WORDS = {"history": "history", "refill": "refill", "recompute": "late changes"}


def axis_line(
    pending: Sequence[PendingRange],
    begin: datetime,
    watermark: datetime,
    now: datetime,
    width: int,
) -> str:
    """Draw the time from `begin` to `now`: complete, pending, and above the watermark.

    >>> from datetime import timezone
    >>> day = [datetime(2026, 3, n, tzinfo=timezone.utc) for n in range(1, 11)]
    >>> late = [PendingRange("recompute", day[4], day[5])]
    >>> axis_line(late, day[0], day[8], day[9], 9)
    '────█─── '
    """
    span = (now - begin) / timedelta(seconds=1)
    if span <= 0 or width <= 0:
        return ""

    def place(moment: datetime) -> float:
        return (moment - begin) / timedelta(seconds=1) / span * width

    complete = min(max(round(place(watermark)), 0), width)
    line = list(DONE * complete + AHEAD * (width - complete))
    for work in GLYPHS:
        for one in pending:
            if one.work != work:
                continue
            start = place(max(one.range_start or begin, begin))
            end = place(min(one.range_end or now, now))
            first = min(max(int(start), 0), width - 1)
            # However short it is, it is seen.
            for position in range(first, min(max(first + 1, round(end)), width)):
                line[position] = GLYPHS[work]
    return "".join(line)


def axis_text(
    pending: Sequence[PendingRange],
    begin: datetime | None,
    watermark: datetime | None,
    now: datetime,
    width: int,
    colours: Palette,
) -> Text:
    """The line, the dates at its ends, and what its glyphs mean."""
    starts = [one.range_start for one in pending if one.range_start is not None]
    begin = min([*starts, *([begin] if begin is not None else [])], default=None)
    if begin is None or watermark is None or begin >= now:
        return Text("Nothing is rolled up yet.", style=colours.muted)
    text = Text(no_wrap=True)
    styles = {GLYPHS["recompute"]: colours.warning, GLYPHS["refill"]: colours.accent,
              GLYPHS["history"]: colours.accent, DONE: colours.muted}  # fmt: skip
    for character in axis_line(pending, begin, watermark, now, width):
        text.append(character, style=styles.get(character, ""))
    left, right = when(begin, now), "now"
    text.append(f"\n{left}{' ' * max(width - len(left) - len(right), 1)}{right}\n", colours.muted)
    kinds = [work for work in GLYPHS if any(one.work == work for one in pending)]
    if not kinds:
        text.append(f"complete up to the watermark, {when(watermark, now)}", style=colours.muted)
        return text
    for work in kinds:
        ranges = [one for one in pending if one.work == work]
        oldest = min((one.range_start for one in ranges if one.range_start), default=None)
        newest = max((one.range_end for one in ranges if one.range_end), default=None)
        text.append(f"{GLYPHS[work]} ", style=styles[GLYPHS[work]])
        count = f" in {len(ranges)} pieces" if len(ranges) > 1 else ""
        text.append(f"{WORDS[work]}: {when(oldest, now)} to {when(newest, now)}{count}\n")
    text.rstrip()
    return text
