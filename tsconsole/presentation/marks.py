"""Marks on rows: what space and its like do to them, on the monitor and in every grid."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from tsconsole.actions.spoken_keys import spoken

Key = TypeVar("Key")


def all_marked(marked: frozenset[Key], shown: Collection[Key]) -> frozenset[Key]:
    """Mark every row that is shown too; when they are marked already, none of them.

    >>> sorted(all_marked(frozenset({1}), [2, 3])), sorted(all_marked(frozenset({1, 2, 3}), [2, 3]))
    ([1, 2, 3], [1])
    """
    here = frozenset(shown)
    return marked - here if here <= marked else marked | here


def marked_words(marked: frozenset[Key], shown: Collection[Key]) -> str:
    """How many are marked, as part of a title; empty where none is.

    >>> marked_words(frozenset({1, 2}), [2]), marked_words(frozenset(), [2])
    ('2 marked, 1 of them hidden', '')
    """
    unseen = len(marked - frozenset(shown))
    hidden = f", {unseen} of them hidden" if unseen else ""
    return f"{len(marked)} marked{hidden}" if marked else ""


def hidden_marks(count: int, noun: str) -> str:
    """Why nothing is done: a filter hides every row that is marked."""
    shows = spoken("{clear} shows them")
    return f"a filter hides the {count} marked {noun}; {shows}"
