"""What a server says went wrong, as an error of ours: by its SQLSTATE, with every field that it sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .base import DatabaseError

#: Attributes of a DatabaseError that the server's ErrorResponse has, by the protocol's letters.
_LETTERS = {
    "sqlstate": "C", "message": "M", "detail": "D", "hint": "H", "position": "P", "internal_position": "p",
    "internal_query": "q", "where": "W", "schema": "s", "table": "t", "column": "c", "datatype": "d", "constraint": "n",
}  # fmt: skip


def database_error(fields: Mapping[str, str | None], query: str | None = None) -> DatabaseError:
    """The error for an ErrorResponse; its class is that of `fields["sqlstate"]`, else of its first two characters.

    `fields` are named as the attributes of `DatabaseError`; all may be missing. `query` is the statement's text.
    """
    sqlstate = fields.get("sqlstate") or ""
    try:
        from ._sqlstates import BY_SQLSTATE  # its many classes are made when there is an error
    except Exception:  # no descriptor is left to read it by, say: the error is told without a class of its own
        kind = DatabaseError
    else:
        kind = BY_SQLSTATE.get(sqlstate) or BY_SQLSTATE.get(f"{sqlstate[:2]}000", DatabaseError)
    return kind(fields.get("message") or "unknown error", fields, query)


#: The functions of the server that refuse a type without a binary form (aclitem), as the field of a record, and which
#: else raise nothing of the kind.
_NO_BINARY_FORM = frozenset(("getTypeBinaryOutputInfo", "array_send"))
_HINT = "Fields of a record come in binary. Cast this one to text, or the record to a composite type."


def server_error(
    field: Callable[[str], str | None], query: str | None, unsaid: Callable[[], str] = str
) -> DatabaseError:
    """The error for an ErrorResponse that tells its fields by the letters that the protocol has for them.

    `unsaid` gives the message where the server gave none.
    """
    fields = {name: field(letter) for name, letter in _LETTERS.items()}
    # The untranslated severity exists since PostgreSQL 9.6; proxies may send only the other.
    fields["severity"] = field("V") or field("S")
    fields["message"] = fields["message"] or unsaid() or "the server reported an error without a message"
    if fields["sqlstate"] == "42883" and field("R") in _NO_BINARY_FORM and not fields["hint"]:
        fields["hint"] = _HINT
    error = database_error(fields, query)
    error.__dict__["routine"] = field("R")
    for name, letter in (("severity_en", "V"), ("server_source_filename", "F"), ("server_source_line", "L")):
        error.__dict__[name] = field(letter)
    return error
