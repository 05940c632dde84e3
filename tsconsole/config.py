"""config.toml as frozen dataclasses; an error names the file, the key and what was expected."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli
from psycopg.conninfo import make_conninfo

from tsconsole.actions.keymap import KEY_SCHEMA, check_keys, key_table
from tsconsole.config_rules import (
    DSN,
    SECONDS,
    SWITCH,
    TEXT,
    Problem,
    check_table,
    did_you_mean,
    expectations,
    is_dsn,
    number,
    one_of,
    setting,
    shown,
    table_schema,
    whole,
)
from tsconsole.database import Settings
from tsconsole.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """One server to connect to: a DSN, single parameters, or both (these win)."""

    name: str
    dsn: str | None = setting(DSN, "libpq connection string or URI")
    host: str | None = setting(TEXT, "host name, address, or folder of the socket")
    port: int | None = setting(whole(1, 65535), "port of the server")
    database: str | None = setting(TEXT, "name of the database")
    user: str | None = setting(TEXT, "role to connect as")
    service: str | None = setting(TEXT, "service of pg_service.conf")
    sslmode: str | None = setting(
        one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        "how much TLS has to prove",
    )
    passfile: str | None = setting(
        TEXT, "a file like ~/.pgpass; it is read for every new connection"
    )
    password_command: str | None = setting(
        TEXT, "a shell command that prints the password; it is run for every new connection"
    )
    connect_timeout: float | None = setting(SECONDS, "seconds that connecting may take")
    statement_timeout: float | None = setting(SECONDS, "seconds that one statement may take")
    read_only: bool = setting(SWITCH, "nothing can be changed on this server", False)


@dataclass(frozen=True)
class ConsoleConfig:
    """How the console looks and how often it asks."""

    refresh_interval: float = setting(
        number(0.2, 3600), "seconds between two looks at the server", 2.0
    )
    read_only: bool = setting(SWITCH, "nothing can be changed from this console", False)
    theme: str | None = setting(TEXT, "dark, light, or any other theme by name")
    error_limit: int = setting(whole(1, 10000), "newest entries of the error log to show", 100)
    remember: bool = setting(
        SWITCH, "keep last screen, filter and order of each profile for the next time", True
    )
    glyphs: str = setting(
        one_of("auto", "unicode", "ascii"), "characters to draw with; auto asks the locale", "auto"
    )
    mouse: bool = setting(
        SWITCH, "take clicks; without it the terminal itself selects text with the mouse", True
    )
    frames_per_second: int = setting(
        whole(1, 60), "most repaints in a second; fewer suit a slow line", 30
    )


@dataclass(frozen=True)
class WorkerConfig:
    """How `tsconsole worker` runs."""

    poll_interval: float = setting(
        number(0.05, 3600), "seconds between two questions of what is due", 1.0
    )
    jobs: int = setting(
        whole(1, 64), "steps side by side; of two or more, one is kept for new data", 2
    )
    stop_within: float = setting(
        number(0, 86400), "seconds that steps may take to end when the worker is told to stop", 60.0
    )
    maintenance: bool = setting(SWITCH, "run the tasks of maintenance that are due", True)


@dataclass(frozen=True)
class Config:
    """The whole configuration file."""

    path: Path | None = None
    default_profile: str | None = setting(
        TEXT, "the profile to use when neither --dsn nor --profile is given"
    )
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    keys: Mapping[str, str] = field(default_factory=dict)
    """Actions with keys of one's own, in Textual's spelling."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)


TABLES = ("console", "worker", "keys", "profiles")


