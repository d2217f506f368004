"""asyncpg's options of `create_pool` and `connect`, as options of this package."""

from __future__ import annotations

import re
import ssl as ssl_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus

from .. import api
from ..conninfo import OPTIONS
from .types import CODECS

if TYPE_CHECKING:
    from ..abc import Pool

_SAME = (
    *("host", "port", "user", "passfile", "service", "servicefile", "password", "database", "command_timeout"),
    *("server_settings", "target_session_attrs", "krbsrvname", "gsslib", "min_size", "init", "reset", "mode"),
)
#: What may stand in the query of a URL, as an option of the connection.
_KNOWN = OPTIONS - {"server_settings"}
_HOST = re.compile(r"(?:\[([^]]*)\]|([^:]*))(?::(\d*))?")
_PORT = re.compile(r"(^|,)(\[|[^/:,]*:)")
#: What asyncpg has and what makes no difference here.
_WITHOUT_EFFECT = ("max_cached_statement_lifetime", "max_cacheable_statement_size", "max_queries")
#: Options of `connect` that are those of a pool here, which keeps them for its life.
_OF_THE_POOL = ("command_timeout", "statement_cache_size", "min_size", "init_size", "init", "reset", "mode")
_NAMES = {"timeout": "connect_timeout", "statement_cache_size": "max_statements"}


def made(dsn: str | None, options: dict[str, Any]) -> Pool:
    """The pool for these options, not yet opened; TypeError for an unknown one."""
    given = dict(options)
    ours: dict[str, Any] = {
        "codecs": CODECS,
        "infinity": "clamp",
        "acquire_timeout": None,  # a call may wait for as long as the program lets it
        "min_size": given.pop("min_size", 10),
        "max_size": given.pop("max_size", 10),
    }
    lifetime = given.pop("max_inactive_connection_lifetime", 300.0)
    ours["idle_timeout"] = lifetime or 1e9
    for name in (*_WITHOUT_EFFECT, "init_size"):  # the latter is the pool's own
        given.pop(name, None)
    url, more = where(dsn, given)
    return api.create_pool(url, **ours, **more)


def lead(pool: Pool, dsn: str | None, options: dict[str, Any]) -> None:
    """Have an open pool open its connections there from now on; TypeError for an unknown option."""
    given = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    for name in _OF_THE_POOL:
        if given.pop(name, None) is not None:
            raise NotImplementedError(f"set_connect_args({name}=): a pool that is open keeps it; open another pool")
    url, more = where(dsn, given)
    pool.set_target(url, **more)


def where(dsn: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A connection string of this package, and options by the names here."""
    url = _plain(dsn, given)
    return url, _translated(given)


def _translated(given: dict[str, Any]) -> dict[str, Any]:
    """asyncpg's options by the names here."""
    ours = _ssl(given.pop("ssl", None))
    direct = given.pop("direct_tls", None)
    if direct is not None:
        ours["sslnegotiation"] = "direct" if direct else "postgres"
    for name, value in given.items():
        if name not in _SAME and name not in _NAMES:
            raise TypeError(f"unexpected option {name!r}")
        if value is not None:
            ours[_NAMES.get(name, name)] = value
    return ours


def check(options: dict[str, Any]) -> None:
    """ValueError, as asyncpg has it, for numbers that cannot be."""
    timeout = options.get("command_timeout")
    if timeout is not None and not _is_number(timeout, 1e-300):
        raise ValueError(f"invalid command_timeout value: expected greater than 0 float (got {timeout!r})")
    for name in ("statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size"):
        if name in options and not _is_number(options[name], 0):
            raise ValueError(f"{name} is expected to be greater or equal to 0, got {options[name]!r}")
    _check_sizes(options)


def _is_number(value: Any, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= least


def _check_sizes(options: dict[str, Any]) -> None:
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


def _plain(dsn: str | None, given: dict[str, Any]) -> str:
    """The URL, without what only asyncpg reads in it: settings of the server, and ports beside the hosts of its query.

    What is no option of a connection is a setting; one of `server_settings` wins.
    """
    url, mark, query = ("postgresql://" if dsn is None else str(dsn)).partition("?")
    if not mark or not url.startswith(("postgresql://", "postgres://")):
        return url + mark + query
    kept, settings = [], {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "host" and given.get("host") is None and _PORT.search(unquote(value)):
            kept += _hosts(unquote(value))
        elif name == "database":
            kept.append(f"dbname={value}")
        elif not name or unquote(name) in _KNOWN:
            kept.append(pair)
        else:
            settings[unquote_plus(name)] = unquote_plus(value)
    if settings:
        given["server_settings"] = {**settings, **(given.get("server_settings") or {})}
    return url + ("?" + "&".join(kept) if kept else "")


def _hosts(text: str) -> list[str]:
    """`host1:1111,[::1]:2222,/folder` as the lists that libpq has."""
    hosts, ports = [], []
    for one in text.split(","):
        found = None if one.startswith("/") else _HOST.fullmatch(one)
        hosts.append(one if found is None else found[1] or found[2] or "")
        ports.append("" if found is None else found[3] or "")
    return [f"host={quote(','.join(hosts))}", f"port={quote(','.join(ports))}"]


def _ssl(ssl: Any) -> dict[str, Any]:
    """`ssl=True` verifies the server, as asyncpg does; a word is an sslmode."""
    if ssl is None:
        return {}
    if isinstance(ssl, ssl_module.SSLContext):
        return {"ssl": ssl}
    if isinstance(ssl, bool):
        return {"sslmode": "verify-full", "sslrootcert": "system"} if ssl else {"sslmode": "disable"}
    return {"sslmode": str(ssl)}
