"""`query`: rows in three forms, arguments, errors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

MANY_TYPES = """
    SELECT 1 AS i, NULL AS n, 'x'::text AS t, 1.10::numeric AS d, '\\x00ff'::bytea AS b, true AS yes,
           '2026-01-31 10:00:00'::timestamp AS at, '00000000-0000-0000-0000-000000000001'::uuid AS u,
           '{1,2}'::int[] AS a, '{"k": [1, null]}'::jsonb AS j, '1 day 02:00'::interval AS v, 'NaN'::float8 AS f
"""


class TestOnSqlite:
    def test_rows_as_a_table(self, cli: Cli) -> None:
        ran = cli("query", "SELECT 1 AS id, 'Ada' AS name UNION ALL SELECT 20, NULL ORDER BY id")
        assert ran.code == 0
        assert ran.lines == ["id | name", "---+-----", " 1 | Ada", "20 | NULL", "(2 rows)"]
        assert ran.err == ""

    def test_no_rows(self, cli: Cli) -> None:
        assert cli("query", "SELECT 1 WHERE 1 = 2").out == "(0 rows)\n"
        assert json.loads(cli("query", "--json", "SELECT 1 WHERE 1 = 2").out) == []

    def test_a_statement_without_rows_gives_its_status(self, cli: Cli, tmp_path: Path) -> None:
        dsn = f"sqlite:///{tmp_path}/q.db"
        assert cli("query", "--dsn", dsn, "CREATE TABLE t (a, b)").code == 0
        assert cli("query", "--dsn", dsn, "INSERT INTO t VALUES ($1, $2), ($1, $2)", "1", "x").out == "INSERT 0 2\n"
        ran = cli("query", "--dsn", dsn, "--json", "UPDATE t SET b = $1", "\\N")
        assert json.loads(ran.out) == {"status": "UPDATE 2", "rows": 2}
        assert json.loads(cli("query", "--dsn", dsn, "--json", "SELECT * FROM t LIMIT 1").out) == [{"a": 1, "b": None}]
        ran = cli("query", "--dsn", dsn, "DELETE FROM t RETURNING a")
        assert ran.lines[-1] == "(2 rows)"

    def test_arguments_are_numbers_or_texts(self, cli: Cli) -> None:
        values = ["42", "-1.5e3", "0123", "1.", "+1", "abc", "", "\\N", "99999999999999999999", "true"]
        sql = "SELECT " + ", ".join(f"typeof(${n}) AS t{n}" for n in range(1, len(values) + 1))
        # `--` ends the options, or -1.5e3 would be taken for one.
        [row] = json.loads(cli("query", "--json", sql, "--", *values).out)
        types = ["integer", "real", "text", "text", "text", "text", "text", "null", "text", "text"]
        assert list(row.values()) == types

    def test_statement_from_standard_input(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7 AS n\n"))
        assert json.loads(cli("query", "-", "--json").out) == [{"n": 7}]

    def test_csv_goes_through_a_csv_reader_unharmed(self, cli: Cli) -> None:
        ran = cli("query", "--csv", 'SELECT \'a,"b"\nc\' AS "x,y", NULL AS n, 1.5 AS f')
        assert list(csv.reader(io.StringIO(ran.out))) == [["x,y", "n", "f"], ['a,"b"\nc', "", "1.5"]]

    def test_columns_of_one_name_survive_json(self, cli: Cli) -> None:
        assert json.loads(cli("query", "--json", "SELECT 1 AS a, 2 AS a").out) == [{"a": 1, "a_2": 2}]

    def test_an_error_is_one_line(self, cli: Cli) -> None:
        ran = cli("query", "SELECT * FROM nowhere")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
        assert "nowhere" in ran.err
        assert "SQLSTATE" in ran.err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("SELECT 1; SELECT 2",), ""),
            (("BEGIN",), "transaction"),
            (("SELECT $1, $2", "1"), "2"),
            (("SELECT 1", "--dsn", "nonsense://x"), "nonsense"),
            (("SELECT 1", "--dsn", "sqlite:////nonexistent/folder/x.db"), ""),
        ],
    )
    def test_what_cannot_be_is_one_line_too(self, cli: Cli, arguments: tuple[str, ...], words: str) -> None:
        ran = cli("query", *arguments)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.count("\n") == 1
        assert words in ran.err

    @pytest.mark.parametrize(
        "arguments",
        [(), ("SELECT 1", "--timeout", "0"), ("SELECT 1", "--timeout", "x"), ("SELECT 1", "--json", "--csv")],
    )
    def test_a_wrong_command_line_is_exit_code_2(self, cli: Cli, arguments: tuple[str, ...]) -> None:
        assert cli("query", *arguments).code == 2

    def test_an_argument_that_is_no_text(self, cli: Cli) -> None:
        ran = cli("query", "SELECT $1", "\udcff")
        assert ran.code == 1
        assert "argument 1" in ran.err


class TestOnPostgres:
    def test_values_of_many_types(self, cli: Cli, pg_dsn: str) -> None:
        expected = {
            "i": 1, "n": None, "t": "x", "d": "1.10", "b": "\\x00ff", "yes": True, "at": "2026-01-31T10:00:00",
            "u": "00000000-0000-0000-0000-000000000001", "a": [1, 2], "j": {"k": [1, None]}, "v": "1 day 02:00:00",
            "f": "nan",
        }  # fmt: skip
        assert json.loads(cli("query", "--dsn", pg_dsn, "--json", MANY_TYPES).out) == [expected]
        table = cli("query", "--dsn", pg_dsn, MANY_TYPES)
        assert table.lines[-1] == "(1 row)"
        assert " NULL | x " in table.lines[2]

    def test_an_argument_is_read_as_the_type_of_its_place(self, cli: Cli, pg_dsn: str) -> None:
        sql = """SELECT pg_typeof($1::int)::text AS i, $2 AS text, $3::date + 1 AS day, 3 = ANY ($4::int[]) AS found,
                 $5::jsonb -> 'k' AS json, $6::numeric AS d, $7::text IS NULL AS no, $8::int4range::text AS range"""
        values = ["42", "0123", "2026-01-31", "{1,2,3}", '{"k": "v"}', "1.10", "\\N", "[1,5)"]
        ran = cli("query", "--dsn", pg_dsn, "--json", sql, *values)
        assert ran.err == ""
        assert json.loads(ran.out) == [
            {"i": "integer", "text": "0123", "day": "2026-02-01", "found": True, "json": "v", "d": "1.10", "no": True,
             "range": "[1,5)"}
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "text", ["it's", "back\\slash", "\\'", "'); DROP TABLE x; --", "", "line\nbreak", "$1", "é東"]
    )
    def test_no_argument_is_read_as_sql(self, cli: Cli, pg_dsn: str, text: str) -> None:
        ran = cli("query", "--dsn", pg_dsn, "--json", "SELECT $1::text AS t", text)
        assert json.loads(ran.out) == [{"t": text}]

    def test_status_of_a_statement_with_arguments(self, cli: Cli, pg_database: str) -> None:
        cli("query", "--dsn", pg_database, "CREATE TABLE t (id int)")
        sql = "INSERT INTO t SELECT generate_series(1, $1)"
        assert cli("query", "--dsn", pg_database, sql, "3").out == "INSERT 0 3\n"
        assert cli("query", "--dsn", pg_database, "SELECT count(*) AS n FROM t").lines[2].strip() == "3"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("SELECT * FROM nowhere",), ["nowhere", "42P01"]),
            (("SELECT $1::int", "abc"), ["abc", "22P02"]),
            (("SELECT $1", "1", "2"), ["takes 1 argument, not 2"]),
            (("SELECT $1; DROP TABLE x", "1"), ["one statement"]),
        ],
    )
    def test_errors_are_one_line(self, cli: Cli, pg_dsn: str, arguments: tuple[str, ...], words: list[str]) -> None:
        ran = cli("query", "--dsn", pg_dsn, *arguments)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.count("\n") == 1
        assert all(word in ran.err for word in words), ran.err

    def test_a_timeout_ends_the_statement(self, cli: Cli, pg_dsn: str) -> None:
        ran = cli("query", "--dsn", pg_dsn, "--timeout", "0.2", "SELECT pg_sleep(60)")
        assert ran.code == 1
        assert ran.err.startswith("error: ")

    def test_a_password_is_not_shown(self, cli: Cli) -> None:
        ran = cli("query", "--dsn", "postgresql://u:hidden-word@127.0.0.1:1/x", "SELECT 1")
        assert ran.code == 1
        assert "127.0.0.1" in ran.err
        assert "hidden-word" not in ran.err + ran.out
