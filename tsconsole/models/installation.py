"""The core in a database, compared with the core in this program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class SchemaState(Enum):
    """The core in a database, compared with the core in this program."""

    ABSENT = "absent"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True)
class InstallStep:
    """One file of the core and what an installation does with it.

    `apply` runs it for the first time, `reapply` runs it again because it changed, `adopt` only
    records it (it was run by psql), `keep` leaves it as it is.
    """

    file_name: str
    title: str
    checksum: str
    action: Literal["apply", "reapply", "adopt", "keep"]


@dataclass(frozen=True)
class InstallPlan:
    """What an installation would do to a database."""

    state: SchemaState
    steps: tuple[InstallStep, ...]
    unknown_files: tuple[str, ...] = ()
    """Files in the database's history that this program does not have: it is older."""

    @property
    def pending(self) -> tuple[InstallStep, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "keep")
