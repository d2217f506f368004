"""The layers of the Rust engine are its folders; this table says which folder may name which. Its comments are plain.

python crate -> pool -> postgres, sqlite -> link; the scheduler knows only itself
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.meta.source import ROOT

ENGINE = ROOT / "rust" / "engine" / "src"
MODULE = ROOT / "rust" / "python" / "src"

# A folder, or a file that differs from its folder: what it may name of the engine besides itself.
ENGINE_LAYERS: dict[str, str] = {
    "lib": "declared link pool postgres scheduler sqlite",
    "declared": "",
    "link": "",
    "scheduler": "declared",
    "postgres": "link",
    "sqlite": "link scheduler",
    "pool": "declared link scheduler",
    "pool/backend": "link postgres sqlite",
    "pool/mobc_pool": "link postgres",
}
MODULE_LAYERS: dict[str, str] = {
    "": "link pool scheduler",
    "convert": "link pool postgres scheduler",
    "arrow": "",
    "codec": "link",
    "sqlite": "link scheduler sqlite",
}

# Riddles: the reader has to find out who is meant.
_RIDDLES = re.compile(r"\b(?:he|him|his|him[s]elf|who[e]ver|whom|some[b]ody|no[b]ody|any[b]ody)\b", re.IGNORECASE)
_TEST = re.compile(r"^#\[cfg\(test\)\].*", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//.*")


def _files(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top).with_suffix("")) for path in top.rglob("*.rs"))


def _layer(file: str, layers: dict[str, str]) -> str:
    """The line of the table for a file: its own, else that of its folder."""
    return file if file in layers else file.rpartition("/")[0]


def _named(path: Path, root: str) -> set[str]:
    """The folders of the engine that a file names as `root::folder`, comments and tests left out."""
    text = _COMMENT.sub("", _TEST.sub("", path.read_text()))
    single = re.findall(rf"\b{root}::(\w+)", text)
    listed = re.findall(rf"\b{root}::\{{([^}}]*)", text)
    return {*single, *(name for names in listed for name in re.findall(r"(?:^|,)\s*(\w+)", names))}


@pytest.mark.parametrize("file", _files(ENGINE))
def test_folders_of_the_engine_name_those_below(file: str) -> None:
    layer = _layer(file, ENGINE_LAYERS)
    allowed = {layer.partition("/")[0], *ENGINE_LAYERS[layer].split()}
    assert _named(ENGINE / f"{file}.rs", "crate") <= allowed


@pytest.mark.parametrize("file", _files(MODULE))
def test_the_module_names_what_it_needs_of_the_engine(file: str) -> None:
    layer = _layer(file, MODULE_LAYERS)
    assert _named(MODULE / f"{file}.rs", "db_pool_engine") <= set(MODULE_LAYERS[layer].split())


def test_every_line_of_the_tables_is_there() -> None:
    for top, layers in ((ENGINE, ENGINE_LAYERS), (MODULE, MODULE_LAYERS)):
        missing = {line for line in layers if not (top / line).is_dir() and not (top / f"{line}.rs").is_file()}
        assert not missing


@pytest.mark.parametrize("path", sorted((ROOT / "rust").glob("*/*/**/*.rs")), ids=lambda path: path.stem)
def test_comments_name_what_is_meant(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), 1)
    assert not [f"line {number}: {hit[0]}" for number, line in lines for hit in _RIDDLES.finditer(line)]
