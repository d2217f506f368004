"""What is generated is up to date; what is out of date is found, and written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from db_pool_rs.tools import generate_interfaces
from db_pool_rs.tools.generate_interfaces import main
from db_pool_rs.tools.interfaces import conditions, sqlstates, target, types
from db_pool_rs.types import oids


def test_everything_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_every_generator_has_outputs_in_the_project() -> None:
    for generator in generate_interfaces.GENERATORS:
        outputs = generator.outputs()
        assert outputs
        assert all(path.is_file() and path.is_relative_to(target.ROOT) for path in outputs)


def test_what_is_out_of_date_is_found_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "_sqlstates.py"
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(sqlstates, "TARGET", old)
    monkeypatch.setattr(generate_interfaces, "ROOT", tmp_path)
    monkeypatch.setattr(generate_interfaces, "GENERATORS", (sqlstates,))
    assert main(["--check"]) == 1
    assert "_sqlstates.py is out of date\nrun: python -m" in capsys.readouterr().err
    assert not old.exists()
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_an_installed_package_says_that_it_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_interfaces, "ROOT", tmp_path)
    assert main([]) == 1
    assert "only a checkout" in capsys.readouterr().err


def test_only_the_region_changes() -> None:
    text = "one\n# begin generated: it (by x)\nold\n# end generated: it\ntwo\n"
    wanted = "one\n# begin generated: it (by x)\nnew \\1\n# end generated: it\ntwo\n"
    assert target.with_region(text, "it", "new \\1") == wanted
    for wrong in ("", text * 2, text.replace("end", "fin")):
        with pytest.raises(ValueError, match="there is not one region 'it'"):
            target.with_region(wrong, "it", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A = 57P01\n    one\n    two", "line 3: cannot read '    two'"),
        ("A: 57P01", "line 1: cannot read"),
        ("A = 57P01 QQ", "QQ not in errcodes.txt"),
    ],
)
def test_a_wrong_list_of_conditions_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conditions.parse(text, conditions.known_codes())


def test_one_code_is_a_constant_and_several_are_a_list() -> None:
    entries = conditions.parse("# x\n\nONE = 28000\n    It.\nTWO = 28 42P05\n    They.\n", conditions.known_codes())
    assert '#: It.\nONE = "28000"\n#: They.\nTWO = ("28", "42P05")\n' in conditions.python(entries)
    assert '/// They.\npub const TWO: [&str; 2] = ["28", "42P05"];\n' in conditions.rust(entries)


@pytest.mark.parametrize(
    ("line", "said"),
    [("16 1000 bool", "cannot read"), ("x 1 bool bool", "cannot read"), ("16 5 a text\n16 6 b text", "16 more than")],
)
def test_a_wrong_description_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        types.parse(line)


#: A text of each kind.
TEXTS = {
    "bool": "t", "bytea": "\\x00", "date": "2024-05-01", "time": "12:30:00", "timetz": "12:30:00+02",
    "timestamp": "2024-05-01 12:30:00", "timestamptz": "2024-05-01 12:30:00+02", "interval": "1 day",
    "uuid": "00000000-0000-0000-0000-000000000001", "composite": "(a,b)", "inet": "10.0.0.1", "cidr": "10.0.0.0/8",
    **dict.fromkeys(("int2", "int4", "int8", "oid", "float4", "float8", "numeric"), "1"),
}  # fmt: skip


@pytest.mark.parametrize("row", oids.BUILTIN, ids=lambda row: row.name)
def test_results_are_of_the_classes_that_the_page_names(row: oids.PgType) -> None:
    value_loader = pytest.importorskip("db_pool_rs.types.loaders").value_loader
    bound = oids.SCALARS.get(oids.RANGES.get(row.oid) or oids.MULTIRANGES.get(row.oid) or 0)
    text = TEXTS.get(row.kind, "1") if bound is None else f'["{TEXTS[bound.kind]}",)'
    settings = {b"TimeZone": b"UTC", b"DateStyle": b"ISO, MDY", b"IntervalStyle": b"postgres"}
    value = value_loader(row.oid, 0, settings)((f"{{{text}}}" if row.oid in oids.MULTIRANGES else text).encode())
    said = types.result_of(row)
    for name in ("list", "Range", "tuple"):
        if said.startswith(f"{name} of "):
            assert type(value).__name__ == name
            value, said = (value.lower if name == "Range" else value[0]), said.removeprefix(f"{name} of ")
    assert type(value).__name__ in said or row.kind in ("json", "jsonb")
