"""What `tsconsole create` and `verify` were told, as the requests that the operations take."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tsconsole.config import WorkerConfig
from tsconsole.errors import ArgumentError
from tsconsole.intervals import interval_list, interval_text
from tsconsole.models import LadderRequest, RollupRequest
from tsconsole.worker.options import WorkerOptions


def creation_request(arguments: Namespace) -> RollupRequest | LadderRequest:
    """The rollup or the ladder that `tsconsole create` was asked for."""
    if (arguments.interval is None) == (arguments.ladder is None):
        raise ArgumentError(
            "Give either one interval or --ladder.",
            "For example: tsconsole create raw.readings silver.readings_5m 5m, or "
            "tsconsole create raw.readings silver.readings --ladder 1m,1h,1d",
        )
    options = _options(arguments)
    if arguments.ladder is None:
        return RollupRequest(
            target=arguments.target,
            rollup_interval=_width(arguments.interval),
            retention_period=_retention(arguments.retention),
            **options,
        )
    return LadderRequest(
        target_prefix=arguments.target,
        rollup_intervals=_ladder(arguments.ladder),
        retention_periods=_retentions(arguments.retention),
        **options,
    )


def worker_options(arguments: Namespace, config: WorkerConfig) -> WorkerOptions:
    """How `tsconsole worker` was asked to work; the configuration file says the rest."""
    poll = config.poll_interval if arguments.poll is None else arguments.poll
    jobs = config.jobs if arguments.jobs is None else arguments.jobs
    stop_within = config.stop_within if arguments.stop_within is None else arguments.stop_within
    if not 0.05 <= poll <= 3600:
        raise ArgumentError(f"--poll is {poll:g}; expected seconds from 0.05 to 3600.")
    if not 1 <= jobs <= 64:
        raise ArgumentError(f"--jobs is {jobs}; expected a whole number from 1 to 64.")
    if not 0 <= stop_within <= 86400:
        raise ArgumentError(f"--stop-within is {stop_within:g}; expected seconds from 0 to 86400.")
    options = WorkerOptions(
        poll_interval=poll,
        jobs=jobs,
        stop_within=stop_within,
        maintenance=config.maintenance and not arguments.no_maintenance,
    )
    return options if arguments.name is None else replace(options, name=arguments.name)


def moment(option: str, text: str | None) -> datetime | None:
    """A time from the command line; without a zone it is this machine's."""
    if text is None:
        return None
    try:
        # Python 3.10 does not know Z, nor an offset without minutes.
        written = re.sub(r"([+-]\d\d)$", r"\1:00", text.strip().replace("Z", "+00:00"))
        time = datetime.fromisoformat(written if ":" in written else text.strip())
        return time.astimezone()
    except (ValueError, OverflowError, OSError):
        raise ArgumentError(
            f"{option} is {text!r}, which is not a time.",
            "Write it as 2025-03-30, 2025-03-30T12:00 or 2025-03-30T12:00+02:00.",
        ) from None


def _options(arguments: Namespace) -> dict[str, Any]:
    if arguments.no_dimensions and arguments.dimension:
        raise ArgumentError("--dimension and --no-dimensions exclude each other.")
    return {
        "source": arguments.source,
        "look_back_window": _interval(arguments.look_back),
        "time_column": arguments.time_column,
        "dimensions": () if arguments.no_dimensions else arguments.dimension,
        "measures": _measures(arguments.measure),
        "timezone": arguments.timezone,
        "bucket_origin": arguments.bucket_origin,
        "allowed_lateness": _interval(arguments.allowed_lateness),
        "refresh_interval": _interval(arguments.refresh_interval),
        "processing_window": _interval(arguments.processing_window),
        "chunk_interval": _interval(arguments.chunk_interval),
        "source_retention": _interval(arguments.source_retention),
        "max_retries": arguments.max_retries,
        "alert_threshold": _interval(arguments.alert_threshold),
        "max_execution_time": _interval(arguments.max_execution_time),
        "change_tracking": arguments.change_tracking,
        "partition_manager": arguments.partition_manager,
        "is_active": False if arguments.paused else None,
    }


def _interval(text: str | None) -> str | None:
    return None if text is None else interval_text(text)


def _width(text: str) -> str:
    if len(several := interval_list(text)) > 1:
        raise ArgumentError(
            f"{text!r} is {len(several)} intervals; expected one, the width of a bucket.",
            f"A rollup of each, the next on the one before: --ladder {','.join(several)}",
        )
    return interval_text(text)


def _ladder(text: str) -> tuple[str, ...]:
    if not all(part.strip() for part in text.split(",")):
        raise ArgumentError(
            f"--ladder is {text!r}; expected intervals with commas between.",
            "For example: --ladder 1m,1h,1d",
        )
    return tuple(interval_text(rung) for rung in interval_list(text))


def _retentions(text: str | None) -> tuple[str | None, ...] | None:
    if text is None:
        return None
    return tuple(_retention(period) for period in text.split(","))


def _retention(text: str | None) -> str | None:
    """How long rows are kept; None for ever."""
    if text is None or text.strip().lower() in ("", "never", "forever"):
        return None
    return interval_text(text)


def _measures(texts: Sequence[str] | None) -> dict[str, tuple[str, ...]] | None:
    if texts is None:
        return None
    measures: dict[str, tuple[str, ...]] = {}
    for text in texts:
        # The column's name may have an = in it; the aggregates have none.
        column, sign, kinds = text.rpartition("=")
        aggregates = tuple(kind.strip() for kind in kinds.split(","))
        if not sign or not column or not all(aggregates):
            raise ArgumentError(
                f"--measure is {text!r}; expected a column, = and aggregates.",
                "For example: --measure temperature=min,max,last",
            )
        measures[column] = measures.get(column, ()) + aggregates
    return measures
