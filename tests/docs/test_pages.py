"""The pages of the documentation: their code runs, their commands and links exist, the reference is whole.

A block ` ```python ` runs: as a program of its own if it calls `asyncio.run`, else with top-level `await` and the names
`db_pool_rs` and `pool`, an open pool of PostgreSQL with a table `users`. The blocks of a page share their names, in
order. A block with a title is code for comparison; it only has to be Python.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs import abc, errors
from tests.meta.source import ROOT
from tests.meta.test_readme import run

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]*))?\)")


def page_name(path: Path) -> str:
    return str(path.relative_to(DOCS))


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text()) if kind == language]


def is_program(code: str) -> bool:
    return "asyncio.run(" in code


PROGRAMS = [(page, code) for page in PAGES for code in blocks(page, "python") if is_program(code)]
WITH_FRAGMENTS = [page for page in PAGES if any(not is_program(code) for code in blocks(page, "python"))]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs_run(number: int, tmp_path: Path, pg_database: str) -> None:
    code = PROGRAMS[number][1]
    assert run(code, tmp_path, **({"DATABASE_URL": pg_database} if "DATABASE_URL" in code else {}))


@pytest.mark.parametrize("page", WITH_FRAGMENTS, ids=page_name)
async def test_fragments_run(
    page: Path, pg_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("DATABASE_URL", "DB_POOL_MODE", "DB_POOL_CONFIG", "DB_POOL_FIGURES"):
        monkeypatch.delenv(variable, raising=False)
    async with db_pool_rs.create_pool(pg_database) as pool:
        await pool.execute("CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, age int NOT NULL)")
        await pool.executemany("INSERT INTO users VALUES ($1, $2, $3)", [(1, "Ada", 36), (2, "Kit", 12)])
        names: dict[str, Any] = {"asyncio": asyncio, "db_pool_rs": db_pool_rs, "pool": pool}
        assert db_pool_rs.errors is errors
        for code in blocks(page, "python"):
            if not is_program(code):
                compiled = compile(code, page_name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                outcome = eval(compiled, names)
                if inspect.iscoroutine(outcome):
                    await outcome


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_code_for_comparison_is_python(page: Path) -> None:
    for kind, code in BLOCK.findall(page.read_text()):
        if kind.startswith("python "):
            compile(code, page_name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        else:
            assert kind in ("python", "bash", "text", "yaml"), f"what is a block of {kind!r}?"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        file = (page.parent / target).resolve()
        assert file.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{target}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    assert not [name for page in PAGES if (name := page_name(page)) not in nav]


def test_the_reference_has_every_public_name() -> None:
    entries = re.findall(r"^::: (db_pool_rs\.[\w.]+)\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    for module, name in entries:
        assert inspect.getdoc(getattr(importlib.import_module(module), name)), f"{module}.{name} has no docstring"
    public = {name for name in db_pool_rs.__all__ if not hasattr(errors, name)} | set(abc.__all__)
    assert public - {"__version__", "Isolation"} <= {name for _, name in entries}


def test_commands_exist() -> None:
    text = "\n".join(code for page in PAGES for code in blocks(page, "bash"))
    for module, options in re.findall(r"python -m (db_pool_rs[\w.]*)([^\n#]*)", text):
        words = [word for word in options.split() if not word.startswith("-")][:1] if module == "db_pool_rs" else []
        command = [sys.executable, "-m", module, *words, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        for option in re.findall(r"--[\w-]+", options):
            assert option in done.stdout


def test_the_error_tree_is_the_one_that_the_code_has() -> None:
    tree = blocks(DOCS / "errors.md", "text")[0]
    for name in re.findall(r"^ *([A-Z]\w+)", tree, re.MULTILINE):
        assert issubclass(getattr(errors, name), errors.Error)


def test_the_tests_that_show_what_holds_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (DOCS / "reliability.md").read_text())
    assert len(named) > 50
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert not set(named) - set(re.findall(r"def (test_\w+)\(", source))
    assert not {name for name in named if named.count(name) > 1}
