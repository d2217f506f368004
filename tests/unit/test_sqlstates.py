"""The generated classes are named as people know them."""

from __future__ import annotations

import pytest

from db_pool_rs import errors
from db_pool_rs.errors import _sqlstates
from db_pool_rs.tools.interfaces import sqlstates


def test_a_line_of_an_unknown_form_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"line 2: cannot read 'nonsense'"):
        sqlstates.parse("Section: Class 08 - Connection Exception\nnonsense\n")


@pytest.mark.parametrize(
    ("name", "base", "sqlstate"),
    [
        ("UniqueViolation", "IntegrityConstraintViolation", "23505"),
        ("IntegrityConstraintViolation", "DatabaseError", "23000"),
        ("SerializationFailure", "TransactionRollback", "40001"),
        ("QueryCanceled", "OperatorIntervention", "57014"),
        ("InternalError_", "DatabaseError", "XX000"),
        ("InvalidArgumentForXquery", "XqueryError", "10608"),
        ("NullValueNotAllowedExt", "ExternalRoutineInvocationException", "39004"),
        ("TransactionTimeout", "InvalidTransactionState", "25P04"),
        ("SnapshotTooOld", "DatabaseError", "72000"),
    ],
)
def test_classes_have_the_well_known_names(name: str, base: str, sqlstate: str) -> None:
    found = getattr(errors, name)
    assert found.__bases__ == (getattr(errors, base),)
    assert found.sqlstate == sqlstate
    assert found.__module__ == "db_pool_rs.errors"
    assert name in errors.__all__


def test_names_are_those_of_psycopg() -> None:
    theirs = pytest.importorskip("psycopg.errors")
    for sqlstate, ours in _sqlstates.BY_SQLSTATE.items():
        try:
            expected = theirs.lookup(sqlstate)
        except KeyError:
            assert sqlstate in {"10000", "72000"}  # a class without an error of its own; gone from PostgreSQL 17
        else:
            assert ours.__name__ == expected.__name__
