"""Descriptions of types and columns, ranges, and the version of the server, by asyncpg's names."""

from __future__ import annotations

from ..described import Attribute, ServerVersion, Type
from ..ranges import Range

__all__ = ["Attribute", "Range", "ServerVersion", "Type"]
