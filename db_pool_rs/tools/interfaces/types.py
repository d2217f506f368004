"""The tables of built-in types that the languages share, from _data/types.txt, which explains its columns.

And the table of docs/types.md: what an argument of them may be, and what a result is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ...types import encoder, oids
from .target import PACKAGE, ROOT, read, with_region

SOURCE = PACKAGE / "_data" / "types.txt"
PYTHON = PACKAGE / "types" / "oids.py"
RUST = ROOT / "rust" / "python" / "src" / "codec" / "kinds.rs"
DOCS = ROOT / "docs" / "types.md"
REGION = "built-in types"

#: Kinds whose variant in Rust is not simply their name.
RUST_KINDS = {"text": "Other"}
#: What the bounds of a range are in Rust, by what its name begins with.
RUST_BOUNDS = {"num": "Numeric", "ts": "Timestamp", "tstz": "Timestamptz"}

#: What results of a kind are; all others are str.
RESULTS = {
    "bool": "bool", "bytea": "bytes", "date": "date", "time": "time", "timetz": "time", "timestamp": "datetime",
    "timestamptz": "datetime", "interval": "timedelta", "uuid": "UUID", "numeric": "Decimal",
    **dict.fromkeys(("int2", "int4", "int8", "oid"), "int"), **dict.fromkeys(("float4", "float8"), "float"),
    **dict.fromkeys(("json", "jsonb"), "what the document is"), "composite": "tuple",
    "inet": "IPv4Address, IPv4Interface, IPv6Address or IPv6Interface", "cidr": "IPv4Network or IPv6Network",
}  # fmt: skip


class Row(NamedTuple):
    """A line of the description; `constant` is empty if Python's code has no name for the type."""

    oid: int
    array: int
    name: str
    kind: str
    delimiter: str
    constant: str


def parse(text: str) -> list[Row]:
    """The rows of types.txt. ValueError for a line of another form, and for an OID or a name that comes twice."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) not in (4, 5) or not (words[0].isdecimal() and words[1].isdecimal()):
            raise ValueError(f"{SOURCE.name}, line {number}: cannot read {line!r}")
        kind, semicolon, _ = words[3].partition(";")
        rows.append(Row(int(words[0]), int(words[1]), words[2], kind, semicolon or ",", "".join(words[4:])))
    taken = [oid for row in rows for oid in (row.oid, row.array) if oid] + [row.name for row in rows]
    if double := {entry for entry in taken if taken.count(entry) > 1}:
        raise ValueError(f"{SOURCE.name}: {', '.join(map(str, sorted(double, key=str)))} more than once")
    return rows


def python_table(rows: list[Row]) -> str:
    """Constants for the types that the code names, and all of them in one tuple."""
    parts = [f"{row.constant} = {_call(row)}" for row in rows if row.constant]
    entries = [f"    {row.constant or _call(row)}," for row in rows]
    return "\n".join([*parts, "", "BUILTIN: tuple[PgType, ...] = (", *entries, ")"])


def rust_table(rows: list[Row]) -> str:
    """Type, array, kind and separator of all of them."""
    entries = [
        f"    ({row.oid}, {row.array}, Kind::{_rust_kind(row)}, b'{row.delimiter}'), // {row.name}" for row in rows
    ]
    return "\n".join(["const TYPES: &[(u32, u32, Kind, u8)] = &[", *entries, "];"])


def result_of(row: oids.PgType) -> str:
    """What a result of this type is."""
    bound = oids.RANGES.get(row.oid) or oids.MULTIRANGES.get(row.oid)
    if bound is not None:
        return f"{'list of ' * (row.oid in oids.MULTIRANGES)}Range of {result_of(oids.SCALARS[bound])}"
    return RESULTS.get(row.kind, "str")


def markdown_table() -> str:
    """Types that take and give the same are one line, in the order of their first one."""
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in oids.BUILTIN:
        lines[encoder(row.oid).accepts, result_of(row)].append(f"`{row.name}`")
    entries = [f"| {', '.join(names)} | {takes} | {gives} |" for (takes, gives), names in lines.items()]
    return "\n".join(["| PostgreSQL | argument | result |", "|---|---|---|", *entries])


def outputs() -> dict[Path, str]:
    """What the files with a table of types should be. (That of the page is made of the table as Python has it now.)"""
    rows = parse(read(SOURCE))
    return {
        PYTHON: with_region(read(PYTHON), REGION, python_table(rows)),
        RUST: with_region(read(RUST), REGION, rust_table(rows)),
        DOCS: with_region(read(DOCS), REGION, markdown_table()),
    }


def _rust_kind(row: Row) -> str:
    found = re.fullmatch("(.*?)(multi)?range", row.name)
    if found is None or "range" not in row.kind:
        return RUST_KINDS.get(row.kind) or row.kind.capitalize()
    return f"{'Multirange' if found[2] else 'Range'}(Bound::{RUST_BOUNDS.get(found[1]) or found[1].capitalize()})"


def _call(row: Row) -> str:
    name = f"'{row.name}'" if '"' in row.name else f'"{row.name}"'
    delimiter = "" if row.delimiter == "," else f', "{row.delimiter}"'
    return f'PgType({name}, {row.oid}, {row.array}, "{row.kind}"{delimiter})'
