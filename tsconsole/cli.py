"""The command line: `tsconsole` opens the console, its subcommands do the same without a screen."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tsconsole import __version__
from tsconsole.commands.output import Output
from tsconsole.errors import TsconsoleError

INTERRUPTED = 130
BAD_INPUT = 2

_EPILOG = """\
Which server: --dsn, else the profile (--profile, or default_profile in config.toml), else
libpq's own environment (PGHOST, PGDATABASE, PGSERVICE, ~/.pgpass).
Exit codes: 0 well, 1 something is unhealthy, failed or differs, 2 bad input or no server.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets a ?, not a traceback.
            stream.reconfigure(errors="replace")
    arguments = parser().parse_args(argv)
    output = Output(as_json=getattr(arguments, "json", False))
    try:
        code = int(arguments.run(arguments, output))
        sys.stdout.flush()
        return code
    except TsconsoleError as error:
        output.error(error)
        return BAD_INPUT
    except (KeyboardInterrupt, asyncio.CancelledError):
        output.note("tsconsole: interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; without this Python would complain at its end once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Command:
    """What a subcommand runs. Its module is imported no sooner: the console starts without it."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, arguments: argparse.Namespace, output: Output) -> int:
        """Run it and return the exit code."""
        return int(self._function(arguments, output))

    @property
    def description(self) -> str:
        """What it does."""
        return (self._function.__doc__ or "").strip()

    @property
    def _function(self) -> Callable[[argparse.Namespace, Output], int]:
        found: Callable[[argparse.Namespace, Output], int]
        found = getattr(importlib.import_module(f"tsconsole.commands.{self._module}"), self._name)
        return found


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence and the place to read more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.command: Command | None = None
        # What begins with - and a digit is a value (the core says why -5m is none), no option.
        self._negative_number_matcher = re.compile(r"-\d.*")

    def format_help(self) -> str:
        """The help; what a command does is said where it is done."""
        if self.command is not None:
            self.description = self.command.description
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what a command does not know where its own help is named."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self.command is not None:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(BAD_INPUT, f"tsconsole: {message}.\n  hint: See `{self.prog} --help`.\n")


def parser() -> argparse.ArgumentParser:
    """Everything that the command line accepts."""
    shared = _global_options()
    top = Parser(
        prog="tsconsole",
        description="Exact rollups of time-series data in plain PostgreSQL. "
        "Without a command the console opens.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    top.add_argument("--version", action="version", version=f"tsconsole {__version__}")
    top.add_argument(
        "--record", type=Path, metavar="FILE", help="keep what the console shows, for `replay`"
    )
    top.set_defaults(run=Command("console", "console"))
    subcommands = top.add_subparsers(title="general", metavar="COMMAND", parser_class=Parser)

    for name, module, help_text, add_options in _COMMANDS:
        command = subcommands.add_parser(
            name,
            help=help_text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[shared],
        )
        command.command = Command(module, name)
        command.set_defaults(run=command.command)
        add_options(command)
    return top


def _global_options() -> Parser:
    """Options that stand before or after the command; a default would undo the one before."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group("global options")
    group.add_argument("--dsn", help="libpq connection string or URI")
    group.add_argument("--profile", help="a profile of the configuration file")
    group.add_argument("--config", type=Path, metavar="FILE", help="instead of config.toml")
    group.add_argument("--json", action="store_true", help="results as JSON on stdout")
    group.add_argument("--read-only", action="store_true", help="change nothing, whatever is asked")
    return shared


def _demo_options(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--data-dir", type=Path, metavar="FOLDER", help="where its server lives")
    demo.add_argument("--no-console", action="store_true", help="do it all, print a summary")
    demo.add_argument("--reset", action="store_true", help="start over with new data")
    demo.add_argument("--rows", type=_rows, metavar="N", help="simulated readings to begin with")
    demo.add_argument("--screenshot", type=Path, metavar="FILE", help="write an SVG and end")


def _install_options(install: argparse.ArgumentParser) -> None:
    install.add_argument("--print", action="store_true", help="print the SQL, connect to nothing")


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("table", nargs="?", help="a rollup, or a source for all that read it")


def _retry_options(retry: argparse.ArgumentParser) -> None:
    retry.add_argument("table", nargs="?", help="this one now; without it, all that are due")


def _maintain_options(maintain: argparse.ArgumentParser) -> None:
    maintain.add_argument("table", nargs="?", help="one rollup; without it, all")
    maintain.add_argument(
        "--task", action="append", metavar="TASK", help="only this one; again for each one"
    )
    maintain.add_argument("--list", action="store_true", help="show the tasks and when each is due")


def _advise_options(advise: argparse.ArgumentParser) -> None:
    advise.add_argument("table", help="a rollup, or the source of one")
    advise.add_argument("--apply", metavar="INDEX", help="build or drop this one of those named")


def _partitions_options(partitions: argparse.ArgumentParser) -> None:
    partitions.add_argument("table", help="a rollup, or any partitioned table")
    partitions.add_argument("--limit", type=int, default=1000, metavar="N", help="the newest N")
    partitions.add_argument(
        "--rebuild", action="store_true", help="split or merge them to the present chunk interval"
    )
    partitions.add_argument("--dry-run", action="store_true", help="with --rebuild: only say which")


def _retention_options(retention: argparse.ArgumentParser) -> None:
    retention.add_argument("table", nargs="?", help="a rollup or a source; without it, all")
    retention.add_argument("--dry-run", action="store_true", help="only say what would go")
    retention.add_argument(
        "--set", metavar="PERIOD", help="keep its rows so long, such as 90d; never: for ever"
    )
    retention.add_argument("--archive", action="store_true", help="with --set: archive, not drop")


def _verify_options(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("table", nargs="?", help="a rollup, or a source for all that read it")
    verify.add_argument("--from", dest="from_time", metavar="TIME", help="ISO time to begin at")
    verify.add_argument("--to", dest="to_time", metavar="TIME", help="ISO time to end before")
    verify.add_argument("--repair", action="store_true", help="queue what differs for the next run")


def _schedule_options(schedule: argparse.ArgumentParser) -> None:
    schedule.add_argument("--pg-cron", action="store_true", help="have pg_cron run what is due")
    schedule.add_argument("--remove", action="store_true", help="take our jobs out of pg_cron")
    schedule.add_argument("--cron-dsn", metavar="DSN", help="the database in which pg_cron lives")
    for name, help_text in _JOB_OPTIONS.items():
        schedule.add_argument("--" + name, metavar="INTERVAL", help=help_text)


_JOB_OPTIONS = {
    "rollups-every": "how often rollups run; by itself the shortest refresh interval",
    "retries-every": "how often failing rollups are looked at; 1m",
    "maintenance-every": "how often maintenance is looked at; 5m",
    "keep-details": "how long pg_cron's run details are kept; 7d",
}


def _worker_options(worker: argparse.ArgumentParser) -> None:
    worker.add_argument("--jobs", type=int, metavar="N", help="steps side by side; 2 by itself")
    worker.add_argument("--poll", type=float, metavar="SECONDS", help="how often to look")
    worker.add_argument("--name", help="what to call it in the list of workers")
    worker.add_argument(
        "--stop-within", type=float, metavar="SECONDS", help="how long steps may take to end"
    )
    worker.add_argument("--no-maintenance", action="store_true", help="steps only")


def _replay_options(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("file", type=Path, help="what --record made")


def _config_options(config: argparse.ArgumentParser) -> None:
    config.add_argument("what", choices=["check", "schema", "keys"], help="what to do")


def _no_options(command: argparse.ArgumentParser) -> None:
    """Those that all commands have are enough."""


def _create_options(create: argparse.ArgumentParser) -> None:
    create.add_argument("source", help="table to read, as schema.name")
    create.add_argument("target", help="table to make, as schema.name; a prefix with --ladder")
    create.add_argument("interval", nargs="?", help="width of a bucket, such as 5m, 1h, '1 day'")
    create.add_argument("--ladder", metavar="LIST", help="widths of a ladder, such as 1m,1h,1d")
    create.add_argument("--dry-run", action="store_true", help="print the SQL, check it, undo it")
    what = create.add_argument_group("what to roll up")
    what.add_argument("--time-column", metavar="COLUMN", help="found by itself when it is clear")
    what.add_argument("--dimension", action="append", metavar="COLUMN", help="again for each one")
    what.add_argument("--no-dimensions", action="store_true", help="group by time alone")
    what.add_argument(
        "--measure",
        action="append",
        metavar="COLUMN=AGGREGATES",
        help="such as temperature=min,max,last; again for each one",
    )
    what.add_argument(
        "--timezone", metavar="ZONE", help="of days and months, such as Europe/Berlin"
    )
    what.add_argument("--bucket-origin", metavar="TIME", help="a moment at which a bucket begins")
    how = create.add_argument_group("how to run it")
    for name, help_text in _INTERVAL_OPTIONS.items():
        how.add_argument("--" + name, metavar="INTERVAL", help=help_text)
    how.add_argument("--max-retries", type=int, metavar="N", help="before it waits for a person")
    how.add_argument("--change-tracking", metavar="HOW", help="auto, trigger or look_back")
    how.add_argument("--partition-manager", metavar="NAME", help="native or partman")
    how.add_argument("--paused", action="store_true", help="do not run it yet")


_INTERVAL_OPTIONS = {
    "look-back": "how far back the first run begins; from the first row without it",
    "allowed-lateness": "how old a new row may be without being late",
    "refresh-interval": "how often it is due",
    "processing-window": "the most that one step takes; learned without it",
    "chunk-interval": "width of the target's partitions",
    "retention": "how long its rows are kept; a list with --ladder, such as 7d,90d,never",
    "source-retention": "how long the source keeps its rows",
    "alert-threshold": "how far behind it may fall before that is an alert",
    "max-execution-time": "limit of one step",
}


def _rows(text: str) -> int:
    rows = int(text.replace("_", ""))
    if rows < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return rows


_COMMANDS: tuple[tuple[str, str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("demo", "general", "an embedded server with live rollups, and the console", _demo_options),
    ("install", "general", "install the SQL core, or bring it up to date", _install_options),
    ("status", "general", "every rollup with its health and the reason for it", _no_options),
    ("create", "general", "create a rollup or a ladder of rollups", _create_options),
    ("run", "general", "run rollups until nothing is left to do", _run_options),
    ("retry", "general", "try failing rollups again", _retry_options),
    (
        "maintain", "general", "partitions, retention, statistics, logs",
        _maintain_options,
    ),
    ("advise", "general", "indexes that would pay, and those in the way", _advise_options),
    (
        "partitions", "partitions", "the partitions of a table, with sizes",
        _partitions_options,
    ),
    (
        "retention", "partitions", "take away partitions that are too old",
        _retention_options,
    ),
    (
        "verify", "general", "compare rollups with GROUP BY over their sources",
        _verify_options,
    ),
    (
        "schedule", "schedule", "what is due and who runs it; pg_cron's jobs",
        _schedule_options,
    ),
    ("worker", "general", "run what is due until told to stop", _worker_options),
    ("replay", "console", "show a recording in the console", _replay_options),
    (
        "config", "configuration", "check config.toml; its schema; names for keys",
        _config_options,
    ),
    (
        "doctor", "general", "what the database offers, what will hurt, what to do",
        _no_options,
    ),
)  # fmt: skip
"""Every subcommand: its name, the module with the function of that name, a line of help, and what
adds its options."""
