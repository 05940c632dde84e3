"""Packages whose names come from modules that are imported when they are needed first.

The console is waited for while it starts, and needs a small part of what there is. Such a package
lists its names three times, each for a reason: its imports under TYPE_CHECKING are for mypy and
editors, `__all__` is what others may import, and the modules given to `names_of` are what Python
searches when it runs. A test asks for every name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names_of(package: str, modules: Sequence[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package: Python calls it for a name that the package has not yet.

    It imports these modules, given as seen from the package, one after the other until one has the
    name. No module may be called like a name of the package: imported, it would stand in its place.
    """

    def find(name: str) -> Any:
        # Python itself asks for names like __path__; those are in no module of ours.
        if not name.startswith("__"):
            for module in modules:
                found = getattr(import_module(module, package), name, None)
                if found is not None:
                    # The next time Python finds it by itself.
                    setattr(import_module(package), name, found)
                    return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
