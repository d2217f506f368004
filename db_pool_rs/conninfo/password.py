"""Asking for a password: `password=` may be a callable of the application's, which may do anything."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from ..aio import Expired
from ..errors import ConfigError, ConnectFailed
from . import PasswordProvider


async def ask_password(provider: PasswordProvider, limit: float | None) -> str:
    """Call the provider; ConnectFailed if it fails or takes longer than `limit` seconds."""
    try:
        password: object = provider()
        if inspect.isawaitable(password):
            password = await _in_time(asyncio.ensure_future(password), limit)
    except Expired:
        raise ConnectFailed("the password callable gave no password in time") from None
    except Exception as error:
        raise ConnectFailed(f"the password callable failed: {type(error).__name__}") from error
    if not isinstance(password, str) or "\0" in password:
        raise ConfigError("password", None, "a callable that returns a str without NUL, or an awaitable of one")
    return password


async def _in_time(task: asyncio.Future[Any], limit: float | None) -> object:
    """The task's result; it is cancelled if it takes too long."""
    try:
        await asyncio.wait({task}, timeout=limit)
        if not task.done() or task.cancelled():
            raise Expired
        return task.result()
    finally:
        task.cancel()
