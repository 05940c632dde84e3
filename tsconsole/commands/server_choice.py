"""Which server a command line means."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from tsconsole.config import Config, load_config, settings_for
from tsconsole.database import Settings


def configuration(arguments: Namespace) -> tuple[Config, Settings]:
    """The configuration, and the server that the global options mean."""
    config = load_config(getattr(arguments, "config", None))
    dsn, profile = getattr(arguments, "dsn", None), getattr(arguments, "profile", None)
    settings = settings_for(config, dsn, profile)
    if getattr(arguments, "read_only", False):
        settings = replace(settings, read_only=True)
    return config, settings


def settings_of(arguments: Namespace) -> Settings:
    """The server that the global options mean."""
    return configuration(arguments)[1]
