"""Arrays and composites from PostgreSQL's text, whatever their parts: what reads one part is given.

Types that are not built in come as text, and so do their parts. Sources: array_out (arrayfuncs.c), record_out
(rowtypes.c). ValueError for what PostgreSQL does not write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..record import record_class

Load = Callable[[bytes], Any]

_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_escape = re.compile(rb"\\(.)", re.DOTALL)
_doubled = re.compile(rb'["\\](.)', re.DOTALL)
_field = re.compile(rb'(?:"((?:[^"\\]|""|\\.)*)"|([^"\\,()]*))([,)])', re.DOTALL).match


def array_from_text(load: Load, delimiter: str) -> Load:
    """What reads an array, as nested lists, whose elements `load` reads; behind its bounds where these are unusual."""
    comma = delimiter.encode()
    split = re.compile(b"(?:" + _QUOTED + rb'|([^"\\{}' + comma + b"]+))([}" + comma + b"])", re.DOTALL).match

    def members(data: bytes, at: int) -> tuple[list[Any], int]:
        """What is in a list that begins at `at`, behind its brace, and where it ends."""
        items: list[Any] = []
        while True:
            if data[at : at + 1] == b"{":
                inner, at = members(data, at + 1)
                items.append(inner)
                end = data[at : at + 1]
                at += 1
            else:
                found = split(data, at)
                if found is None:
                    raise ValueError("malformed array")
                at, end = found.end(), found[3]
                quoted, plain = found[1], found[2]
                if quoted is not None:
                    items.append(load(_escape.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
                else:
                    items.append(None if plain == b"NULL" else load(plain))
            if end == b"}":
                return items, at
            if end != comma:
                raise ValueError("malformed array")

    def read(data: bytes) -> list[Any]:
        if data.startswith(b"["):
            data = data.partition(b"=")[2]
        if data == b"{}":
            return []
        items, end = members(data, 1)
        if end != len(data) or not data.startswith(b"{"):
            raise ValueError("malformed array")
        return items

    return read


def record_from_text(names: Sequence[str], loads: Sequence[Load]) -> Load:
    """What reads a composite with these fields, as a Record."""
    record, count = record_class(tuple(names)), len(loads)

    def read(data: bytes) -> Any:
        if not data.startswith(b"("):
            raise ValueError("malformed composite")
        if data == b"()" and not count:
            return record(())
        values: list[Any] = []
        at, end = 1, b","
        for load in loads:
            found = _field(data, at) if end == b"," else None
            if found is None:
                raise ValueError(f"a composite without the {count} fields that its type has")
            at, end = found.end(), found[3]
            quoted, plain = found[1], found[2]
            if quoted is not None:
                values.append(load(_doubled.sub(rb"\1", quoted)))
            else:
                values.append(load(plain) if plain else None)
        if end != b")" or at != len(data):
            raise ValueError(f"a composite with more than the {count} fields that its type has")
        return record(values)

    return read
