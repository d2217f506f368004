"""What an error message says about a value: its type always, its content only where it is short.

Messages end up in logs, so the content of bytes is never shown, nor that of a text longer than `LIMIT` characters.
"""

from __future__ import annotations

import reprlib

LIMIT = 60


class Rejected(ValueError):
    """Raised by an encode function that knows more about the reason than "wrong type or out of range"."""


class _Repr(reprlib.Repr):
    """Limited in depth and length, and without the content of bytes."""

    def repr_bytes(self, value: bytes | bytearray | memoryview, level: int) -> str:
        return f"{memoryview(value).nbytes} bytes"

    repr_bytearray = repr_memoryview = repr_bytes


_repr = _Repr()
_repr.maxother = _repr.maxlong = LIMIT


def describe(value: object) -> str:
    """`int 99999999999`, `str 'abc'`, `bytes of 12 bytes`, `Decimal('1.5')`: the type, and the value if short."""
    name = type(value).__name__
    if isinstance(value, str):
        return f"{name} {value!r}" if len(value) <= LIMIT else f"{name} of {len(value)} characters"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{name} of {_repr.repr(value)}"
    if value is None:
        return "None"
    try:
        text = _repr.repr(value)
    except Exception:  # an int beyond the interpreter's limit of digits
        return name
    text = text if len(text) <= 4 * LIMIT else f"{text[: 4 * LIMIT - 3]}..."
    return text if text.startswith((f"{name}(", f"{type(value).__module__}.{name}")) else f"{name} {text}"


def shorten(sql: str) -> str:
    """The beginning of an SQL text on one line, in double quotes."""
    text = " ".join(sql[: 4 * LIMIT].split())
    return f'"{text}"' if len(text) <= LIMIT and len(sql) <= 4 * LIMIT else f'"{text[: LIMIT - 3]}..."'


def advice(name: str, position: int, value: object) -> str:
    """What helps where an argument of type `name` was given a value of several."""
    if isinstance(value, (list, tuple, dict, set, frozenset)) and name == "record":
        return f"; write ${position}::thetype, the name of the composite type: the server cannot tell which it is"
    if isinstance(value, (list, tuple, set, frozenset)) and not name.endswith("[]"):
        return f"; to compare with each of several, write = ANY(${position}) and pass a list"
    return ""
