"""What the package's docstrings show works as it stands there."""

from __future__ import annotations

import asyncio
import doctest
import textwrap
from pathlib import Path

import pytest

import db_pool_rs
import db_pool_rs.config


def code_blocks(text: str) -> list[str]:
    """The indented paragraphs of a docstring, each with what is indented below it."""
    blocks: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("    "):
            if not inside:
                blocks.append([])
            blocks[-1].append(line)
        elif not line and inside:
            blocks[-1].append("")
        inside = line.startswith("    ") or (inside and not line)
    return [textwrap.dedent("\n".join(block)).strip() for block in blocks]


def test_the_manual(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "DB_POOL_CONFIG", "DB_POOL_MODE"):
        monkeypatch.delenv(name, raising=False)
    one_pool, several_pools = code_blocks(db_pool_rs.__doc__ or "")
    exec(one_pool, {})
    assert capsys.readouterr().out == "1 Ada\n2 Grace\n"
    scope = {"db_pool_rs": db_pool_rs}
    exec("async def main():\n" + textwrap.indent(several_pools + "\nreturn rows", "    "), scope)
    assert asyncio.run(scope["main"]()) == [(1,)]  # type: ignore[operator]


def test_the_examples_of_the_options() -> None:
    outcome = doctest.testmod(db_pool_rs.config)
    assert outcome.attempted
    assert not outcome.failed
