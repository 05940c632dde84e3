"""Finding things by a few of their letters, as people type them in a palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_SEPARATORS = " ._-:/"


def fuzzy_score(wanted: str, text: str) -> int | None:
    """How well some letters match a text: more is better, None is not at all.

    Each word of what is wanted must be found, its letters in order. Letters that stand together or
    begin a word count more, and so does a short text.

    >>> fuzzy_score("bil", "gold.billing_1h") > fuzzy_score("bil", "silver.bananas_in_litres")
    True
    >>> fuzzy_score("xyz", "gold.billing_1h") is None
    True
    """
    total = 0
    lowered = text.lower()
    for word in wanted.lower().split():
        score = _word_score(word, lowered)
        if score is None:
            return None
        total += score
    return total * 4 - len(text) // 8


def best_matches(
    wanted: str,
    items: Iterable[T],
    name: Callable[[T], str],
    about: Callable[[T], str] = lambda _: "",
) -> list[T]:
    """The items that match, best first; all of them, as they come, when nothing is wanted.

    The letters have to be in the name; or else whole words in what is said about the item.

    >>> best_matches("ru", ["return", "trust", "run", "ladder"], str)
    ['run', 'trust', 'return']
    """
    if not wanted.strip():
        return list(items)
    found = []
    for item in items:
        score = fuzzy_score(wanted, name(item))
        if score is None and _has_words(wanted, f"{name(item)} {about(item)}"):
            score = -1000
        if score is not None:
            found.append((score, item))
    return [item for _, item in sorted(found, key=lambda pair: -pair[0])]


def _has_words(wanted: str, text: str) -> bool:
    lowered = text.lower()
    return all(word in lowered for word in wanted.lower().split())


def matched_letters(wanted: str, text: str) -> list[int]:
    """The positions of the letters that matched, to show them.

    >>> matched_letters("bl", "billing")
    [0, 2]
    """
    lowered = text.lower()
    positions: list[int] = []
    for word in wanted.lower().split():
        positions += _positions(word, lowered) or []
    return positions


def _word_score(word: str, text: str) -> int | None:
    positions = _positions(word, text)
    if positions is None:
        return None
    score = 0
    for order, position in enumerate(positions):
        score += 1
        if position == 0 or text[position - 1] in _SEPARATORS:
            score += 3
        if order and positions[order - 1] == position - 1:
            score += 4
    return score


def _positions(word: str, text: str) -> list[int] | None:
    """Where the letters of a word stand: together if they can, preferably where a word begins."""
    start = _run_start(word, text)
    if start >= 0:
        return list(range(start, start + len(word)))
    positions, at = [], -1
    for letter in word:
        at = text.find(letter, at + 1)
        if at < 0:
            return None
        positions.append(at)
    return positions


def _run_start(word: str, text: str) -> int:
    start = first = text.find(word)
    while start > 0 and text[start - 1] not in _SEPARATORS:
        start = text.find(word, start + 1)
    return start if start >= 0 else first
