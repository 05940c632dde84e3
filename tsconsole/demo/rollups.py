"""The demo's rollups: two ladders, and one for each state that a healthy one never shows."""

from __future__ import annotations

from dataclasses import dataclass

from tsconsole import operations
from tsconsole.demo.feed import LATENESS
from tsconsole.demo.sources import Connection
from tsconsole.models import Health, LadderRequest, RollupRequest

_MINIMUM_MAXIMUM_AVERAGE = ("min", "max", "avg")

LADDERS = (
    LadderRequest(
        source="raw.sensor_readings",
        target_prefix="silver.sensor_readings",
        rollup_intervals=("1 minute", "1 hour", "1 day"),
        retention_periods=("30 days", "1 year", None),
        dimensions=("site", "device_id"),
        measures={
            "temperature": _MINIMUM_MAXIMUM_AVERAGE,
            "humidity": _MINIMUM_MAXIMUM_AVERAGE,
            "battery_mv": _MINIMUM_MAXIMUM_AVERAGE,
            "power_w": _MINIMUM_MAXIMUM_AVERAGE,
        },
        allowed_lateness=LATENESS,
    ),
    LadderRequest(
        source="raw.host_metrics",
        target_prefix="silver.host_metrics",
        rollup_intervals=("10 seconds", "1 minute", "1 hour"),
        retention_periods=("7 days", "90 days", None),
        dimensions=("metric", "device"),
        allowed_lateness="5 seconds",
    ),
)

STATES = RollupRequest(
    source="raw.sensor_readings",
    target="silver.sensor_states_15m",
    rollup_interval="15 minutes",
    dimensions=("site",),
    measures={"state": ("mode",)},
    allowed_lateness=LATENESS,
)

FAILING = RollupRequest(
    source="raw.sensor_currents",
    target="silver.failing_on_purpose_1m",
    rollup_interval="1 minute",
    look_back_window="10 minutes",
    dimensions=("site",),
    max_retries=1,
    allowed_lateness=LATENESS,
)

RETRYING = RollupRequest(
    source="raw.sensor_currents",
    target="silver.retrying_on_purpose_5m",
    rollup_interval="5 minutes",
    look_back_window="30 minutes",
    dimensions=("site",),
    max_retries=20,
    allowed_lateness=LATENESS,
)

PAUSED = RollupRequest(
    source="raw.sensor_readings",
    target="silver.paused_on_purpose_1h",
    rollup_interval="1 hour",
    dimensions=("site",),
    measures={"power_w": _MINIMUM_MAXIMUM_AVERAGE},
    allowed_lateness=LATENESS,
    is_active=False,
)

SINGLE = (STATES, FAILING, RETRYING, PAUSED)


@dataclass(frozen=True)
class Expectation:
    """The health that a rollup of the demo has when everything works."""

    healthy: tuple[Health, ...]
    is_on_purpose: bool


_EXPECTED = {
    FAILING.target: Expectation(("ALERT",), True),
    RETRYING.target: Expectation(("WARNING", "RUNNING"), True),
    PAUSED.target: Expectation(("PAUSED",), True),
}


def expectation(target: str) -> Expectation:
    """What health to expect of a target; rollups that a user added should be well."""
    return _EXPECTED.get(target, Expectation(("OK", "RUNNING"), False))


async def create_rollups(connection: Connection) -> None:
    """Create the demo's rollups where they are missing; a user's own are left alone."""
    existing = set(await operations.targets_of(connection))
    for ladder in LADDERS:
        if not any(target.startswith(f"{ladder.target_prefix}_") for target in existing):
            await operations.create_ladder(connection, ladder)
    for request in SINGLE:
        if request.target not in existing:
            await operations.create_rollup(connection, request)
