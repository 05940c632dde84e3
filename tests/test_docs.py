"""The documents are true: their SQL runs, their links lead somewhere, nothing public is missing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

TABLE = """
create table raw.readings (
    ts timestamptz not null, device_id text not null, temperature double precision, state text
);
create index on raw.readings (ts);
"""

ROWS = """
insert into raw.readings
select now() - minute * interval '1 minute', 'device-' || minute % 3, minute % 40, 'ok'
from   generate_series(1, 5000) as minute
"""


def blocks(document: Path, language: str = "sql") -> list[str]:
    """The fenced blocks of a language; indented signatures are no fences."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_all(db: psycopg.Connection, statements: list[str]) -> Iterator[str]:
    for statement in statements:
        try:
            db.execute(statement.encode())
        except psycopg.Error as error:
            yield f"{error}\n{statement}"


@pytest.mark.sql
def test_sql_of_the_readme(db: psycopg.Connection) -> None:
    db.execute(TABLE)
    db.execute(ROWS)
    assert list(run_all(db, blocks(ROOT / "README.md"))) == []
    rolled_up = db.execute("select sum(rollup_count) from silver.readings_1h").fetchone()
    assert rolled_up is not None
    assert rolled_up[0] > 4800


@pytest.mark.sql
def test_sql_of_the_rollups_page(db: psycopg.Connection) -> None:
    db.execute(TABLE)
    db.execute(ROWS)
    statements = blocks(ROOT / "docs" / "rollups.md")
    assert list(run_all(db, [text for text in statements if text.startswith("select")])) == []


@pytest.mark.sql
def test_sql_of_the_reference(db: psycopg.Connection) -> None:
    statements = blocks(ROOT / "docs" / "sql-reference.md")
    assert statements[0].startswith("create table raw.readings")
    assert list(run_all(db, [statements[0], ROWS, *statements[1:]])) == []


@pytest.mark.sql
def test_reference_names_everything_public(db: psycopg.Connection) -> None:
    text = (ROOT / "docs" / "sql-reference.md").read_text(encoding="utf-8")
    public = db.execute(
        "select distinct p.proname from pg_proc p where p.pronamespace = 'silver'::regnamespace "
        "union select c.relname from pg_class c where c.relnamespace = 'silver'::regnamespace "
        "and c.relkind in ('r', 'v', 'p')"
    ).fetchall()
    internal = {"timeseries_rollup_config"}
    assert [name for (name,) in public if name not in text and name not in internal] == []


@pytest.fixture
def roles(db: psycopg.Connection, superuser_dsn: str) -> Iterator[dict[str, str]]:
    """The roles of the operations page, under new names: roles outlive a database."""
    suffix = uuid.uuid4().hex[:8]
    names = {role: f"{role}_{suffix}" for role in ("rollup_reader", "rollup_operator")}
    names["iot"] = db.info.user
    superuser = psycopg.connect(superuser_dsn, dbname=db.info.dbname, autocommit=True)
    with superuser:
        for block in blocks(ROOT / "docs" / "operations.md"):
            if "cron." in block:
                continue
            for name, new in names.items():
                block = re.sub(rf"\b{name}\b", new, block)
            for statement in block.split(";"):
                runner = db if "alter default" in statement else superuser
                runner.execute(statement.encode())
        yield names
        db.execute("reset role")
        for name in (names["rollup_reader"], names["rollup_operator"]):
            superuser.execute(f"drop owned by {name}")
            superuser.execute(f"drop role {name}")


@pytest.mark.sql
def test_roles_of_the_operations_page(
    db: psycopg.Connection, roles: dict[str, str], superuser_dsn: str
) -> None:
    db.execute(TABLE)
    db.execute(ROWS)
    db.execute(
        "select silver.create_rollup_table('raw.readings', 'readings_1h', '1 hour', "
        "dimensions => '{device_id}')"
    )
    with psycopg.connect(superuser_dsn, dbname=db.info.dbname, autocommit=True) as operator:
        operator.execute(f"set session authorization {roles['rollup_operator']}")
        operator.execute("call silver.run_rollups('silver.readings_1h')")
    with psycopg.connect(superuser_dsn, dbname=db.info.dbname, autocommit=True) as reader:
        reader.execute(f"set session authorization {roles['rollup_reader']}")
        check_reader(reader)


def check_reader(db: psycopg.Connection) -> None:
    """Everything there is to see, and nothing to change."""
    seen = db.execute("select health_status from silver.timeseries_operations_monitor").fetchall()
    assert seen == [("OK",)]
    for query in (
        "select count(*) > 0 from silver.readings_1h",
        "select count(*) > 0 from silver.timeseries_refresh_log",
        "select count(*) = 1 from silver.timeseries_schedule",
        "select count(*) = 8 from silver.timeseries_maintenance_tasks",
        "select count(*) = 0 from silver.timeseries_maintenance_log",
        "select count(*) = 0 from tsconsole.worker",
        "select count(*) > 0 from silver.step_costs('silver.readings_1h')",
        "select count(*) = 0 from silver.timeseries_retry_queue",
        "select count(*) > 0 from silver.get_partition_stats('silver.readings_1h')",
        "select count(*) = 1 from silver.get_detailed_stats('%')",
        "select fraction = 1 or fraction is null from silver.progress('silver.readings_1h')",
    ):
        assert db.execute(query.encode()).fetchone() == (True,), query
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute("select silver.pause_rollup('silver.readings_1h')")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = document.parent / name if name else document
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


def test_readme_gives_both_commands_as_one_line_each() -> None:
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8")[:1200]
    setup = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[{}]' && .venv/bin/{}\n"
    assert setup.format("demo", "tsconsole demo") in first_screen
    assert setup.format("test", "pytest") in first_screen
