"""The filter of a pane: words that must be there, and words that must not."""

from __future__ import annotations


def passes(text: str, wanted: str) -> bool:
    """Whether a text has every word of the filter; a word after ! must be missing.

    >>> passes("gold.billing_1h ALERT division by zero", "gold !flows")
    True
    >>> passes("gold.billing_1h ALERT division by zero", "!zero")
    False
    """
    lowered = text.lower()
    for word in wanted.lower().split():
        if word.startswith("!") and len(word) > 1:
            if word[1:] in lowered:
                return False
        elif word not in lowered:
            return False
    return True


def hidden_words(hidden: int, reasons: list[str]) -> str:
    """How many rows are hidden, and by what; nothing when nothing could be.

    >>> hidden_words(12, ["filter “gold”"])
    '12 hidden by filter “gold”'
    """
    return f"{hidden} hidden by {' and '.join(reasons)}" if reasons else ""
