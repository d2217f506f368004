"""The layers of the package, held by its imports.

    caller -> facade/api -> modes -> engine -> pool -> scheduler -> driver -> libpq | socket

To add a module, put its name into LAYERS. To add an import that this test refuses, think again.
"""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from tests.meta.source import external_imports, internal_imports, package_modules

# Layer: its modules (patterns), and the layers that it may import besides itself.
LAYERS: dict[str, tuple[str, str]] = {
    "program": ("__main__ cli cli.* tools tools.*", "public facade modes contract leaf base"),
    "public": ("db_pool_rs simple balanced full", "facade modes contract leaf base"),
    "exporter": ("exporters exporters.*", "contract leaf base"),
    "facade": ("api facade", "modes contract leaf base"),
    "modes": ("modes", "engine contract leaf base"),
    "engine": ("simple.engine balanced.engine full.engine", "pool postgresql sqlite seam contract leaf base"),
    "pool": (
        "simple.pool simple.connection simple.cursor simple.preparation simple.notifications simple.copy* "
        "simple.borrowing simple.exclusive simple.session simple.runner simple.texts simple.failures "
        "simple.service simple.guarding full.pool full.runner full.link full.copyturns full.driver full.options",
        "scheduler seam loop types contract leaf base",
    ),
    "scheduler": (
        "simple.scheduler simple.upkeep simple.queues simple.write_lanes simple.conn simple.actions",
        "seam leaf base",
    ),
    "postgresql": (
        "simple.postgres simple.connect simple.attempt simple.offload simple.libpq simple.cancel "
        "simple.link simple.long_results simple.collector simple.wire simple.copying simple.staleness simple.prepared "
        "balanced.driver balanced.link balanced.description balanced.columns balanced.slices balanced.libpq "
        "simple.description simple.servererrors",
        "seam loop types leaf base",
    ),
    "sqlite": ("simple.sqlite simple.sqlite_* simple._sqlite* full.sqlite", "seam loop leaf base"),
    "loop": ("simple.waiting simple.answer", ""),  # futures with deadlines; knows neither pools nor databases
    "seam": ("simple.driver simple.cost simple.dialect simple.passwords simple.limits simple.waiter", "loop leaf base"),
    "contract": ("abc", "leaf base"),
    "types": ("types types.*", "base"),
    # Every other private module of the top level belongs to one of these.
    "leaf": ("config conninfo metrics guard guard.* _*", "base"),
    "base": (
        "errors full.errors _error_base _conditions _sqlstates _sqlite_errors _redact record statement _lexer",
        "",
    ),
}

# What only some layers may touch.
OUTSIDE = {
    "psycopg": {"postgresql", "types", "program"},  # the program only reports what is installed
    "sqlite3": {"sqlite", "base", "program"},
    "yaml": {"leaf"},
    "prometheus_client": {"exporter"},
    "opentelemetry": {"exporter"},
}
# The scheduler is a pure state machine: no I/O, no clock, no randomness of its own.
IMPURE = {"asyncio", "socket", "select", "selectors", "ssl", "time", "threading", "random", "os"}

MODULES = package_modules()


def layer_of(module: str) -> str:
    """The one layer of a module; the package itself is called by its name."""
    module = module or "db_pool_rs"
    found = [layer for layer, (names, _) in LAYERS.items() if module in names.split()]
    found = found or [layer for layer, (names, _) in LAYERS.items() if any(fnmatch(module, p) for p in names.split())]
    assert len(found) == 1, f"module {module!r} is in {len(found)} layers {found}: give it one in {__file__}"
    return found[0]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_the_right(module: str) -> None:
    layer = layer_of(module)
    allowed = {layer, *LAYERS[layer][1].split()}
    wrong = [
        f"line {line}: {layer} imports {layer_of(target)} ({target or 'db_pool_rs'})"
        for target, line in internal_imports(module, MODULES[module])
        if layer_of(target) not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_outside_modules_stay_in_their_layers(module: str) -> None:
    layer = layer_of(module)
    used = external_imports(MODULES[module])
    assert not {name for name in used & OUTSIDE.keys() if layer not in OUTSIDE[name]}
    if layer == "scheduler" or module == "simple.cost":
        assert not used & IMPURE


def test_no_import_cycles() -> None:
    graph = {
        name: {target for target, _ in internal_imports(name, path, at_import=True)} - {name}
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' -> '.join((*path, name))}"
        if name not in done:
            for target in graph.get(name, ()):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
