"""One idea, one place: twins have equal file names, and a class is not cut in two by inheritance."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.meta.source import PACKAGE, ROOT, is_generated, python_files, tree

#: Base classes whose only subclass is in another file, each with the reason. The list shrinks; it does not grow.
EXCEPTIONS = {
    "Connection": "a session of a pool; the one that connect() opens owns its pool, which connections cannot know",
    "DecodeError": "public: callers catch it; the kernel's cause is an implementation of it",
    "Description": "what balanced adds to a description for its kernel",
    "PostgresDriver": "the driver seam: balanced replaces what is below",
    "PostgresConnection": "the driver seam: balanced replaces what is below",
    "Wire": "a connection in pipeline mode, without groups: libpq and the socket, two thirds of them slow paths",
}


def test_the_schedulers_have_equal_file_names() -> None:
    python = {path.stem for path in (PACKAGE / "scheduler").glob("*.py")} - {"__init__"}
    rust = {path.stem for path in (ROOT / "rust/engine/src/scheduler").glob("*.rs")} - {"mod"}
    assert python == rust


@pytest.mark.parametrize("folder", ["pool", "guard", "scheduler"])
def test_no_database_is_asked_for_by_name(folder: str) -> None:
    """What a database has is a capability of its driver (drivers/base.py); its name only says how texts are read."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted((PACKAGE / folder).glob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        if isinstance(side, ast.Constant) and side.value in ("postgresql", "sqlite")
    ]
    assert not found


def test_no_class_is_cut_in_two() -> None:
    assert _cut_in_two() == set(EXCEPTIONS), "a class and its only subclass are one: give the one to the other instead"


def _cut_in_two() -> set[str]:
    """Classes of the package whose only subclass is in another file."""
    defined: dict[str, set[Path]] = defaultdict(set)
    subclasses: dict[str, list[Path]] = defaultdict(list)
    for path in python_files("db_pool_rs"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                if not is_generated(path):  # as the classes of SQLSTATEs, which are PostgreSQL's
                    defined[node.name].add(path)
                for base in node.bases:
                    subclasses[_name(base)].append(path)
    return {
        name
        for name, paths in defined.items()
        if len(subclasses[name]) == 1 and not paths.intersection(subclasses[name])
    }


def _name(base: ast.expr) -> str:
    """The last part of a base class's name, its type arguments left out."""
    if isinstance(base, ast.Subscript):
        base = base.value
    return ast.unparse(base).rpartition(".")[2]
