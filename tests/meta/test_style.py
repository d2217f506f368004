"""Size budget, docstrings and forbidden words."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.meta.source import PACKAGE, ROOT, Function, body_lines, functions, is_generated, python_files, tree

FILE_LINES = 400
#: Files that are one whole idea, which is not cut in two to fit, each with the reason. The list shrinks.
WHOLE = {
    "db_pool_rs/abc.py": 700,  # the public interface on one page: signatures and their manual, no code
    "db_pool_rs/drivers/postgres/link.py": 465,  # a group on one connection, from its first message to its results
    "db_pool_rs/full/executor.py": 410,  # all that the Rust engine is asked, and all that it tells
    "db_pool_rs/pool/connection.py": 420,  # the public connection: a method for each of its calls, most of one line
    "db_pool_rs/pool/pool.py": 445,  # the public pool: a method for each of its calls, most of one line
    "db_pool_rs/pool/session.py": 525,  # the order of calls on one connection: one state, which no part may see alone
    "db_pool_rs/simple/executor.py": 410,  # all actions of the scheduler, carried out, and all events of connections
}
FUNCTION_LINES = 40
MEDIAN_FUNCTION_LINES = 10

FILES = [path for path in python_files("db_pool_rs", "tests", "scripts") if not is_generated(path)]
PACKAGE_FILES = [path for path in FILES if PACKAGE in path.parents]

# Paths of a developer's machine, private keys, unfinished work. Written so that this file does not contain them.
FORBIDDEN = [
    r"/(?:work|root)/",
    r"BEGIN[ ](?:RSA |EC )?PRIVATE[ ]KEY",
    r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b",
    r"(?m:^(?:<{7}|>{7}) )",  # a merge that was not finished
]


# Riddles: the reader has to find out who is meant. The account `nobody` is a name.
RIDDLES = re.compile(r"\b(?:who[e]ver|some[b]ody|no[b]ody|any[b]ody|him[s]elf)\b", re.IGNORECASE)
ACCOUNTS = {"db_pool_rs/cli/embedded.py"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_size_budget(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= WHOLE.get(name(path), FILE_LINES)
    long = {node.name: body_lines(node) for node in functions(path) if body_lines(node) > FUNCTION_LINES}
    assert not long, f"functions of more than {FUNCTION_LINES} lines"


@pytest.mark.parametrize("file", WHOLE)
def test_only_long_files_are_excepted(file: str) -> None:
    assert len((ROOT / file).read_text().splitlines()) > FILE_LINES


@pytest.mark.parametrize("path", [path for path in PACKAGE_FILES if name(path) not in ACCOUNTS], ids=name)
def test_comments_name_what_is_meant(path: Path) -> None:
    assert not RIDDLES.findall(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_names_of_tests_name_what_is_meant(path: Path) -> None:
    spoken = [node.name.replace("_", " ") for node in functions(path) if node.name.startswith("test_")]
    assert not [one for one in spoken if RIDDLES.search(one)]


def test_the_usual_function_is_short() -> None:
    sizes = [body_lines(node) for path in PACKAGE_FILES for node in functions(path)]
    assert not sizes or statistics.median(sizes) <= MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name)
def test_public_names_have_docstrings(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "the module has no docstring"
    if path.stem.startswith("_") and not path.stem.startswith("__"):
        return
    documented = _documented_methods()
    missing = [
        f"{path.name}:{node.lineno} {node.name}"
        for node, overrides in _public(tree(path))
        if not ast.get_docstring(node) and not (node.name in documented and (overrides or len(node.body) == 1))
    ]
    assert not missing


@cache
def _documented_methods() -> frozenset[str]:
    """Methods that some class documents.

    An override of one inherits its docstring, as `help` shows it; one of a single statement, which hands the call on,
    would only repeat it.
    """
    classes = [node for path in PACKAGE_FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    methods = [node for cls in classes for node in cls.body if isinstance(node, Function)]
    return frozenset(node.name for node in methods if ast.get_docstring(node))


def _public(
    scope: ast.Module | ast.ClassDef, overrides: bool = False
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Public classes, functions and methods, and whether each may override something of a base class."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            # A property's docstring is on its getter, an overloaded function's on its body.
            if not any(text.endswith((".setter", ".deleter", "overload")) for text in decorators):
                yield node, overrides
            if isinstance(node, ast.ClassDef):
                yield from _public(node, overrides=bool(node.bases))


def test_no_forbidden_words() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0")[:-1] if listed.returncode == 0 else [name(path) for path in FILES]
    found = [
        f"{file}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}"
        for file in names
        if (ROOT / file).is_file() and file != "uv.lock"
        for text in [(ROOT / file).read_text(errors="replace")]
        for hit in re.finditer("|".join(FORBIDDEN), text)
    ]
    assert not found
