"""Where asyncpg has its class of rows."""

from __future__ import annotations

from ..record import Record

__all__ = ["Record"]
