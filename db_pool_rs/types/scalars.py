"""bool, text, bytea, uuid, json and other single values -> bytes for the server.

Functions here raise whatever is natural on a wrong value, and `Rejected` where they can tell why. They are called once
per argument, so the usual value takes the shortest way through.
"""

from __future__ import annotations

import ipaddress
import json
from enum import Enum
from typing import Any
from uuid import UUID

from .explain import Rejected

_encode_str = str.encode  # refuses what is no str
_dump_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ADDRESSES = (
    *(ipaddress.IPv4Address, ipaddress.IPv6Address),
    *(ipaddress.IPv4Interface, ipaddress.IPv6Interface),
    *(ipaddress.IPv4Network, ipaddress.IPv6Network),
)


def encode_bool(value: bool) -> bytes:
    """Encode True or False (also numpy's); 1 and 0 are ints, and refused."""
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    if getattr(value, "dtype", None) == "bool":
        return b"\x01" if value else b"\x00"
    raise TypeError


def encode_text(value: str) -> bytes:
    """Encode a str as UTF-8, or a member of an Enum whose value is one."""
    try:
        data = _encode_str(value)
    except TypeError:
        if not isinstance(value, Enum):
            raise
        data = _encode_str(value.value)
    if 0 in data:
        raise Rejected("PostgreSQL text cannot hold the NUL character")
    return data


def encode_char(value: str) -> bytes:
    """Encode the one-byte internal type "char": one ASCII character, or '' for its zero value."""
    data = value.encode("ascii")
    if len(data) > 1 or data == b"\0":
        raise Rejected("one ASCII character other than NUL, or the empty string")
    return data or b"\0"


def encode_bytea(value: bytes | bytearray | memoryview) -> bytes:
    """Encode bytes, or the present content of a bytearray or memoryview."""
    if type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError


def encode_uuid(value: UUID | str) -> bytes:
    """Encode a UUID, or a str in one of the forms that `uuid.UUID` reads."""
    if not isinstance(value, UUID):
        if not isinstance(value, str):
            raise TypeError
        value = UUID(value)
    return value.int.to_bytes(16, "big")


def encode_json(value: Any) -> bytes:
    """Encode any JSON-serialisable object; a str becomes a JSON string."""
    try:
        return _dump_json(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(str(error)) from error


def encode_jsonb(value: Any) -> bytes:
    """Encode like `encode_json`, behind the version byte of jsonb's binary form."""
    return b"\x01" + encode_json(value)


def encode_network(value: object) -> bytes:
    """Encode inet and cidr: a str in PostgreSQL's notation, or an object of `ipaddress`."""
    if isinstance(value, _ADDRESSES):
        return str(value).encode()
    return encode_text(value)  # type: ignore[arg-type]  # what is no str raises TypeError there
