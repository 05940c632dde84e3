"""Keys inside sentences: what is said about an action names the key that it has now.

A sentence is written with the action's name in braces, `{retry} tries again`, and `spoken` puts the
key in its place: the operator's own, where config.toml has one.
"""

from __future__ import annotations

import re

from tsconsole.actions.registry import ACTIONS, all_actions

_NAME = re.compile(r"\{([^{}]+)\}( {2,})?")
_WORDS = {"↵": "enter"}


def spoken(text: str) -> str:
    """The text with keys in place of the actions' names; columns of a table stay where they are.

    >>> spoken("{retry} tries again, {retry_all} what is due. {view('schedule')} says who runs it.")
    'y tries again, ctrl+y what is due. 7 says who runs it.'
    """

    def key(found: re.Match[str]) -> str:
        word = spoken_key(found[1])
        if word is None:
            return found[0]
        return word.ljust(len(found[0])) if found[2] else word

    return _NAME.sub(key, text)


def spoken_key(name: str) -> str | None:
    """The key of an action, as it is written in a sentence; None when there is no such action."""
    for action in all_actions():
        if action.name == name:
            key = action.keys.split(",")[0]
            return key if key.startswith("ctrl+") else _WORDS.get(action.key, action.key)
    return None


def key_of(name: str) -> str:
    """The key of an action, as short as in the footer."""
    return next(action.key for action in all_actions() if action.name == name)


def jump_key(number: int) -> str:
    """The key that goes to the pane or screen that this number does by default."""
    names = [action.name for action in ACTIONS if action.keys == str(number)]
    return (spoken_key(names[0]) if names else None) or str(number)
