"""The generated classes: they are up to date, and named as people know them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from db_pool_rs import _sqlstates, errors

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate_sqlstates.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_sqlstates", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_file_is_up_to_date(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_check_notices_an_outdated_file(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outdated = tmp_path / "_sqlstates.py"
    outdated.write_text("")
    monkeypatch.setattr(generator, "TARGET", outdated)
    assert generator.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert outdated.read_text() == ""
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


def test_a_line_of_an_unknown_form_is_an_error(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"line 2: cannot read 'nonsense'"):
        generator.parse("Section: Class 08 - Connection Exception\nnonsense\n")


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
