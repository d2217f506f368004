"""asyncpg's options of `create_pool` and `connect`, as options of this package."""

from __future__ import annotations

import ssl as ssl_module
from typing import TYPE_CHECKING, Any

from .. import api
from .types import CODECS

if TYPE_CHECKING:
    from ..abc import Pool

_SAME = (
    *("host", "port", "user", "passfile", "service", "servicefile", "password", "database", "command_timeout"),
    *("server_settings", "target_session_attrs", "krbsrvname", "gsslib", "min_size", "init", "reset", "mode"),
)
#: What asyncpg has and what makes no difference here.
_WITHOUT_EFFECT = ("init_size", "max_cached_statement_lifetime", "max_cacheable_statement_size", "max_queries")
_NAMES = {"timeout": "connect_timeout", "statement_cache_size": "max_statements"}


def made(dsn: str | None, options: dict[str, Any]) -> Pool:
    """The pool for these options, not yet opened; TypeError for an unknown one."""
    given = dict(options)
    ours: dict[str, Any] = {
        "codecs": CODECS,
        "infinity": "clamp",
        "min_size": given.pop("min_size", 10),
        "max_size": given.pop("max_size", 10),
    }
    lifetime = given.pop("max_inactive_connection_lifetime", 300.0)
    ours["idle_timeout"] = lifetime or 1e9
    ours.update(_ssl(given.pop("ssl", None)))
    if given.pop("direct_tls", None):
        ours["sslnegotiation"] = "direct"
    for name in _WITHOUT_EFFECT:
        given.pop(name, None)
    for name, value in given.items():
        if name not in _SAME and name not in _NAMES:
            raise TypeError(f"unexpected option {name!r}")
        if value is not None:
            ours[_NAMES.get(name, name)] = value
    return api.create_pool(_plain(dsn), **ours)


def check_sizes(options: dict[str, Any]) -> None:
    """ValueError, as asyncpg has it, for sizes that cannot be."""
    least, most, first = options.get("min_size", 10), options.get("max_size", 10), options.get("init_size")
    if most <= 0:
        raise ValueError("max_size is expected to be greater than zero")
    if least < 0:
        raise ValueError("min_size is expected to be greater or equal to zero")
    if least > most:
        raise ValueError("min_size is greater than max_size")
    if first is not None and first < 0:
        raise ValueError("init_size is expected to be greater or equal to zero")
    if first is not None and not least <= first <= most:
        raise ValueError(f"init_size is {'smaller than min_size' if first < least else 'greater than max_size'}")


def _plain(dsn: str | None) -> str | None:
    return "postgresql://" if dsn is None else dsn


def _ssl(ssl: Any) -> dict[str, Any]:
    """`ssl=True` verifies the server, as asyncpg does; a word is an sslmode."""
    if ssl is None:
        return {}
    if isinstance(ssl, ssl_module.SSLContext):
        return {"ssl": ssl}
    if isinstance(ssl, bool):
        return {"sslmode": "verify-full", "sslrootcert": "system"} if ssl else {"sslmode": "disable"}
    return {"sslmode": str(ssl)}
