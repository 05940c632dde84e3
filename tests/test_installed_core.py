"""The real core: installed by the installer, by psql, and by the printed script, it is the same."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import psycopg
import pytest
from support import find_psql

from tsconsole import installer
from tsconsole.database import Settings, connected
from tsconsole.models import InstallPlan, SchemaState

pytestmark = pytest.mark.sql

SCHEMAS = "(select oid from pg_namespace where nspname in ('raw', 'silver', 'gold', 'tsconsole'))"

# Everything that a file of the core can make, as text without oids.
CATALOGS = {
    "schemas": "select nspname, nspacl::text, obj_description(oid) from pg_namespace"
    f" where oid in {SCHEMAS}",
    "relations": "select oid::regclass::text, relkind, relpersistence, reloptions,"
    f" relacl::text, obj_description(oid) from pg_class where relnamespace in {SCHEMAS}",
    "columns": "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod),"
    " attnotnull, attidentity, attgenerated, col_description(attrelid, attnum),"
    " pg_get_expr(d.adbin, d.adrelid) from pg_attribute as a join pg_class as c on c.oid = attrelid"
    " left join pg_attrdef as d on d.adrelid = attrelid and d.adnum = attnum"
    f" where relnamespace in {SCHEMAS} and attnum > 0 and not attisdropped",
    "constraints": "select conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    f" from pg_constraint where connamespace in {SCHEMAS}",
    "indexes": "select indexdef from pg_indexes where schemaname = any(array{names})",
    "views": "select c.oid::regclass::text, pg_get_viewdef(c.oid) from pg_class as c"
    f" where relkind = 'v' and relnamespace in {SCHEMAS}",
    "types": "select oid::regtype::text, typtype, typcategory from pg_type"
    f" where typnamespace in {SCHEMAS}",
    "functions": "select p.oid::regprocedure::text, prokind, provolatile, proparallel, prosecdef,"
    " proleakproof, proisstrict, procost, prorows, proconfig, proacl::text, prosrc,"
    " pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),"
    " pg_get_function_sqlbody(p.oid), l.lanname, obj_description(p.oid)"
    f" from pg_proc as p join pg_language as l on l.oid = prolang where pronamespace in {SCHEMAS}",
    "aggregates": "select aggfnoid::regprocedure::text, aggtransfn::text, aggfinalfn::text,"
    " aggcombinefn::text, aggtranstype::regtype::text, agginitval from pg_aggregate as a"
    f" join pg_proc as p on p.oid = aggfnoid where pronamespace in {SCHEMAS}",
    "triggers": "select pg_get_triggerdef(t.oid) from pg_trigger as t join pg_class as c"
    f" on c.oid = tgrelid where relnamespace in {SCHEMAS} and not tgisinternal",
    "operators": f"select oprname, oprcode::text from pg_operator where oprnamespace in {SCHEMAS}",
    "files": "select file_name from tsconsole.schema_history where file_name like 'V%'",
}


def catalogs(dsn: str) -> dict[str, list[str]]:
    names = "['raw', 'silver', 'gold', 'tsconsole']"
    with psycopg.connect(dsn) as connection:
        return {
            what: sorted(map(repr, connection.execute(query.replace("{names}", names)).fetchall()))
            for what, query in CATALOGS.items()
        }


def run_psql(server: Any, dsn: str, *arguments: str, text: str | None = None) -> None:
    command = [
        str(find_psql(server.bin_folder)),
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        *arguments,
        dsn,
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr


def plan(dsn: str, and_install: bool = False) -> InstallPlan:
    async def run() -> InstallPlan:
        async with connected(Settings(dsn)) as connection:
            if and_install:
                return await installer.install(connection)
            return await installer.plan(connection)

    return asyncio.run(run())


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[Any]:
    return [
        (what, sorted(set(one[what]) ^ set(other[what])))
        for what in one
        if one[what] != other[what]
    ]


def test_psql_and_the_installer_give_the_same(
    server: Any, database: str, empty_database: str
) -> None:
    for file in installer.core_files():
        run_psql(server, empty_database, "-f", str(installer.SQL_FOLDER / file.name))
    assert differences(catalogs(database), catalogs(empty_database)) == []
    adopted = plan(empty_database, and_install=True)
    assert {step.action for step in adopted.steps if step.file_name[0] == "V"} == {"adopt"}
    assert plan(empty_database).state is SchemaState.CURRENT
    assert differences(catalogs(database), catalogs(empty_database)) == []


def test_the_printed_script_and_the_installer_give_the_same(
    server: Any, database: str, empty_database: str
) -> None:
    run_psql(server, empty_database, "-f", "-", text=installer.print_sql())
    assert differences(catalogs(database), catalogs(empty_database)) == []
    assert plan(empty_database).state is SchemaState.CURRENT


def test_r_files_can_be_applied_again(server: Any, database: str) -> None:
    before = catalogs(database)
    for file in installer.core_files():
        if file.number is None:
            run_psql(server, database, "-1", "-f", str(installer.SQL_FOLDER / file.name))
    assert differences(before, catalogs(database)) == []


def test_files_have_no_psql_commands_and_no_transactions_of_their_own() -> None:
    for file in installer.core_files():
        lines = [line.strip().lower() for line in file.text.splitlines()]
        assert not [line for line in lines if line.startswith("\\")], file.name
        outside = [line for line in file.text.splitlines() if line in ("begin;", "commit;")]
        assert not outside, file.name
        assert file.title, f"{file.name} does not say what it does"


def test_every_object_has_a_comment(db: psycopg.Connection) -> None:
    silent = db.execute(
        f"""
        select p.oid::regprocedure::text from pg_proc as p
         where pronamespace in {SCHEMAS} and obj_description(p.oid, 'pg_proc') is null
         union all
        select c.oid::regclass::text from pg_class as c
         where relnamespace in {SCHEMAS} and relkind in ('r', 'p', 'v', 'm')
           and obj_description(c.oid, 'pg_class') is null
        """.encode()
    ).fetchall()
    assert not silent


def test_every_function_pins_its_search_path(db: psycopg.Connection) -> None:
    """Except SQL-standard bodies, which are bound at creation, procedures, which commit, and what
    first_value and last_value call for every row, which would take twice as long; visible_table
    is there to read the caller's path."""
    unpinned = db.execute(
        f"""
        select p.oid::regprocedure::text from pg_proc as p
         where pronamespace in {SCHEMAS} and prokind = 'f' and prosqlbody is null
           and proname !~ '^((first|last)_value_step|timed_value(_result)?|(earlier|later)_value)$'
           and proname <> 'visible_table'
           and not exists (select from unnest(proconfig) as setting
                            where setting = 'search_path=pg_catalog, pg_temp')
        """.encode()
    ).fetchall()
    assert not unpinned
