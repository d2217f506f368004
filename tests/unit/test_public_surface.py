"""The classes that callers hold have the public names of `db_pool_rs.abc` and no others."""

from __future__ import annotations

import inspect

import pytest

from db_pool_rs import abc
from db_pool_rs.facade import DatabasePool
from db_pool_rs.interface import DatabasePoolInterface
from db_pool_rs.pool import acquire, connection, cursor, pool


def names(cls: type) -> set[str]:
    """The public names of a class; attributes that only its Protocol declares are properties there."""
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("made", "promised"),
    [
        (pool.Pool, abc.Pool),
        (connection.Connection, abc.Connection),
        (connection.Transaction, abc.Transaction),
        (connection.PreparedStatement, abc.PreparedStatement),
        (cursor.Cursor, abc.Cursor),
        (acquire.Acquire, abc.Acquisition),
        (DatabasePool, DatabasePoolInterface),
    ],
)
def test_a_class_has_the_public_names_of_its_protocol(made: type, promised: type) -> None:
    set_by_init = set(inspect.get_annotations(promised)) | ({"config"} if made is pool.Pool else set())
    assert names(made) | set_by_init == names(promised) | set_by_init
