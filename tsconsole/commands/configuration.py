"""`tsconsole config`: check the configuration file, print its schema or the names of actions."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from tsconsole.actions.registry import ACTIONS, with_keys
from tsconsole.commands.output import Output
from tsconsole.config import (
    Config,
    default_path,
    find_problems,
    json_schema,
    load_config,
    parse_config,
    read_table,
    settings_for,
)
from tsconsole.config_rules import Problem
from tsconsole.errors import ConfigError


def config(arguments: Namespace, output: Output) -> int:
    """Check the configuration file, or print its JSON schema, or the names of actions.

    `check` says everything that is wrong, and which server each profile leads to; it connects to
    nothing. `schema` is for editors. `keys` lists the actions by name, with the keys they have.
    """
    given: Path | None = getattr(arguments, "config", None)
    if arguments.what == "schema":
        output.text(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return 0
    if arguments.what == "keys":
        return _keys(load_config(given), output)
    return _check(given or default_path(), given is None, output)


def _check(path: Path, may_be_missing: bool, output: Output) -> int:
    if may_be_missing and not path.exists():
        return _report(path, [], None, output, "does not exist; every setting has its default")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.", "Check --config.") from None
    problems = find_problems(read_table(content, path), path)
    if problems:
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        return _report(path, problems, None, output, count)
    return _report(path, [], parse_config(content, path), output, "right")


def _report(
    path: Path, problems: list[Problem], found: Config | None, output: Output, verdict: str
) -> int:
    profiles = {n: settings_for(found, profile=n).target for n in found.profiles} if found else {}
    if output.as_json:
        output.result({"path": str(path), "problems": problems, "profiles": profiles})
        return 2 if problems else 0
    for problem in problems:
        output.line(problem.message)
        if problem.hint:
            output.line(f"  hint: {problem.hint}")
    output.line(f"{path}: {verdict}")
    for name, target in profiles.items():
        output.line(f"  profile {name}: {target}")
    return 2 if problems else 0


def _keys(found: Config, output: Output) -> int:
    actions = [with_keys(action, found.keys) for action in ACTIONS]
    if output.as_json:
        output.result({a.name: {"keys": a.keys, "meaning": a.meaning} for a in actions})
        return 0
    for action in actions:
        output.line(f"{action.name:18} {action.keys.replace(',', ' '):22} {action.meaning}")
    return 0
