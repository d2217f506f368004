"""What the engine is told of a pool: its target, the numbers of the rules, how it works with the event loop."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..conninfo import ConnectConfig
from ..drivers.postgres.types_query import TYPES_QUERY
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..scheduler.model import Limits

#: Parameters that need libpq, and the values with which they change nothing.
_ONLY_LIBPQ = {
    "gssencmode": ("disable", "prefer"),
    "requirepeer": ("",),
    "sslcertmode": ("disable", "allow"),
    "sslcompression": ("0",),
}


def target(config: PoolConfig) -> dict[str, Any]:
    """The resolved target; ConfigError for what only libpq can do."""
    known = config.target
    assert isinstance(known, ConnectConfig)
    _refuse(known)
    settings = [("application_name", known.application_name), ("options", known.options)]
    return {
        "hosts": [(host.host, host.port, host.hostaddr, host.password) for host in known.hosts],
        "shuffled": known.load_balance_hosts,
        "user": known.user,
        "dbname": known.dbname,
        "ssl": _ssl(known),
        "target": known.target_session_attrs,
        "connect_timeout": known.connect_timeout,
        "keepalive": _keepalive(known),
        "settings": [pair for pair in settings if pair[1]] + list(known.server_settings.items()),
        "channel_binding": {"require": True, "disable": False}.get(known.channel_binding),
        "auth_methods": known.require_auth,
        "allow_cleartext_password": known.allow_cleartext_password,
        "max_statements": config.max_statements,
    }


def _ssl(known: ConnectConfig) -> dict[str, Any]:
    ssl = known.ssl
    return {
        "mode": ssl.mode,
        "direct": ssl.negotiation == "direct",
        "cert": None if ssl.certmode == "disable" else ssl.cert,
        "key": ssl.key,
        "password": ssl.password,
        "rootcert": ssl.rootcert,
        "crl": ssl.crl,
        "crldir": ssl.crldir,
        "sni": ssl.sni,
        "only_tls13": ssl.min_version == "TLSv1.3",
        "only_tls12": ssl.max_version == "TLSv1.2",
    }


def _keepalive(known: ConnectConfig) -> dict[str, Any]:
    """How a dead peer is found out, as libpq reads it: 0 and less is the system's default."""

    def given(name: str) -> int | None:
        value = int(known.network.get(name, 0))
        return value if value > 0 else None

    milliseconds = given("tcp_user_timeout")
    return {
        "enabled": int(known.network.get("keepalives", 1)) != 0,
        "idle": given("keepalives_idle"),
        "interval": given("keepalives_interval"),
        "count": given("keepalives_count"),
        "user_timeout": None if milliseconds is None else milliseconds / 1000,
    }


def _refuse(known: ConnectConfig) -> None:
    for name, value in {**known.network, "sslcertmode": known.ssl.certmode}.items():
        if name in _ONLY_LIBPQ and value not in _ONLY_LIBPQ[name]:
            raise ConfigError(name, value, f"{' or '.join(map(repr, _ONLY_LIBPQ[name]))} in mode full")


def limits(known: Limits) -> dict[str, Any]:
    """The numbers of the rules, by name; the engine takes those that it does not set itself."""
    numbers = asdict(known)
    return {**numbers.pop("cost"), **numbers}


def options(config: PoolConfig, greets: bool, clean_timeout: float | None) -> dict[str, Any]:
    """How the engine works with the event loop; it is to show each new connection if `greets`.

    `clean_timeout`: how many seconds a connection may take to be reset.
    """
    known = config.target
    return {
        "lifetime": float(config.max_lifetime),
        "greets": greets,
        "cleans": config.init is not None,
        "asks_password": isinstance(known, ConnectConfig) and known.password_provider is not None,
        "slow": None if config.slow_query_ms is None else config.slow_query_ms / 1000,
        "patience": clean_timeout,
        "types_query": TYPES_QUERY if isinstance(known, ConnectConfig) else None,
    }
