"""How a pool reads and writes values of a type in another way than usual: :class:`Codec`.

    pool = create_pool(dsn, codecs=[Codec("mood", encoder=lambda mood: mood.value, decoder=Mood)])
    pool.set_type_codec("jsonb", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads)

Arrays, domains, ranges and composites of the type follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InterfaceError


@dataclass(frozen=True)
class Codec:
    """How values of one type are sent and read, as PostgreSQL's text of them, or as the `fields` of a composite.

    `name` is the type's own name as PostgreSQL has it (`int4`, not `integer`), without its schema; `schema` limits it
    to one, None means any. `encoder` makes the text of a value, `decoder` a value of the text; where one is None, it is
    done as usual. NULL is None and reaches neither. What they raise is told as an ArgumentError or a DecodeError.
    With `fields`, for composite types only, `encoder` makes a tuple of the fields' values, and `decoder` takes one.
    """

    name: str
    encoder: Callable[[Any], Any] | None = None
    decoder: Callable[[Any], Any] | None = None
    schema: str | None = None
    fields: bool = False

    def __post_init__(self) -> None:
        for field, allowed in (("name", str), ("schema", (str, type(None)))):
            if not isinstance(getattr(self, field), allowed):
                raise InterfaceError(f"{field}: str expected, got {type(getattr(self, field)).__name__}")
        for field in ("encoder", "decoder"):
            value = getattr(self, field)
            if value is not None and not callable(value):
                raise InterfaceError(f"{field}: a callable or None expected, got {type(value).__name__}")
        if not isinstance(self.fields, bool):
            raise InterfaceError(f"fields: bool expected, got {type(self.fields).__name__}")
        if self.encoder is None and self.decoder is None:
            raise InterfaceError("a codec needs an encoder or a decoder")
