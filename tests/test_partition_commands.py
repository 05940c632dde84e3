"""The subcommands about partitions, on a real database."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from support import CommandLine


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> CommandLine:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    return CommandLine(capsys, database)


@pytest.fixture
def parts(db: psycopg.Connection) -> psycopg.Connection:
    """A partitioned source with an hourly rollup that has not run yet."""
    db.execute(
        """
        create table raw.parts (ts timestamptz, v int) partition by range (ts);
        create table raw.p1 partition of raw.parts
            for values from ('2020-01-01Z') to ('2020-02-01Z');
        create table raw.p2 partition of raw.parts
            for values from ('2020-02-01Z') to ('2020-03-01Z');
        insert into raw.parts select '2020-01-01Z'::timestamptz + i * interval '1 hour', i
        from generate_series(0, 1200) i;
        select silver.create_rollup_table('raw.parts', 'parts', '1 hour');
        """
    )
    return db


def test_partitions(cli: CommandLine, parts: psycopg.Connection) -> None:
    shown = cli("partitions", "raw.parts")
    assert shown.code == 0 and "raw.p1" in shown.out and "2 partitions, " in shown.out, shown
    [newest] = json.loads(cli("partitions", "raw.parts", "--limit", "1", "--json").out)[
        "partitions"
    ]
    assert newest["partition_name"] == "raw.p2" and newest["state"] == "closed"
    assert cli("partitions", "raw.parts", "--limit", "0").code == 2
    missing = cli("partitions", "raw.nothing")
    assert missing.code == 2 and "raw.nothing" in missing.err


def test_retention(cli: CommandLine, parts: psycopg.Connection) -> None:
    shown = cli("retention")
    assert shown.code == 0 and "went" not in shown.out and "ever" in shown.out, shown
    set_it = cli("retention", "raw.parts", "--set", "30d", "--archive")
    assert set_it.code == 0 and "archive" in set_it.out, set_it
    dry = json.loads(cli("retention", "--dry-run", "--json").out)
    assert [one["action"] for one in dry["partitions"]] == ["keep", "keep"] and dry["dry_run"]
    assert "silver.parts still has to compute" in dry["partitions"][0]["reason"]
    cli("run")
    dry_text = cli("retention", "raw.parts", "--dry-run")
    assert "2 partitions would go" in dry_text.out and "raw.p1" in dry_text.out, dry_text
    done = cli("retention", "raw.parts")
    assert done.code == 0 and "2 partitions went" in done.out, done
    assert parts.execute("select to_regclass('raw_archive.p1') is not null").fetchone() == (True,)
    assert "0 partitions went" in cli("retention").out
    assert "ever" in cli("retention", "raw.parts", "--set", "never").out


def test_rebuild(cli: CommandLine, parts: psycopg.Connection) -> None:
    cli("run")
    assert "Every partition has" in cli("partitions", "silver.parts", "--rebuild", "--dry-run").out
    parts.execute("select silver.alter_rollup('silver.parts', chunk_interval := '7 days')")
    dry = cli("partitions", "silver.parts", "--rebuild", "--dry-run")
    assert dry.code == 0 and "split" in dry.out, dry
    assert len(json.loads(cli("partitions", "silver.parts", "--json").out)["partitions"]) == 2
    done = cli("partitions", "silver.parts", "--rebuild", "--json")
    steps = json.loads(done.out)["steps"]
    assert done.code == 0 and steps[-1]["outcome"] == "swapped", done
    assert len(json.loads(cli("partitions", "silver.parts", "--json").out)["partitions"]) > 7
    assert cli("verify", "silver.parts").code == 0


def test_bad_input(cli: CommandLine, parts: psycopg.Connection) -> None:
    for arguments, message in (
        (("retention", "--set", "1d"), "--set needs a table"),
        (("retention", "raw.parts", "--archive"), "--archive goes with --set"),
        (("retention", "raw.parts", "--set", "5m"), "shorter than what silver.parts needs"),
        (("retention", "raw.parts", "--set", "soon"), "soon"),
        (("retention", "raw.nothing"), "raw.nothing"),
        (("partitions", "raw.parts", "--dry-run"), "--dry-run goes with --rebuild"),
        (("partitions", "raw.parts", "--rebuild"), "raw.parts is not a rollup"),
    ):
        ended = cli(*arguments)
        assert ended.code == 2 and message in ended.err and "Traceback" not in ended.err, ended
