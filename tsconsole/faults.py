"""A fault of the console itself: one line for people, the rest in a file for a report."""

from __future__ import annotations

import tempfile
import traceback


def confess(fault: BaseException) -> str:
    """Say what happened in one line, and keep the rest for a report."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="tsconsole-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as report:
        traceback.print_exception(fault, file=report)
    return (
        f"tsconsole: the console stopped because of a fault of its own "
        f"({type(fault).__name__}: {fault}).\nThe details are in {report.name}.\n"
    )
