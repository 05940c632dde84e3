"""Arguments of the command line that need reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timezone

import pytest

from tsconsole.cli import parser
from tsconsole.commands.arguments import creation_request, moment, worker_options
from tsconsole.config import WorkerConfig
from tsconsole.errors import ArgumentError
from tsconsole.models import LadderRequest, RollupRequest


def create(*arguments: str) -> RollupRequest | LadderRequest:
    return creation_request(parser().parse_args(["create", *arguments]))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2025-03-30", 23),
        ("2025-03-30 12:00", 10),
        ("2025-03-30T12:00:00", 10),
        ("2025-03-30T12:00Z", 12),
        ("2025-03-30T12:00+02", 10),
        ("2025-03-30T12:00-03:30", 15),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_times_without_a_zone_are_this_machine_s(text: str, hour: int) -> None:
    read = moment("--from", text)
    assert read is not None and read.astimezone(timezone.utc).hour == hour


@pytest.mark.parametrize("text", ["", "now", "2025-13-01", "12:00", "1"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"--to is .*, which is not a time"):
        moment("--to", text)


def test_a_rollup() -> None:
    request = create("raw.a", "silver.a", "5m", "--dimension", "x", "--dimension", "y")
    assert request == RollupRequest(
        source="raw.a", target="silver.a", rollup_interval="5 minutes", dimensions=["x", "y"]
    )


def test_a_ladder_with_retention_for_each_level() -> None:
    request = create("raw.a", "silver.a", "--ladder", "1m, 1h,1mon", "--retention", "7d,1y,never")
    assert isinstance(request, LadderRequest)
    assert request.rollup_intervals == ("1 minutes", "1 hours", "1 months")
    assert request.retention_periods == ("7 days", "1 years", None)


def test_widths_without_commas_are_a_ladder_and_never_one_odd_width() -> None:
    request = create("raw.a", "silver.a", "--ladder", "5m 1h 1d")
    assert isinstance(request, LadderRequest)
    assert request.rollup_intervals == ("5 minutes", "1 hours", "1 days")
    with pytest.raises(ArgumentError, match="is 2 intervals; expected one") as refused:
        create("raw.a", "silver.a", "5m 1h")
    assert "--ladder 5m,1h" in str(refused.value.hint)


def test_measures_of_columns_with_an_equals_sign() -> None:
    request = create("raw.a", "silver.a", "1h", "--measure", "a=b=min, max", "--measure", "c=last")
    assert request.measures == {"a=b": ("min", "max"), "c": ("last",)}


@pytest.mark.parametrize("text", ["a", "=min", "a=", "a=min,,max"])
def test_what_is_no_measure(text: str) -> None:
    with pytest.raises(ArgumentError, match="expected a column, = and aggregates"):
        create("raw.a", "silver.a", "1h", "--measure", text)


def test_no_dimensions_is_not_the_default() -> None:
    assert create("raw.a", "silver.a", "1h").dimensions is None
    assert create("raw.a", "silver.a", "1h", "--no-dimensions").dimensions == ()


def test_the_command_line_comes_before_the_settings_of_the_worker() -> None:
    config = WorkerConfig(poll_interval=3, jobs=5, stop_within=7, maintenance=False)
    asked = parser().parse_args(["worker"])
    options = worker_options(asked, config)
    assert (options.poll_interval, options.jobs, options.stop_within) == (3, 5, 7)
    assert not options.maintenance and worker_options(asked, WorkerConfig()).maintenance
    numbers = ["--poll", "1", "--jobs", "2", "--stop-within", "0"]
    asked = parser().parse_args(["worker", *numbers, "--no-maintenance", "--name", "night"])
    options = worker_options(asked, replace(config, maintenance=True))
    assert (options.poll_interval, options.jobs, options.stop_within) == (1, 2, 0)
    assert not options.maintenance and options.name == "night"
