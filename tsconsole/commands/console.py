"""The subcommands that open the console; little is imported here, for its start is waited for."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from argparse import Namespace
from dataclasses import replace

from tsconsole.actions.registry import use_keys
from tsconsole.commands.output import Output
from tsconsole.commands.server_choice import configuration
from tsconsole.config import Config, load_config, settings_for
from tsconsole.database import Settings
from tsconsole.errors import ArgumentError
from tsconsole.memory import default_path
from tsconsole.recording.recorder import Recorder

GARBAGE = (5000, 10, 10)
"""How many new objects make Python search for garbage: of the young, the older, and all."""


def console(arguments: Namespace, output: Output) -> int:
    """Open the console."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ArgumentError(
            "The console needs a terminal.", "For scripts there is `tsconsole status`."
        )
    config, settings = configuration(arguments)
    _before_textual(config)
    return asyncio.run(_open(arguments, config, settings))


async def _open(arguments: Namespace, config: Config, settings: Settings) -> int:
    """Connect and look while a thread imports Textual and the screens: that takes as long."""
    from tsconsole.start import Start

    # What is imported stays: looking through it for garbage would make the start longer.
    gc.disable()
    recorder = Recorder(arguments.record) if getattr(arguments, "record", None) else None
    is_read_only = getattr(arguments, "read_only", False) or config.console.read_only
    settings = replace(settings, read_only=settings.read_only or is_read_only)
    start = Start(settings, recorder)
    start.look(config.console.error_limit)
    app = await asyncio.to_thread(importlib.import_module, "tsconsole.app")
    gc.freeze()
    gc.enable()
    # Nearly all that the console throws away goes without a search; a search holds up keys.
    gc.set_threshold(*GARBAGE)
    code: int = await app.run_console_async(
        settings,
        config.console,
        read_only=getattr(arguments, "read_only", False),
        choices=[settings_for(config, profile=name) for name in config.profiles],
        memory=default_path() if config.console.remember else None,
        recorder=recorder,
        start=start,
    )
    return code


def replay(arguments: Namespace, output: Output) -> int:
    """Show a recording that `tsconsole --record FILE` made, in the same screens.

    [ and ] go one moment back and on, { and } a minute, < and > to the begin and the end.
    """
    from tsconsole.recording.replay import Replay

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ArgumentError("A replay needs a terminal.")
    recording = Replay(arguments.file)
    config = load_config(getattr(arguments, "config", None))
    _before_textual(config)
    from tsconsole.recording.replay_app import run_replay

    return run_replay(recording, config.console)


def _before_textual(config: Config) -> None:
    """Keys and frames a second: the screens and Textual read them while they are imported."""
    use_keys(config.keys)
    os.environ.setdefault("TEXTUAL_FPS", str(config.console.frames_per_second))
