"""The subcommands that open the console; little is imported here, for its start is waited for."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace

from tsconsole.actions import use_keys
from tsconsole.config import Config, load_config, settings_for
from tsconsole.errors import ArgumentError
from tsconsole.memory import default_path
from tsconsole.output import Output
from tsconsole.recorder import Recorder
from tsconsole.server_choice import configuration

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
    # What is imported stays: looking through it for garbage would make the start longer.
    gc.disable()
    from tsconsole.app import run_console

    gc.freeze()
    gc.enable()
    # Nearly all that the console throws away goes without a search; a search holds up keys.
    gc.set_threshold(*GARBAGE)
    choices = [settings_for(config, profile=name) for name in config.profiles]
    memory = default_path() if config.console.remember else None
    recorder = Recorder(arguments.record) if getattr(arguments, "record", None) else None
    return run_console(
        settings,
        config.console,
        read_only=getattr(arguments, "read_only", False),
        choices=choices,
        memory=memory,
        recorder=recorder,
    )


def replay(arguments: Namespace, output: Output) -> int:
    """Show a recording that `tsconsole --record FILE` made, in the same screens.

    [ and ] go one moment back and on, { and } a minute, < and > to the begin and the end.
    """
    from tsconsole.replay import Replay

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ArgumentError("A replay needs a terminal.")
    recording = Replay(arguments.file)
    config = load_config(getattr(arguments, "config", None))
    _before_textual(config)
    from tsconsole.replay_app import run_replay

    return run_replay(recording, config.console)


def _before_textual(config: Config) -> None:
    """Keys and frames a second: the screens and Textual read them while they are imported."""
    use_keys(config.keys)
    os.environ.setdefault("TEXTUAL_FPS", str(config.console.frames_per_second))
