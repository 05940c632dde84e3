"""The installer, with small folders of its own; test_installed_core.py installs the real one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tsconsole import installer
from tsconsole.database import Settings, connected
from tsconsole.errors import InstallError
from tsconsole.models import InstallPlan, SchemaState

pytestmark = pytest.mark.sql

V1 = """\
-- The first tables.
create schema tsconsole;
create table tsconsole.schema_history (
    installed_rank integer generated always as identity, file_name text primary key,
    checksum text, installed_at timestamptz not null default clock_timestamp(),
    installed_by text not null default current_user, execution_ms integer);
insert into tsconsole.schema_history (file_name) values ('V1__tables.sql');
"""
R_ANSWER = """\
-- One function.
-- It answers.
create or replace function tsconsole.answer() returns integer language sql as 'select 42 % 100';
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "V1__tables.sql").write_text(V1)
    (tmp_path / "R__10_answer.sql").write_text(R_ANSWER)
    return tmp_path


def install(dsn: str, folder: Path, **options: Any) -> InstallPlan:
    async def run() -> InstallPlan:
        async with connected(Settings(dsn)) as connection:
            return await installer.install(connection, folder=folder, **options)

    return asyncio.run(run())


def plan(dsn: str, folder: Path) -> InstallPlan:
    async def run() -> InstallPlan:
        async with connected(Settings(dsn)) as connection:
            return await installer.plan(connection, folder)

    return asyncio.run(run())


def history(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "select file_name, checksum, xmin::text, installed_at from tsconsole.schema_history"
            " order by installed_rank"
        ).fetchall()


def actions(done: InstallPlan) -> dict[str, str]:
    return {step.file_name: step.action for step in done.steps}


def test_order_is_v_by_number_then_r_by_name(tmp_path: Path) -> None:
    names = ["V10__z.sql", "V2__a.sql", "R__20_b.sql", "R__05_a.sql", "V1__x.sql"]
    for name in names:
        (tmp_path / name).write_text("-- Nothing.\n")
    assert [file.name for file in installer.core_files(tmp_path)] == [
        "V1__x.sql", "V2__a.sql", "V10__z.sql", "R__05_a.sql", "R__20_b.sql",
    ]  # fmt: skip


def test_a_title_is_the_comment_at_the_top(folder: Path) -> None:
    titles = [file.title for file in installer.core_files(folder)]
    assert titles == ["The first tables.", "One function. It answers."]


def test_a_file_with_another_name_is_refused(folder: Path) -> None:
    (folder / "tables.sql").write_text("select 1;")
    with pytest.raises(InstallError, match=r"tables\.sql is named neither V<number>__name\.sql"):
        installer.core_files(folder)


def test_install_applies_all_and_records_checksums(empty_database: str, folder: Path) -> None:
    assert plan(empty_database, folder).state is SchemaState.ABSENT
    seen: list[tuple[str, int, int]] = []
    done = install(
        empty_database, folder, on_step=lambda step, n, of: seen.append((step.file_name, n, of))
    )
    assert done.state is SchemaState.ABSENT
    assert seen == [("V1__tables.sql", 1, 2), ("R__10_answer.sql", 2, 2)]
    recorded = {name: checksum for name, checksum, *_ in history(empty_database)}
    assert recorded == {file.name: file.checksum for file in installer.core_files(folder)}
    assert plan(empty_database, folder).state is SchemaState.CURRENT


def test_again_changes_nothing(empty_database: str, folder: Path) -> None:
    install(empty_database, folder)
    before = history(empty_database)
    done = install(empty_database, folder)
    assert done.state is SchemaState.CURRENT and not done.pending
    assert history(empty_database) == before


def test_line_ends_are_no_change(empty_database: str, folder: Path) -> None:
    install(empty_database, folder)
    (folder / "V1__tables.sql").write_bytes(V1.replace("\n", "\r\n").encode())
    assert plan(empty_database, folder).state is SchemaState.CURRENT


def test_a_changed_v_file_is_refused(empty_database: str, folder: Path) -> None:
    install(empty_database, folder)
    before = history(empty_database)
    (folder / "V1__tables.sql").write_text(V1 + "create table tsconsole.more ();\n")
    with pytest.raises(InstallError, match=r"V1__tables\.sql was changed after it was installed"):
        install(empty_database, folder)
    assert history(empty_database) == before


