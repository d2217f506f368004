"""The engines under test and the databases they are tested on.

A test of the contract takes `engine` or `open_pool` and runs once for each engine of ENGINES; its name then ends with
the engine's. What not every engine has, it asks for by feature, never by the engine's name:

    @pytest.mark.feature("copy")
    async def test_copy_roundtrip(open_pool, pg_dsn): ...

    async def test_both_databases(open_pool, backend):
        pool = await open_pool(backend.dsn, max_size=2)

An engine that is not installed is skipped, unless it is `required` or named in DB_POOL_REQUIRE_ENGINES
("simple,full"): then its absence fails the run.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class EngineSpec:
    """One engine: its mode, the module whose presence means that it is installed, and what it can do."""

    name: str
    module: str
    features: frozenset[str]
    required: bool = False

    @property
    def installed(self) -> bool:
        """Whether the engine's module can be found."""
        return importlib.util.find_spec(self.module) is not None


@dataclass(frozen=True)
class Backend:
    """A database of the test's own."""

    name: str
    dsn: str


ENGINES = (
    EngineSpec("simple", "db_pool_rs", frozenset({"postgresql", "sqlite", "slices"}), required=True),
    EngineSpec("balanced", "db_pool_rs_balanced", frozenset({"postgresql", "sqlite", "slices"})),
    EngineSpec("full", "db_pool_rs_full", frozenset({"postgresql", "sqlite", "slices"})),
)

#: How long `patient` waits, in seconds: longer than tests wait for what is to happen, not as long as the statements run
#: that they have stopped: one that is not stopped costs the connection, and is noticed.
GRACE = 45.0

OpenPool = Callable[..., Awaitable[Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse to run without an engine that was asked for."""
    config.addinivalue_line("markers", "feature(name): skip on engines without this feature")
    named = {name.strip() for name in os.environ.get("DB_POOL_REQUIRE_ENGINES", "").split(",") if name.strip()}
    unknown = named - {spec.name for spec in ENGINES}
    if unknown:
        raise pytest.UsageError(f"DB_POOL_REQUIRE_ENGINES: no engine {sorted(unknown)}; known: {_names(ENGINES)}")
    missing = [spec for spec in ENGINES if (spec.required or spec.name in named) and not spec.installed]
    if missing:
        raise pytest.UsageError(f"required engines are not installed: {_names(missing)}")


def pytest_report_header() -> str:
    """Say which engines the run covers."""
    return f"engines: {_names([spec for spec in ENGINES if spec.installed])}"


def _names(specs: Any) -> str:
    return ", ".join(spec.name for spec in specs) or "none"


@pytest.fixture(params=ENGINES, ids=lambda spec: spec.name)
def engine(request: pytest.FixtureRequest) -> EngineSpec:
    """The engine under test."""
    spec: EngineSpec = request.param
    if not spec.installed:
        pytest.skip(f"engine {spec.name} is not installed")
    for marker in request.node.iter_markers("feature"):
        if marker.args[0] not in spec.features:
            pytest.skip(f"engine {spec.name} has no {marker.args[0]}")
    return spec


@pytest.fixture(params=["postgresql", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty database, once of each kind."""
    if request.param == "postgresql":
        return Backend("postgresql", request.getfixturevalue("pg_database"))
    return Backend("sqlite", f"sqlite:///{tmp_path / 'test.db'}")


@pytest.fixture
async def open_pool(engine: EngineSpec) -> AsyncIterator[OpenPool]:
    """Factory of pools of the engine under test: `await open_pool(dsn, **options)`; all are closed at the end."""
    from db_pool_rs import create_pool

    pools: list[Any] = []

    async def make(dsn: str, **options: Any) -> Any:
        pool = await create_pool(dsn, mode=engine.name, **options)
        pools.append(pool)
        return pool

    yield make
    for pool in reversed(pools):
        await pool.close(timeout=5)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was asked to stop a statement is given up later than usual: a busy one takes its time.

    For tests that have statements stopped, not for those that expect a silent server to be given up.
    """
    from db_pool_rs.pool import executor

    usual = executor.limits_for
    monkeypatch.setattr(
        executor, "limits_for", lambda *known: replace(usual(*known), cancel_grace=GRACE, suspect=GRACE)
    )
