"""Modules import each other in one direction, and none is a leaf torn from the only one that uses it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.meta.source import internal_imports, package_modules

#: Lines below which a module with a single importer is part of that.
SMALL = 60
#: Smaller modules with one importer or none, each with the reason.
ALONE = {
    "__main__": "a program: python -m db_pool_rs",
    "tools._contender": "a program: a rival of the benchmark in a process of its own",
    "tools.generate_interfaces": "a program",
    "simple.engine": "an engine, loaded by its mode's name",
    "balanced.engine": "an engine, loaded by its mode's name",
    "balanced.driver": "the driver seam: what mode balanced puts in the place of PostgresDriver",
    "asyncpg.protocol": "a module of asyncpg's, for programs that import it",
    "sqlalchemy.sqlite": "an entry point of SQLAlchemy's",
    "exporters._instrumentor": "an entry point, which needs more than the API of OpenTelemetry",
    "sqlalchemy.testing": "for the tests of programs",
    "testing.for_anyio": "a plugin of pytest, of which a program loads one",
    "testing.for_asyncio": "a plugin of pytest, of which a program loads one",
    "types.psycopg_codec": "for callers, who have psycopg",
}

MODULES = package_modules()
GRAPH = {name: {target for target, _ in internal_imports(name, path)} - {name} for name, path in MODULES.items()}


def circles() -> Iterator[frozenset[str]]:
    """The largest sets of modules that all reach each other, by imports for type checkers and within functions, too."""
    reached = {name: _reached_from(name) for name in GRAPH}
    for name in GRAPH:
        circle = frozenset(other for other in reached[name] if name in reached[other])
        if len(circle) > 1 and name == min(circle):
            yield circle


def _reached_from(name: str) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        for target in GRAPH[left.pop()] - found:
            found.add(target)
            left.append(target)
    return found


def test_no_import_circles() -> None:
    assert not list(circles())


def test_small_modules_have_a_reason() -> None:
    importers = {name: {other for other, targets in GRAPH.items() if name in targets} for name in MODULES}
    small = {
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py" and len(path.read_text().splitlines()) < SMALL and len(importers[name]) <= 1
    }
    assert small == set(ALONE)