def default_path() -> Path:
    """Where the configuration is looked for when nothing else is said."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "tsconsole" / "config.toml"


def load_config(path: Path | None = None) -> Config:
    """Read the configuration; without a path the default one, which need not exist."""
    wanted = path or default_path()
    try:
        content = wanted.read_bytes()
    except FileNotFoundError:
        if path is None:
            return Config()
        raise ConfigError(
            f"There is no configuration file {wanted}.", "Check --config, or leave it away."
        ) from None
    except OSError as error:
        raise ConfigError(f"Cannot read {wanted}: {error.strerror}.") from None
    return parse_config(content, wanted)


def read_table(content: bytes, path: Path) -> dict[str, Any]:
    """The TOML of a configuration file, unchecked."""
    try:
        return tomli.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except tomli.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.", "Texts need quotes; tables are [name]."
        ) from None


def parse_config(content: bytes, path: Path) -> Config:
    """Turn the content of a configuration file into a `Config`, or say what is wrong in it."""
    table = read_table(content, path)
    problems = find_problems(table, path)
    if problems:
        rest = len(problems) - 1
        more = f" {rest} more: see `tsconsole config check`." if rest else ""
        raise ConfigError(problems[0].message, f"{problems[0].hint or ''}{more}".strip() or None)
    profiles = {name: Profile(name, **entry) for name, entry in table.get("profiles", {}).items()}
    return Config(
        path,
        table.get("default_profile"),
        ConsoleConfig(**table.get("console", {})),
        WorkerConfig(**table.get("worker", {})),
        key_table(table.get("keys", {})),
        profiles,
    )


def find_problems(table: Mapping[str, Any], path: Path) -> list[Problem]:
    """Everything that is wrong in a configuration file, in the order of its tables."""
    where = str(path)
    top = {name: value for name, value in table.items() if name not in TABLES}
    known = expectations(Config) | dict.fromkeys(TABLES)
    found = [
        Problem(f"{where}: there is no key {name}.", did_you_mean(name, known))
        for name in top
        if name not in known
    ]
    found += check_table(where, "", {n: v for n, v in top.items() if n in known}, Config)
    for name, kind in (("console", ConsoleConfig), ("worker", WorkerConfig)):
        found += check_table(where, f"{name}.", table.get(name, {}), kind)
    found += check_keys(where, table.get("keys", {}))
    profiles = table.get("profiles", {})
    if not isinstance(profiles, dict):
        return [*found, Problem(f"{where}: profiles is {shown(profiles)}; expected a table.")]
    for name, entry in profiles.items():
        found += check_table(where, f"profiles.{name}.", entry, Profile)
    default = table.get("default_profile")
    if isinstance(default, str) and default and default not in profiles:
        message = f'{where}: default_profile is "{default}", and there is no table'
        hint = _known_profiles(default, profiles)
        found.append(Problem(f"{message} [profiles.{default}].", hint))
    return found


def json_schema() -> dict[str, Any]:
    """JSON schema of the file, for editors, from the same fields that it is checked with."""
    top = table_schema(Config)
    top["properties"] |= {
        "console": table_schema(ConsoleConfig),
        "worker": table_schema(WorkerConfig),
        "keys": KEY_SCHEMA,
        "profiles": {"type": "object", "additionalProperties": table_schema(Profile)},
    }
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "config.toml of tsconsole", **top}


def settings_for(
    config: Config, dsn: str | None = None, profile: str | None = None, option: str = "--dsn"
) -> Settings:
    """How to connect: the DSN, which the option gave, else the profile, else the environment."""
    if dsn is not None:
        if not is_dsn(dsn):
            raise ConfigError(
                f"{option} is not a DSN: {_hidden(dsn)}.",
                f"Expected {DSN.words}.",
            )
        return Settings(dsn=dsn, origin=option)
    name = profile or config.default_profile
    if name is None:
        return Settings(dsn="", origin="the environment (PGHOST, PGDATABASE, PGSERVICE, …)")
    if name not in config.profiles:
        where = config.path or default_path()
        raise ConfigError(
            f'There is no profile "{name}" in {where}.', _known_profiles(name, config.profiles)
        )
    settings = _settings(config.profiles[name])
    path = config.path
    if path is None:
        return settings
    return replace(settings, renew=lambda: _settings(load_config(path).profiles[name]))


def _settings(profile: Profile) -> Settings:
    parts = {
        "host": profile.host,
        "port": profile.port,
        "dbname": profile.database,
        "user": profile.user,
        "service": profile.service,
        "sslmode": profile.sslmode,
        "passfile": profile.passfile and str(Path(profile.passfile).expanduser()),
    }
    given = {name: value for name, value in parts.items() if value is not None}
    defaults = Settings()
    return Settings(
        dsn=make_conninfo(profile.dsn or "", **given),
        origin=f"profile {profile.name}",
        profile=profile.name,
        password_command=profile.password_command,
        connect_timeout=profile.connect_timeout or defaults.connect_timeout,
        statement_timeout=profile.statement_timeout,
        read_only=profile.read_only,
    )


def _known_profiles(name: str, profiles: Mapping[str, Profile]) -> str:
    close = difflib.get_close_matches(name, profiles, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return "Profiles there: " + (", ".join(profiles) or "none") + "."


def _hidden(dsn: str) -> str:
    """What was given as a DSN, unless a password may be in it."""
    return "(not shown, it has a password)" if "pass" in dsn or "@" in dsn else repr(dsn)
