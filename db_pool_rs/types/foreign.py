"""Arguments for types that are not built in, such as enums, domains and types of extensions: their text.

The server names such a parameter by an OID that means something in its own database only. For a column of a domain it
announces the domain, not its base type, so more than `str` must be accepted here: a value whose text is the same
whatever the base type, read by the input function of the type, which refuses what does not fit. A datetime has no such
text (whether its time zone counts depends on the type); nor have bytes, timedelta and JSON objects.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from .arrays import text_array
from .explain import Rejected
from .scalars import encode_text

ACCEPTS = "str, int, float, Decimal, bool, date or UUID, or list or tuple of these"


def encode_foreign(value: Any) -> bytes:
    """Encode one value, or a list or tuple as an array literal: the OID does not tell an array, the argument does."""
    return _encode_list(value) if isinstance(value, (list, tuple)) else _encode_item(value)


def _encode_item(value: Any) -> bytes:
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, int):
        return int.__repr__(value).encode()  # bool is 1 or 0, which suits both integers and bool
    if isinstance(value, float):
        return float.__repr__(value).encode()
    if isinstance(value, (Decimal, UUID)) or (isinstance(value, date) and not isinstance(value, datetime)):
        return str(value).encode()
    raise Rejected("cast the parameter in SQL to a built-in type, as in $1::timestamptz")


_encode_list = text_array(_encode_item, ",", ACCEPTS)
