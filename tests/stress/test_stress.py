"""Many writers, several workers, kills and crashes: the rollups equal GROUP BY."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from stress.conftest import StressServer
from stress.run import Stress

pytestmark = [pytest.mark.stress, pytest.mark.sql, pytest.mark.slow]


def test_live_views_equal_group_by_throughout(
    stress_server: StressServer,
    stress_database: str,
    stress_seed: str,
    stress_seconds: float,
    tmp_path: Path,
) -> None:
    stress = Stress(stress_database, stress_server, stress_seed, tmp_path)
    stress.run(stress_seconds)
    assert stress.checker.snapshots > 5


def test_partitions_come_and_go_under_load(
    stress_server: StressServer,
    stress_database: str,
    stress_seed: str,
    stress_seconds: float,
    tmp_path: Path,
) -> None:
    """Truncated, detached, changed meanwhile, attached again, replaced; all is there at the end."""
    stress = Stress(stress_database, stress_server, stress_seed, tmp_path, moves_partitions=True)
    stress.run(stress_seconds / 2)
    with psycopg.connect(stress_database) as db:
        assert db.execute("select count(*) from tsconsole.frozen_range").fetchone() == (0,)
