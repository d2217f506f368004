"""The benchmark of large COPYs and streams: it moves every row with every contender, and says what that took."""

from __future__ import annotations

import re

import pytest

from db_pool_rs.modes import MODES, unavailable
from db_pool_rs.tools import benchmark_copy


@pytest.mark.timeout(240)
def test_every_contender_moves_every_row(pg_database: str, capfd: pytest.CaptureFixture[str]) -> None:
    sizes = ["--mb", "1", "--records", "100", "--rows", "3000", "--rounds", "1"]
    assert benchmark_copy.main(["--dsn", pg_database, *sizes]) == 0
    told = capfd.readouterr().out
    assert [line for line in told.splitlines() if line.endswith(" rows")] == [
        "COPY of a file into a table, 16,129 rows",
        "COPY of a query into a file, 16,129 rows",
        "COPY of records into a table, 100 rows",
        "Stream of rows, 1000 at a time, 3,000 rows",
    ]
    for mode in (mode for mode in MODES if unavailable(mode) is None):
        assert len(re.findall(rf"^\| {mode} \| \d+\.\d\d \| \d+\.\d\d \| \d+ \|$", told, re.MULTILINE)) == 4
