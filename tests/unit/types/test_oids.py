"""The table of built-in types against itself and against psycopg's registry."""

from __future__ import annotations

import psycopg
import pytest

from db_pool_rs.types import oids


def test_every_oid_and_name_is_there_once() -> None:
    numbers = [row.oid for row in oids.BUILTIN] + [row.array_oid for row in oids.BUILTIN if row.array_oid]
    assert len(set(numbers)) == len(numbers)
    assert len({row.name for row in oids.BUILTIN}) == len(oids.BUILTIN)


def test_table_agrees_with_psycopg() -> None:
    ours = {row.name: row for row in oids.BUILTIN}
    for info in psycopg.adapters.types:
        row = ours[info.name]
        assert (row.oid, row.array_oid, row.delimiter) == (info.oid, info.array_oid, info.delimiter)


@pytest.mark.parametrize(
    ("oid", "name"), [(23, "int4"), (1007, "int4[]"), (18, '"char"'), (1002, '"char"[]'), (16385, "type 16385")]
)
def test_type_name(oid: int, name: str) -> None:
    assert oids.type_name(oid) == name
