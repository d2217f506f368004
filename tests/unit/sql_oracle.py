"""What PostgreSQL's own grammar says a statement must be: the second opinion on `statement.classify`.

It walks the tree that PostgreSQL's parser makes of a text (the package pglast carries that parser), and so decides by
kinds of nodes where `classify` decides by words and places. Both take the names of functions and columns that matter
from one table, which another test holds to the server's catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pglast
from pglast import ast, enums

from db_pool_rs.sql import StatementClass
from db_pool_rs.sql.functions import LEAVES_STATE, READS_STATE, RUNS_ALONE, RUNS_TEXT, TRANSACTION_COLUMNS, is_among

READ, WRITE, OTHER = StatementClass.READ, StatementClass.WRITE, StatementClass.OTHER
SESSION, CONTROL = StatementClass.SESSION, StatementClass.CONTROL
#: From the class with the most freedom to the one with the least.
STRICTER = [READ, WRITE, OTHER, SESSION, CONTROL]

_MODIFYING = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_STAYS = (
    ast.ListenStmt, ast.UnlistenStmt, ast.PrepareStmt, ast.ExecuteStmt, ast.DeallocateStmt, ast.DeclareCursorStmt,
    ast.DiscardStmt, ast.LoadStmt,
)  # fmt: skip
_TWO_PHASE = (
    enums.TransactionStmtKind.TRANS_STMT_COMMIT_PREPARED,
    enums.TransactionStmtKind.TRANS_STMT_ROLLBACK_PREPARED,
)
_TEMPORARY = re.compile(r"pg_temp(_[0-9]+)?")

#: The least strict class that is right, and whether the statement may leave state on its session.
Opinion = tuple[StatementClass, bool]


def parse(sql: str) -> list[Any]:
    """The trees of a text's statements; pglast.parser.ParseError if PostgreSQL would refuse it."""
    return [raw.stmt for raw in pglast.parse_sql(sql)]


def opinion(statement: Any) -> Opinion:
    """What a statement must be."""
    nodes = list(_walk(statement))
    found = [_of_kind(statement, nodes)]
    found += [one for node in nodes if (one := _of_node(node)) is not None]
    return max((kind for kind, _ in found), key=STRICTER.index), any(leaves for _, leaves in found)


def _walk(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.Node):
        yield node
        for name in node:
            yield from _walk(getattr(node, name))
    elif isinstance(node, (tuple, list)):
        for one in node:
            yield from _walk(one)


def _of_kind(statement: Any, nodes: list[Any]) -> Opinion:
    if isinstance(statement, ast.SelectStmt):
        return _of_select(nodes)
    if isinstance(statement, _MODIFYING):
        return WRITE, False
    if isinstance(statement, _STAYS):
        return SESSION, True
    if isinstance(statement, ast.VariableSetStmt):
        ends = statement.is_local or statement.name in ("TRANSACTION", "TRANSACTION SNAPSHOT")
        return SESSION, not ends
    if isinstance(statement, (ast.ConstraintsSetStmt, ast.CopyStmt)):
        return SESSION, False
    if isinstance(statement, ast.TransactionStmt):
        return (OTHER if statement.kind in _TWO_PHASE else CONTROL), False
    if isinstance(statement, ast.ExplainStmt):
        inner = opinion(statement.query) if _analyzes(statement) else (OTHER, False)
        return (SESSION if inner[0] is SESSION else OTHER), inner[1]
    if isinstance(statement, (ast.DoStmt, ast.CallStmt)):
        return OTHER, True
    return _of_definition(statement)


def _of_select(nodes: list[Any]) -> Opinion:
    selects = [node for node in nodes if isinstance(node, ast.SelectStmt)]
    into = [select.intoClause.rel for select in selects if select.intoClause is not None]
    if into:
        return (SESSION, True) if any(rel.relpersistence == "t" for rel in into) else (OTHER, False)
    if any(isinstance(node, _MODIFYING) for node in nodes):
        return WRITE, False
    if any(select.lockingClause for select in selects):
        return OTHER, False
    return READ, False


def _of_definition(statement: Any) -> Opinion:
    relation = getattr(statement, "relation", None) or getattr(statement, "view", None)
    relation = getattr(statement, "sequence", None) or relation
    into = getattr(statement, "into", None)
    relation = into.rel if into is not None else relation
    made = isinstance(statement, (ast.CreateStmt, ast.CreateTableAsStmt, ast.CreateSeqStmt, ast.ViewStmt))
    if made and isinstance(relation, ast.RangeVar) and relation.relpersistence == "t":
        return SESSION, True
    return OTHER, False


def _analyzes(statement: Any) -> bool:
    """The last ANALYZE counts; what its value means, the server says when it runs."""
    found = False
    for option in statement.options or ():
        if option.defname in ("analyze", "analyse"):
            value = getattr(option.arg, "sval", getattr(option.arg, "ival", None)) if option.arg is not None else True
            found = str(value).lower() not in ("off", "false", "0")
    return found


def _of_node(node: Any) -> Opinion | None:
    if isinstance(node, ast.FuncCall):
        return _of_call(node)
    if isinstance(node, ast.ColumnRef):
        last = node.fields[-1]
        named = isinstance(last, ast.String) and last.sval.islower() and last.sval.upper() in TRANSACTION_COLUMNS
        return (OTHER, False) if named else None
    if isinstance(node, ast.RangeVar):
        return (SESSION, True) if node.schemaname and _TEMPORARY.fullmatch(node.schemaname) else None
    if isinstance(node, (ast.TypeName, ast.CreateFunctionStmt)):
        names = node.names if isinstance(node, ast.TypeName) else node.funcname
        schema = names[0].sval if names and len(names) > 1 else ""
        return (SESSION, True) if _TEMPORARY.fullmatch(schema) else None
    return None


def _of_call(node: Any) -> Opinion | None:
    names = [name.sval for name in node.funcname]
    if len(names) > 1 and _TEMPORARY.fullmatch(names[0]):
        return SESSION, True
    if is_among(names[-1], LEAVES_STATE) or is_among(names[-1], RUNS_TEXT):
        return SESSION, not _is_local(node)
    if is_among(names[-1], READS_STATE):
        return SESSION, False
    return (OTHER, False) if is_among(names[-1], RUNS_ALONE) else None


def _is_local(node: Any) -> bool:
    """set_config(..., true)"""
    if node.funcname[-1].sval != "set_config" or len(node.args or ()) != 3:
        return False
    value = getattr(node.args[2], "val", None)
    return isinstance(value, ast.Boolean) and bool(value.boolval)
