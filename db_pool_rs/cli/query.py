"""`query "SQL" [ARGS ...]`: run one statement and print what comes back.

ARGS are the values of `$1, $2, ...`, and they are texts, as everything on a command line. On PostgreSQL the database
reads each one as the type that its place asks for, as if it stood in quotes in the statement:

    query 'SELECT * FROM orders WHERE id = $1 AND paid > $2' 42 2026-01-31
    query 'SELECT * FROM items WHERE id = ANY ($1) AND data @> $2' '{1,2,3}' '{"colour": "red"}'

So there is nothing to guess: 0123 stays 0123 for a text column and is 123 for an integer. SQLite's parameters have no
types: there an argument that is a number in JSON's notation (42, -1.5e3, not 0123) is a number, any other is a text.
(The same holds for EXPLAIN and CALL on PostgreSQL.) On both, the argument \\N, as in COPY, is NULL: put it in quotes,
'\\N'. An argument that begins with a hyphen goes behind --, the end of options. SQL given as - is read from standard
input.

Rows come as an aligned table, with --json as one array of objects (a row a line), with --csv as CSV with a header (NULL
is an empty field). A statement without rows gives its command tag.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..sql import StatementClass, classify
from ..sql.lexer import WORD, tokens
from .common import UsageError, add_database_options, database_of, make_pool, positive
from .terminal import Terminal
from .values import as_text, is_number, row_object

if TYPE_CHECKING:
    from ..abc import Pool, Queries

NULL = "\\N"
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<float>(?:\.\d+)?(?:[eE][+-]?\d+)?)", re.ASCII)
_QUERIES = frozenset({"SELECT", "VALUES", "TABLE"})
_WITH_ROWS = _QUERIES | {"SHOW", "EXPLAIN", "FETCH", "CALL", "EXECUTE", "PRAGMA"}
_PREPARABLE = _QUERIES | {"WITH", "INSERT", "UPDATE", "DELETE", "MERGE"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: rows and their columns, or (rows is None) only its command tag."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]] | None
    status: str
    affected: int


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "query",
        help="run one statement and print its rows",
        description=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", metavar="SQL", help="the statement, with $1, $2, ... for ARGS; - reads standard input")
    parser.add_argument("args", metavar="ARGS", nargs="*", help="values of $1, $2, ...; '\\N' is NULL")
    add_database_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="rows as a JSON array of objects")
    form.add_argument("--csv", action="store_true", help="rows as CSV with a header")
    parser.add_argument("--timeout", type=positive, metavar="SECONDS", help="give up after this long (default: never)")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Carry out `query`."""
    sql = _read_standard_input() if options.sql == "-" else _checked("SQL", options.sql)
    args = [None if arg == NULL else _checked(f"argument {n}", arg) for n, arg in enumerate(options.args, 1)]
    limit = {} if options.timeout is None else {"acquire_timeout": options.timeout}
    async with make_pool(options, min_size=1, max_size=1, **limit) as pool:
        answer = await _ask(pool, sql, args, options.timeout)
    if options.json:
        _print_json(answer)
    elif options.csv:
        _print_csv(answer)
    else:
        _print_table(answer)
    return 0


def _read_standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not valid {error.encoding}") from None


def _checked(name: str, text: str) -> str:
    """The text, unless it came as bytes that are none in the encoding of the command line."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not valid in the encoding of this terminal") from None
    return text


async def _ask(pool: Pool, sql: str, args: Sequence[str | None], timeout: float | None) -> Answer:
    dialect = database_of(pool)
    if args and dialect == "postgresql" and classify(sql).command in _PREPARABLE:
        return await _ask_typed(pool, sql, args, timeout)
    return await _send(pool, sql, _gives_rows(sql, dialect), [_number_or_text(arg) for arg in args], timeout)


async def _ask_typed(pool: Pool, sql: str, args: Sequence[str | None], timeout: float | None) -> Answer:
    """Have the server take the arguments as literals of the types that it inferred for the parameters.

    In one transaction, so that a pooler in between keeps both statements on one session.
    """
    name = f"db_pool_rs_query_{secrets.token_hex(4)}"
    with_rows = _gives_rows(sql, "postgresql")
    async with pool.transaction(timeout=timeout) as connection:
        # fetch takes one statement, so nothing can ride behind a semicolon as it could with execute.
        await connection.fetch(f"PREPARE {name} AS {sql}", timeout=timeout)
        takes = await connection.fetchval(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1", name, timeout=timeout
        )
        if takes != len(args):
            raise ArgumentError(f"the statement takes {takes} argument{'s' * (takes != 1)}, not {len(args)}")
        literals = ", ".join("NULL" if arg is None else _literal(arg) for arg in args)
        answer = await _send(connection, f"EXECUTE {name} ({literals})", with_rows, (), timeout)
        await connection.execute(f"DEALLOCATE {name}", timeout=timeout)
    return answer


def _literal(text: str) -> str:
    # The E form reads the same whatever standard_conforming_strings says.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


async def _send(to: Queries, sql: str, with_rows: bool, args: Sequence[Any], timeout: float | None) -> Answer:
    if not with_rows:
        status = await to.execute(sql, *args, timeout=timeout)
        return Answer((), None, str(status), status.rows)
    rows = await to.fetch(sql, *args, timeout=timeout)
    columns = tuple(rows[0].keys()) if rows else ()
    return Answer(columns, [tuple(row) for row in rows], "", len(rows))


def _gives_rows(sql: str, dialect: str) -> bool:
    """Whether to ask for rows or for the command tag."""
    statement = classify(sql, dialect)
    if statement.kind is StatementClass.READ or statement.command in _WITH_ROWS:
        return True
    return any(token.kind == WORD and token.text == "RETURNING" for token in tokens(sql, dialect))


def _number_or_text(arg: str | None) -> Any:
    """For parameters without types: what is a number in JSON is a number."""
    match = None if arg is None else _JSON_NUMBER.fullmatch(arg)
    if arg is None or match is None:
        return arg
    if match["float"]:
        return float(arg)
    return int(arg) if -(2**63) <= int(arg) < 2**63 else arg


def _print_json(answer: Answer) -> None:
    if answer.rows is None:
        print(json.dumps({"status": answer.status, "rows": answer.affected}))
        return
    rows = [json.dumps(row_object(answer.columns, row), ensure_ascii=False) for row in answer.rows]
    print("[" + ",\n ".join(rows) + "]")


def _print_csv(answer: Answer) -> None:
    if answer.rows is None:
        print(answer.status)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if answer.columns:
        writer.writerow(answer.columns)
    writer.writerows([as_text(value) for value in row] for row in answer.rows)


def _print_table(answer: Answer) -> None:
    if answer.rows is None:
        print(answer.status)
        return
    terminal = Terminal(sys.stdout)
    if answer.columns:
        numeric = {index for index in range(len(answer.columns)) if _is_numeric([row[index] for row in answer.rows])}
        terminal.table(answer.columns, [[as_text(value) for value in row] for row in answer.rows], numeric)
    terminal.line(f"({len(answer.rows)} row{'s' * (len(answer.rows) != 1)})")


def _is_numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(map(is_number, known))
