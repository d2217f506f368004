"""Where asyncpg has its class of rows, and that of UUIDs, which programs import from there: it is Python's own here."""

from __future__ import annotations

from uuid import UUID

from ..record import Record

__all__ = ["UUID", "Record"]
