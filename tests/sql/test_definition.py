"""The statement that is shown creates the same rollup again, in every setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sql.support import column, create, make_readings, value

SETTINGS: dict[str, Any] = {
    "look_back_window": "3 days",
    "timezone": "Asia/Kolkata",
    "bucket_origin": "2025-01-02 03:00+00",
    "allowed_lateness": "00:01:30",
    "refresh_interval": "00:20:00",
    "processing_window": "06:00:00",
    "chunk_interval": "2 days",
    "retention_period": "2 years",
    "source_retention": "400 days",
    "max_retries": 3,
    "alert_threshold": "02:00:00",
    "max_execution_time": "00:10:00",
    "change_tracking": "none",
    "is_active": False,
    "retention_action": "archive",
}
"""One value for each setting that somebody can choose, other than the usual one."""

FOUND_OR_GIVEN = {"source_table", "target_table", "source_name", "target_name", "time_column",
                  "time_type", "rollup_interval", "partition_manager"}  # fmt: skip
"""What else a definition fixes; the manager has a test of its own, where pg_partman is."""

PROGRESS = {"id", "first_bucket", "history_from", "history_to", "last_processed_time",
            "last_refresh_time", "retained_from", "created_at", "created_by",
            "source_gone_before"}  # fmt: skip
"""What a rollup came to be, not what it was told."""


def config(db: psycopg.Connection, target: str) -> dict[str, Any]:
    """The configuration of a rollup, without what it is by its history."""
    row = value(
        db,
        "select to_jsonb(c) || jsonb_build_object("
        "'dimensions', tsconsole.dimension_arguments(c.id), "
        "'measures', tsconsole.measure_arguments(c.id)) from tsconsole.rollup(%s) c",
        [target],
    )
    row["retention_action"] = row["retention_action"] or "drop"
    return {name: found for name, found in row.items() if name not in PROGRESS | {"target_table"}}


def create_again(db: psycopg.Connection, target: str) -> None:
    """Drop a rollup and create it by the statement that was shown for it."""
    before = config(db, target)
    statement = value(db, "select create_statement from tsconsole.rollup_definition(%s)", [target])
    db.execute("select silver.drop_rollup(%s)", [target])
    db.execute(statement)
    assert config(db, target) == before


def test_every_setting_comes_back(db: psycopg.Connection) -> None:
    """A column that is new in the configuration must be said here to be a setting or not."""
    columns = column(
        db,
        "select attname::text from pg_attribute where attnum > 0 and not attisdropped "
        "and attrelid = 'silver.timeseries_rollup_config'::regclass",
    )
    assert set(columns) == SETTINGS.keys() | FOUND_OR_GIVEN | PROGRESS
    make_readings(db, 100)
    create(db, "raw.readings", "usual", "1 hour")
    given = {name: v for name, v in SETTINGS.items() if name != "retention_action"}
    create(db, "raw.readings", "r", "1 hour", dimensions=["device"], **given)
    db.execute("select silver.set_retention('silver.r', '2 years', 'archive')")
    usual, chosen = config(db, "silver.usual"), config(db, "silver.r")
    assert [name for name in SETTINGS if chosen[name] == usual[name]] == []
    create_again(db, "silver.r")
    create_again(db, "silver.usual")


@pytest.mark.parametrize("tracking", ["trigger", "look_back", "none"])
def test_tracking_and_the_levels_above(db: psycopg.Connection, tracking: str) -> None:
    make_readings(db, 100)
    create(db, "raw.readings", "a", "1 hour", change_tracking=tracking, look_back_window="1 day")
    create(db, "silver.a", "b", "1 day")
    create(db, "silver.a", "c", "1 day", change_tracking="none")
    for target in ("silver.b", "silver.c"):
        create_again(db, target)
    db.execute("select silver.drop_rollup('silver.b'), silver.drop_rollup('silver.c')")
    create_again(db, "silver.a")


def test_the_styles_of_the_session_do_not_matter(db: psycopg.Connection) -> None:
    """Copied from one session, it means the same in another."""
    make_readings(db, 100)
    create(db, "raw.readings", "r", "1 hour", bucket_origin="2025-02-03 00:00Z",
           processing_window="1 month 2 days", chunk_interval="1 month")  # fmt: skip
    shown = "select create_statement from tsconsole.rollup_definition('silver.r')"
    plain = value(db, shown)
    db.execute("set datestyle = 'SQL, DMY'")
    db.execute("set intervalstyle = 'sql_standard'")
    assert value(db, shown) == plain


def test_pg_partman_stays_the_manager(
    db: psycopg.Connection, require_extension: Callable[[psycopg.Connection, str], None]
) -> None:
    require_extension(db, "pg_partman")
    make_readings(db, 100)
    create(db, "raw.readings", "r", "1 hour", partition_manager="partman")
    create_again(db, "silver.r")
