"""Frozen dataclasses that are also read-only mappings: `stats.size` and `stats["size"]` are the same.

Status and metrics are read by people (attributes) and by exporters that walk over whatever there is (mappings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Fields(Mapping[str, Any]):
    """Mix-in for a dataclass: its fields, in the order of declaration, as a mapping."""

    __slots__ = ()
    __dataclass_fields__: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts all the way down, ready for `json.dumps`."""
        return {name: _plain(value) for name, value in self.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
