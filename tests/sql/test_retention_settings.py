"""set_retention refuses what rollups cannot live with, and says what would do."""

from __future__ import annotations

import psycopg
from sql.support import create, refuse, refuse_create
from sql.test_retention import retain, source

__all__ = ["source"]


def test_bad_input(source: psycopg.Connection) -> None:
    source.execute("create table raw.plain (ts timestamptz, v int)")
    create(source, "raw.plain", "p", "1 hour")
    create(source, "silver.r_1h", "r_1d", "1 day")
    call = "select silver.set_retention(%s, %s::interval, %s)"
    for arguments, state, message in (
        (["raw.readings", "1 day", "burn"], "TS001", "retention_action is 'burn'"),
        (["raw.readings", "1 day", None], "TS001", "retention_action is null"),
        (["raw.readings", "0", "drop"], "TS001", "retention_period is 00:00:00"),
        (["raw.readings", "10 seconds", "drop"], "TS001", "shorter than what silver.r_1m needs"),
        (["silver.r_1m", "30 seconds", "drop"], "TS001", "shorter than a bucket of 00:01:00"),
        (["silver.r_1m", "30 minutes", "drop"], "TS001", "shorter than what silver.r_1h needs"),
        (["silver.r_1h", "2 hours", "drop"], "TS001", "shorter than what silver.r_1d needs"),
        (["raw.plain", "1 year", "drop"], "TS004", "is not partitioned by range"),
        (["raw.day1", "1 year", "drop"], "TS002", "neither the target nor the source"),
    ):
        refuse(source, call, arguments, state, message)
    refuse(source, "select silver.apply_retention('raw.day1')", None, "TS002", "neither")
    retain(source, "silver.r_1m", "2 hours")
    retain(source, "raw.readings", "2 hours")
    for source_name in ("raw.readings", "silver.r_1m"):
        refuse_create(source, "TS001", "shorter than what this rollup needs",
                      source_table_name=source_name, rollup_interval="1 day")  # fmt: skip
    refuse_create(source, "TS001", "shorter than a bucket", retention_period="59 minutes")
    refuse_create(source, "TS001", "source_retention 00:59:00", source_retention="59 minutes")
    refuse(source, "select silver.alter_rollup('silver.r_1m', retention_period := '59 minutes')",
           None, "TS001", "shorter than what silver.r_1h needs")  # fmt: skip
