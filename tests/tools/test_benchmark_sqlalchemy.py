"""The benchmark of SQLAlchemy's dialects: each contender and each workload once, for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from db_pool_rs.tools import benchmark_sqlalchemy as benchmark


@pytest.fixture(scope="module")
def tables(pg_server: Any) -> Iterator[str]:
    """URL of a database with the tables."""
    pg_server.sql("CREATE DATABASE sqlalchemy_benchmark TEMPLATE template0")
    dsn = pg_server.dsn("sqlalchemy_benchmark")
    with benchmark._tables(dsn):
        yield dsn


@pytest.mark.parametrize(
    ("contender", "workload"), list(zip(benchmark._CONTENDERS, reversed(benchmark._WORKLOADS), strict=True))
)
def test_a_contender_does_its_work(tables: str, contender: str, workload: str) -> None:
    isolation = None if workload.startswith("ORM") else "AUTOCOMMIT"
    run = benchmark.Run(contender, workload, isolation, tables, "simple", tasks=4, size=2, seconds=0.05)
    figures = benchmark._in_a_process(run)
    assert figures["rate"] > 0
    assert figures["cpu_us"] > 0


def test_medians_are_reported() -> None:
    runs = [{"rate": rate, "cpu_us": 2 * rate} for rate in (1000.0, 3000.0, 2000.0)]
    found = {(contender, workload): runs for contender in benchmark._CONTENDERS for workload in benchmark._WORKLOADS}
    title, line, *rows = benchmark._table(found)
    assert [len(one.split("|")) for one in (line, *rows)] == [len(title.split("|"))] * 5
    assert rows[-1] == "| `db_pool_rs`, grouped | " + " | ".join(["2,000 | 4,000"] * 4) + " |"


def test_a_contender_that_fails_is_told(pg_database: str) -> None:
    run = benchmark.Run("grouped", "Core select", None, pg_database, "simple", tasks=1, size=1, seconds=0.01)
    with pytest.raises(RuntimeError, match=r"grouped, Core select: .*db_pool_rs_selected"):
        benchmark._in_a_process(run)  # without its tables
