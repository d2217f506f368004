"""SQLSTATEs that the engines in Python and in Rust treat alike, from _data/conditions.txt, which explains itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from . import sqlstates
from .target import BY, PACKAGE, ROOT, read

SOURCE = PACKAGE / "_data" / "conditions.txt"
PYTHON = PACKAGE / "errors" / "conditions.py"
RUST = ROOT / "rust" / "engine" / "src" / "link" / "conditions.rs"

TITLE = "SQLSTATEs by what they mean for a pool; two characters stand for a whole class."
ORIGIN = f"{BY} from db_pool_rs/_data/conditions.txt."

_LINE = re.compile(r"(?P<name>[A-Z_]+) = (?P<codes>\w+(?: \w+)*)")


class Condition(NamedTuple):
    """An entry: the name of its constant, its codes, what they have in common."""

    name: str
    codes: tuple[str, ...]
    doc: str


def parse(text: str, known: frozenset[str]) -> list[Condition]:
    """The entries of conditions.txt. ValueError for a line of another form, and for a code that is not known."""
    found: list[Condition] = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := _LINE.fullmatch(line):
            found.append(Condition(match["name"], tuple(match["codes"].split()), ""))
        elif line.startswith("    ") and found and not found[-1].doc:
            found[-1] = found[-1]._replace(doc=line.strip())
        elif line and not line.startswith("#"):
            raise ValueError(f"{SOURCE.name}, line {number}: cannot read {line!r}")
    if unknown := {code for one in found for code in one.codes} - known:
        raise ValueError(f"{SOURCE.name}: {', '.join(sorted(unknown))} not in {sqlstates.SOURCE.name}")
    return found


def known_codes() -> frozenset[str]:
    """Every code of an error, and every class."""
    sections = sqlstates.parse(read(sqlstates.SOURCE))
    return frozenset(name for one in sections for name in (one.code, one.base_code, *one.conditions))


def python(conditions: list[Condition]) -> str:
    """The module for Python."""
    parts = [f'"""{TITLE}\n\n{ORIGIN}\n"""\n']
    for name, codes, doc in conditions:
        quoted = ", ".join(f'"{code}"' for code in codes)
        parts.append(f"#: {doc}\n{name} = {quoted if len(codes) == 1 else f'({quoted})'}\n")
    return "\n".join([parts[0], "".join(parts[1:])])


def rust(conditions: list[Condition]) -> str:
    """The module for Rust."""
    parts = [f"//! {TITLE}\n//!\n//! {ORIGIN}\n\n"]
    for name, codes, doc in conditions:
        quoted = ", ".join(f'"{code}"' for code in codes)
        value = f"&str = {quoted}" if len(codes) == 1 else f"[&str; {len(codes)}] = [{quoted}]"
        parts.append(f"/// {doc}\npub const {name}: {value};\n")
    return "".join(parts)


def outputs() -> dict[Path, str]:
    """The wanted texts of both modules."""
    conditions = parse(read(SOURCE), known_codes())
    return {PYTHON: python(conditions), RUST: rust(conditions)}
