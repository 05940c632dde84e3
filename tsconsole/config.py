"""config.toml as frozen dataclasses; an error names the file, the key and what was expected."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tsconsole.database import Settings
from tsconsole.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """One server to connect to: a DSN, single parameters, or both (these win)."""

    name: str
    dsn: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    user: str | None = None
    service: str | None = None
    sslmode: str | None = None
    passfile: str | None = None
    """A file like ~/.pgpass; libpq reads it for every new connection."""
    password_command: str | None = None
    """A shell command that prints the password, run for every new connection (IAM tokens)."""
    connect_timeout: float | None = None
    statement_timeout: float | None = None
    read_only: bool = False


@dataclass(frozen=True)
class ConsoleConfig:
    """How the console looks and how often it asks."""

    refresh_interval: float = 2.0
    read_only: bool = False
    theme: str | None = None
    error_limit: int = 100
    remember: bool = True
    """Whether last screen, filter and order of each profile are kept for the next time."""


@dataclass(frozen=True)
class WorkerConfig:
    """How `tsconsole worker` runs."""

    poll_interval: float = 1.0


@dataclass(frozen=True)
class Config:
    """The whole configuration file."""

    path: Path | None = None
    default_profile: str | None = None
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    profiles: Mapping[str, Profile] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What a key's value must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _number(low: float, high: float, words: str) -> Expected:
    def holds(value: Any) -> bool:
        return (
            isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        )

    return Expected(words, holds)


def _whole(low: int, high: int, words: str) -> Expected:
    def holds(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Expected(words, holds)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_dsn(value: Any) -> bool:
    try:
        return _is_text(value) and bool(conninfo_to_dict(value))
    except ProgrammingError:
        return False


TEXT = Expected("a text in quotes", _is_text)
SWITCH = Expected("true or false", lambda value: isinstance(value, bool))
TABLE = Expected("a table", lambda value: isinstance(value, dict))
SECONDS = _number(0.001, 86400, "a number of seconds above 0, at most 86400")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

TOP_KEYS = {"default_profile": TEXT, "console": TABLE, "worker": TABLE, "profiles": TABLE}
CONSOLE_KEYS = {
    "refresh_interval": _number(0.2, 3600, "a number of seconds from 0.2 to 3600"),
    "read_only": SWITCH,
    "theme": TEXT,
    "remember": SWITCH,
    "error_limit": _whole(1, 10000, "a whole number from 1 to 10000"),
}
WORKER_KEYS = {"poll_interval": _number(0.05, 3600, "a number of seconds from 0.05 to 3600")}
PROFILE_KEYS = {
    "dsn": Expected('a libpq DSN, such as "host=db dbname=iot" or "postgresql://db/iot"', _is_dsn),
    "host": TEXT,
    "port": _whole(1, 65535, "a whole number from 1 to 65535"),
    "database": TEXT,
    "user": TEXT,
    "service": TEXT,
    "sslmode": Expected("one of " + ", ".join(_SSL_MODES), lambda value: value in _SSL_MODES),
    "passfile": TEXT,
    "password_command": TEXT,
    "connect_timeout": SECONDS,
    "statement_timeout": SECONDS,
    "read_only": SWITCH,
}


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


def parse_config(content: bytes, path: Path) -> Config:
    """Turn the content of a configuration file into a `Config`, or say what is wrong in it."""
    try:
        table = tomli.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except tomli.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.", "Texts need quotes; tables are [name]."
        ) from None
    _check(path, "", table, TOP_KEYS)
    console, worker = table.get("console", {}), table.get("worker", {})
    _check(path, "console.", console, CONSOLE_KEYS)
    _check(path, "worker.", worker, WORKER_KEYS)
    profiles = {
        name: _profile(path, name, entry) for name, entry in table.get("profiles", {}).items()
    }
    default = table.get("default_profile")
    if default is not None and default not in profiles:
        raise ConfigError(
            f'{path}: default_profile is "{default}", and there is no table [profiles.{default}].',
            _known_profiles(default, profiles),
        )
    return Config(path, default, ConsoleConfig(**console), WorkerConfig(**worker), profiles)


def settings_for(
    config: Config, dsn: str | None = None, profile: str | None = None, option: str = "--dsn"
) -> Settings:
    """How to connect: the DSN, which the option gave, else the profile, else the environment."""
    if dsn is not None:
        if not _is_dsn(dsn):
            raise ConfigError(
                f"{option} is not a DSN: {_hidden(dsn)}.",
                f"Expected {PROFILE_KEYS['dsn'].words}.",
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


def _profile(path: Path, name: str, entry: Any) -> Profile:
    if not isinstance(entry, dict):
        raise ConfigError(f"{path}: profiles.{name} is {_shown(entry)}; expected a table.")
    _check(path, f"profiles.{name}.", entry, PROFILE_KEYS)
    return Profile(name=name, **entry)


def _check(path: Path, prefix: str, table: Any, keys: Mapping[str, Expected]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise ConfigError(f"{path}: there is no key {prefix}{key}.", _known_keys(key, keys))
        if not keys[key].holds(value):
            shown = "not one" if key == "dsn" else _shown(value)
            raise ConfigError(f"{path}: {prefix}{key} is {shown}; expected {keys[key].words}.")


def _known_keys(key: str, keys: Mapping[str, Expected]) -> str:
    close = difflib.get_close_matches(key, keys, n=1)
    return f"Did you mean {close[0]}?" if close else "Known keys: " + ", ".join(keys) + "."


def _known_profiles(name: str, profiles: Mapping[str, Profile]) -> str:
    close = difflib.get_close_matches(name, profiles, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return "Profiles there: " + (", ".join(profiles) or "none") + "."


def _shown(value: Any) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 60 else text[:57] + "…"


def _hidden(dsn: str) -> str:
    """What was given as a DSN, unless a password may be in it."""
    return "(not shown, it has a password)" if "pass" in dsn or "@" in dsn else repr(dsn)
