"""Packages that import their modules when a name of theirs is asked for first.

The console is waited for while it starts, and needs a small part of what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names_of(package: str, modules: Sequence[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package: looks a name up in these modules, given as
    seen from the package, and imports them in this order."""

    def find(name: str) -> Any:
        for module in () if name.startswith("__") else modules:
            found = getattr(import_module(module, package), name, None)
            if found is not None:
                setattr(import_module(package), name, found)
                return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