def test_a_changed_r_file_is_applied_again(empty_database: str, folder: Path) -> None:
    install(empty_database, folder)
    (folder / "R__10_answer.sql").write_text(R_ANSWER.replace("42", "43"))
    assert plan(empty_database, folder).state is SchemaState.OLDER
    assert actions(install(empty_database, folder)) == {
        "V1__tables.sql": "keep",
        "R__10_answer.sql": "reapply",
    }
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select tsconsole.answer()").fetchone() == (43,)


def test_new_files_are_applied(empty_database: str, folder: Path) -> None:
    install(empty_database, folder)
    (folder / "V2__more.sql").write_text("create table tsconsole.more (id int);\n")
    done = install(empty_database, folder)
    assert actions(done)["V2__more.sql"] == "apply" and len(done.pending) == 1


def test_what_psql_applied_is_adopted(empty_database: str, folder: Path) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(V1)
        connection.execute(R_ANSWER)
    assert actions(install(empty_database, folder)) == {
        "V1__tables.sql": "adopt",
        "R__10_answer.sql": "apply",
    }
    assert all(checksum for _, checksum, *_ in history(empty_database))


def test_a_newer_core_is_left_alone(empty_database: str, folder: Path) -> None:
    (folder / "V2__more.sql").write_text("create table tsconsole.more (id int);\n")
    install(empty_database, folder)
    before = history(empty_database)
    (folder / "V2__more.sql").unlink()
    found = plan(empty_database, folder)
    assert found.state is SchemaState.NEWER and found.unknown_files == ("V2__more.sql",)
    with pytest.raises(InstallError, match=r"newer than this program: it has V2__more\.sql"):
        install(empty_database, folder)
    assert history(empty_database) == before


def test_an_error_names_file_and_line_and_undoes_all(empty_database: str, folder: Path) -> None:
    (folder / "R__20_wrong.sql").write_text("-- Wrong.\nselect 1;\nselect nothing from nowhere;\n")
    with pytest.raises(InstallError, match=r'R__20_wrong\.sql line 3: Relation "nowhere"'):
        install(empty_database, folder)
    assert plan(empty_database, folder).state is SchemaState.ABSENT


def test_two_installers_at_once(empty_database: str, folder: Path) -> None:
    (folder / "R__05_slow.sql").write_text("select pg_sleep(0.7);\n")
    results: list[InstallPlan] = []
    threads = [
        threading.Thread(target=lambda: results.append(install(empty_database, folder)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.state.value for done in results) == ["absent", "current"]
    assert len(history(empty_database)) == 3


def test_the_second_installer_sees_the_first_under_repeatable_read(
    empty_database: str, folder: Path
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"alter database {name} set default_transaction_isolation = 'repeatable read'"
        )
    test_two_installers_at_once(empty_database, folder)


def test_tables_of_another_program_are_not_touched(empty_database: str, folder: Path) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema silver")
        connection.execute("create table silver.timeseries_rollup_config (id int)")
    with pytest.raises(InstallError, match=r"silver\.timeseries_rollup_config that tsconsole did"):
        install(empty_database, folder)


def test_a_role_without_create_is_told_what_to_ask_for(
    empty_database: str, superuser_dsn: str, folder: Path
) -> None:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute('create role "no rights" login')
    try:
        dsn = psycopg.conninfo.make_conninfo(empty_database, user="no rights")
        with pytest.raises(InstallError, match="may not create schemas") as caught:
            install(dsn, folder)
        assert 'to "no rights";' in (caught.value.hint or "")
    finally:
        with psycopg.connect(superuser_dsn, autocommit=True) as connection:
            connection.execute('drop role "no rights"')


def test_an_old_server_is_refused(folder: Path) -> None:
    class Old:
        class info:
            server_version = 140012

    with pytest.raises(InstallError, match="This server is PostgreSQL 14; the core needs 15"):
        asyncio.run(installer.plan(Old(), folder))  # type: ignore[arg-type]


def test_printed_sql_installs_and_is_known(empty_database: str, folder: Path) -> None:
    script = installer.print_sql(folder)
    assert "-- V1__tables.sql: The first tables." in script
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(script)
        assert connection.execute("select tsconsole.answer()").fetchone() == (42,)
    done = install(empty_database, folder)
    assert done.state is SchemaState.CURRENT and not done.pending
