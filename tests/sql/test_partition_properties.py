"""What a new partition is called, who owns it, and what it takes over from its target."""

from __future__ import annotations

import random

import pytest
from psycopg import sql
from sql.partition_support import Connection, at, ensure, make_rollup


@pytest.mark.parametrize(
    "target",
    ['we"ird.name; drop table x', "x" * 63, "ü" * 31, "CamelCase", "Ж" * 20 + "-" * 20],
)
def test_names_of_partitions(db: Connection, target: str) -> None:
    """Hostile and long names are just names; partitions get names of their own within 63 bytes."""
    rollup = make_rollup(db, target=f'"{target.replace(chr(34), chr(34) * 2)}"')
    assert ensure(db, rollup, at(1), at(4)) == 3
    db.execute("update silver.timeseries_rollup_config set chunk_interval = '1 hour'")
    assert ensure(db, rollup, at(4, 1), at(4, 3)) == 2
    names = [
        row[0]
        for row in db.execute(
            "select c.relname from silver.timeseries_rollup_config r"
            " cross join tsconsole.partitions(r.target_table) p"
            " join pg_class c on c.oid = p.partition order by p.range_start"
        ).fetchall()
    ]
    assert len(set(names)) == 5
    assert all(len(name.encode()) <= 63 for name in names)
    assert [name.rsplit("_p", 1)[1] for name in names] == [
        "20260301",
        "20260302",
        "20260303",
        "202603040100",
        "202603040200",
    ]


def test_name_that_is_taken(db: Connection) -> None:
    """A table that happens to have the partition's name is left alone."""
    rollup = make_rollup(db)
    db.execute("create table silver.m_1h_p20260301 (mine int)")
    db.execute("create index m_1h_p20260301_2 on silver.m_1h_p20260301 (mine)")
    assert ensure(db, rollup, at(1), at(2)) == 1
    [[name]] = db.execute(
        "select partition::text from tsconsole.partitions('silver.m_1h')"
    ).fetchall()
    assert name == "silver.m_1h_p20260301_3"
    assert ensure(db, rollup, at(1), at(2)) == 0


def test_partitions_take_after_the_target(db: Connection) -> None:
    """Owner, storage options, statistics targets, constraints, defaults and indexes."""
    rollup = make_rollup(db)
    ensure(db, rollup, at(1), at(2))
    db.execute(
        """
        alter table silver.m_1h_p20260301 set (fillfactor = 70, autovacuum_enabled = off);
        alter table silver.m_1h alter column device set statistics 500;
        alter table silver.m_1h alter column rollup_count set default 7;
        alter table silver.m_1h add constraint positive check (rollup_count > 0);
        create index on silver.m_1h (device);
        """
    )
    ensure(db, rollup, at(2), at(3))
    row = db.execute(
        """
        select c.reloptions, c.relowner = t.relowner, a.attstattarget,
               (select count(*) from pg_index x where x.indrelid = c.oid and x.indisvalid),
               (select count(*) from pg_index x
                   join pg_inherits i on i.inhrelid = x.indexrelid where x.indrelid = c.oid),
               (select count(*) from pg_constraint k where k.conrelid = c.oid
                   and k.conname = 'positive')
        from pg_class c join pg_class t on t.oid = 'silver.m_1h'::regclass
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'device'
        where c.oid = 'silver.m_1h_p20260302'::regclass
        """
    ).fetchone()
    assert row == (["fillfactor=70", "autovacuum_enabled=off"], True, 500, 2, 2, 1)
    db.execute("insert into silver.m_1h (ts) values ('2026-03-02 05:00Z')")
    assert db.execute("select rollup_count from silver.m_1h").fetchall() == [(7,)]


def test_owner_of_the_target_owns_partitions(db: Connection) -> None:
    """Also when it is a role that the installer is only a member of."""
    rollup = make_rollup(db)
    role = f"owner_{random.getrandbits(48)}"
    db.execute(f"create role {role}")
    try:
        [[me]] = db.execute("select current_user").fetchall()
        db.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(me)))
        db.execute(f"grant create, usage on schema silver to {role}")
        db.execute(f"alter table silver.m_1h owner to {role}")
        assert ensure(db, rollup, at(1), at(2)) == 1
        owners = db.execute(
            "select distinct relowner::regrole::text from pg_class"
            " where relname like 'm_1h%' and relkind in ('r', 'p')"
        ).fetchall()
        assert owners == [(role,)]
    finally:
        db.execute(f"drop owned by {role} cascade")
        db.execute(f"drop role {role}")
