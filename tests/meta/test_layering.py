"""The layers of the package are its folders; this table says which folder may import which.

    caller -> facade -> modes -> engine (simple, balanced, full) -> pool -> scheduler, drivers -> libpq | socket

A new module needs no entry. To add an import that this test refuses, think again.
"""

from __future__ import annotations

import pytest

from tests.meta.source import external_imports, internal_imports, package_modules

BASE = "errors sql sql.quoting codecs features ranges record described rows aio forks log"
CONTRACT = f"abc config config.options conninfo metrics {BASE}"
# A folder, or a module that differs from its folder: what it may import besides itself.
LAYERS: dict[str, str] = {
    "": f"standalone api facade interface modes options {CONTRACT}",
    "__main__": "cli",
    "cli": f"guard pool api facade modes {CONTRACT}",
    "tools.interfaces": f"tools cli api facade modes types {CONTRACT}",
    "tools": f"tools.interfaces cli api facade modes options {CONTRACT}",
    "exporters": CONTRACT,
    "api": f"exporters facade interface modes options {CONTRACT}",
    "asyncpg": f"api facade modes {CONTRACT}",
    "sqlalchemy": f"api facade modes {CONTRACT}",
    "testing": f"api facade modes {CONTRACT}",
    "standalone": f"api pool options {CONTRACT}",
    "facade": f"exporters modes options {CONTRACT}",
    "modes": CONTRACT,
    "interface": f"options {CONTRACT}",
    "options": "abc codecs conninfo",
    "simple": f"facade pool scheduler drivers drivers.postgres drivers.sqlite {CONTRACT}",
    "balanced": f"facade simple pool scheduler drivers drivers.postgres types {CONTRACT}",
    "full": f"facade guard pool scheduler drivers drivers.postgres drivers.sqlite {CONTRACT}",
    "arrow": f"types {BASE}",
    "pool": f"arrow guard scheduler drivers types {CONTRACT}",
    "drivers": f"scheduler conninfo {BASE}",
    "drivers.postgres": f"scheduler drivers types config conninfo {BASE}",
    "drivers.sqlite": f"scheduler drivers config conninfo {BASE}",
    "scheduler": "sql",
    "abc": f"guard config metrics {BASE}",
    "config": f"config.options conninfo {BASE}",
    "config.options": "errors",
    "conninfo": f"config.options {BASE}",
    "metrics": f"guard {BASE}",
    "guard": f"config {BASE}",
    "types": BASE,
    "errors": "sql",
    "sql": "",
    "sql.quoting": "errors",
    "codecs": "errors",
    "ranges": "",
    "record": "",
    "described": "",
    "features": "",
    "rows": "errors record",
    "aio": "",
    "forks": "",
    "log": "",
}

# These use the package as its users do.
PROGRAMS = {"cli", "tools"}

# What only some folders may touch.
OUTSIDE = {
    # cli and tools only report what is installed
    "psycopg": {"drivers.postgres", "balanced", "types", "cli", "tools"},
    "sqlite3": {"drivers.sqlite", "full", "errors", "cli", "tools", "sqlalchemy"},
    "yaml": {"config"},
    "pyarrow": {"arrow"},
    "prometheus_client": {"exporters"},
    "opentelemetry": {"exporters"},
    "sqlalchemy": {"sqlalchemy", "tools"},
    "pytest": {"testing"},
    "pytest_asyncio": {"testing"},
}
# The scheduler is a pure state machine: no I/O, no clock, no randomness of its own.
IMPURE = {"asyncio", "socket", "select", "selectors", "ssl", "time", "threading", "random", "os"}

MODULES = package_modules()


def layer_of(module: str) -> str:
    """The line of the table for a module: its own, else that of its folder."""
    while module not in LAYERS:
        module, _, _ = module.rpartition(".")
    return module


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_the_right(module: str) -> None:
    layer = layer_of(module)
    allowed = {layer, *LAYERS[layer].split()} | ({""} if layer in PROGRAMS else set())
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
    if layer == "scheduler":
        assert not used & IMPURE


def test_every_line_of_the_table_is_there() -> None:
    assert not {line for line in LAYERS if line not in MODULES}
