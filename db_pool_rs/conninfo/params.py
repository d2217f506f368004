"""The parameters of a PostgreSQL connection: name, environment variable, default, and what each accepts.

Names, variables and defaults are libpq's, except where the table says otherwise. Every value is text here; numbers are
made of them by :mod:`.conninfo`. An empty text means the same as none at all, as for libpq.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ..config.options import Shown, literal, unknown
from ..errors import ConfigError

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,9}\s*\Z")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*\Z")
_AUTH_METHODS = ("password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none")


class Parameter(NamedTuple):
    """One parameter. `since` is the libpq version that learned it, 0 for all that are in use.

    `type` is what a caller's type checker holds it to.
    """

    name: str
    env: str | None = None
    default: str = ""
    since: int = 0
    allowed: str = "text without NUL"
    accepts: Callable[[str], object] = lambda _: True
    type: str = "str"

    def check(self, value: Any) -> str:
        """`value` as text; ConfigError if it cannot be."""
        if isinstance(value, bool):
            value = "1" if value else "0"
        text = str(value) if isinstance(value, (str, int, float)) else None
        if text is None or "\0" in text or (text and not self.accepts(text)):
            shown = value if isinstance(value, (str, int, float)) else Shown(f"<{type(value).__name__}>")
            raise ConfigError(self.name, shown, self.allowed)
        return text


def _choice(name: str, env: str | None, default: str, *choices: str, since: int = 0) -> Parameter:
    return Parameter(name, env, default, since, " | ".join(choices), lambda text: text in choices, literal(*choices))


def _integer(name: str, env: str | None = None, since: int = 0) -> Parameter:
    return Parameter(name, env, "", since, "a whole number", _INTEGER.match, "int | str")


def _flag(name: str, env: str | None, default: str, since: int = 0) -> Parameter:
    return Parameter(name, env, default, since, "0 | 1", lambda text: text in ("0", "1"), "bool")


def _tls_version(name: str, env: str, default: str) -> Parameter:
    versions = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
    lower = [version.lower() for version in versions]
    allowed, accepts = " | ".join(versions), lambda text: text.lower() in lower
    return Parameter(name, env, default, 130000, allowed, accepts, literal(*versions))


def _is_timeout(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?([0-9]{1,9}(\.[0-9]*)?|\.[0-9]+)\s*", text) is not None


def _is_utf8(text: str) -> bool:
    """However it is written; libpq knows it as UNICODE, too."""
    return re.sub(r"[^0-9a-z]", "", text.lower()) in ("utf8", "unicode")


def _is_auth_list(text: str) -> bool:
    """Methods to accept or, each with a `!`, to refuse; none twice."""
    methods = [method.strip() for method in text.split(",")]
    negative = [method.startswith("!") for method in methods]
    return (
        (all(negative) or not any(negative))
        and len(set(methods)) == len(methods)
        and all(method.removeprefix("!") in _AUTH_METHODS for method in methods)
    )


_TIMEOUT = "seconds, a number; 0 or less waits for ever"
_AUTH_LIST = f"methods with commas between them, all or none of them with '!': {', '.join(_AUTH_METHODS)}"
_ENCODING = "UTF8: it is the only encoding of the connection that is supported"
_PROTOCOLS = ("3.0", "3.2", "latest")

#: One for each host, in a text with commas or as a list.
_SEVERAL = "str | list[str] | tuple[str, ...]"

SQLITE_MODES = ("rwc", "rw", "ro")
SQLITE_SYNCHRONOUS = ("full", "normal")
#: The options of a `sqlite:` string, with their types.
SQLITE_OPTIONS = {
    "mode": literal(*SQLITE_MODES),
    "busy_timeout": "int",
    "foreign_keys": "bool",
    "synchronous": literal(*SQLITE_SYNCHRONOUS),
}

_TABLE = (
    Parameter("host", "PGHOST", type=_SEVERAL),
    Parameter("hostaddr", "PGHOSTADDR", type=_SEVERAL),
    Parameter("port", "PGPORT", type=f"int | {_SEVERAL} | list[int] | tuple[int, ...]"),
    Parameter("dbname", "PGDATABASE"),
    Parameter("user", "PGUSER"),
    Parameter("password", "PGPASSWORD", type="str | PasswordProvider"),
    Parameter("passfile", "PGPASSFILE"),
    Parameter("service", "PGSERVICE"),
    Parameter("connect_timeout", "PGCONNECT_TIMEOUT", "10", 0, _TIMEOUT, _is_timeout, "float"),  # libpq: no limit
    Parameter("client_encoding", "PGCLIENTENCODING", "", 0, _ENCODING, _is_utf8),
    Parameter("options", "PGOPTIONS"),
    Parameter("application_name", "PGAPPNAME"),
    Parameter("fallback_application_name"),
    _choice(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        "any",
        *("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    ),
    _choice("load_balance_hosts", "PGLOADBALANCEHOSTS", "disable", "disable", "random", since=160000),
    _choice(
        "sslmode",
        "PGSSLMODE",
        "prefer",
        *("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    ),
    _choice("sslnegotiation", "PGSSLNEGOTIATION", "postgres", "postgres", "direct", since=170000),
    Parameter("sslcompression", "PGSSLCOMPRESSION", "0"),  # without meaning to libpq since 14
    Parameter("sslcert", "PGSSLCERT"),
    Parameter("sslkey", "PGSSLKEY"),
    Parameter("sslpassword", since=130000),
    _choice("sslcertmode", "PGSSLCERTMODE", "allow", "disable", "allow", "require", since=160000),
    Parameter("sslrootcert", "PGSSLROOTCERT"),
    Parameter("sslcrl", "PGSSLCRL"),
    Parameter("sslcrldir", "PGSSLCRLDIR", since=140000),
    _flag("sslsni", "PGSSLSNI", "1", 140000),
    _tls_version("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.2"),
    _tls_version("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", ""),
    _choice("channel_binding", "PGCHANNELBINDING", "prefer", "disable", "prefer", "require", since=130000),
    Parameter("require_auth", "PGREQUIREAUTH", "", 160000, _AUTH_LIST, _is_auth_list),
    # libpq's default depends on how it was built; asking for a ticket may take its time, so only on demand.
    _choice("gssencmode", "PGGSSENCMODE", "disable", "disable", "prefer", "require", since=120000),
    Parameter("krbsrvname", "PGKRBSRVNAME", "postgres"),
    _choice("gsslib", "PGGSSLIB", "", "gssapi", "sspi"),
    _flag("gssdelegation", "PGGSSDELEGATION", "0", 170000),
    Parameter("requirepeer", "PGREQUIREPEER"),
    _choice("min_protocol_version", "PGMINPROTOCOLVERSION", "3.0", *_PROTOCOLS, since=180000),
    _choice("max_protocol_version", "PGMAXPROTOCOLVERSION", "3.0", *_PROTOCOLS, since=180000),
    _integer("keepalives"),
    _integer("keepalives_idle"),
    _integer("keepalives_interval"),
    _integer("keepalives_count"),
    _integer("tcp_user_timeout", since=120000),
)
PARAMETERS = {parameter.name: parameter for parameter in _TABLE}
#: libpq sends these itself, as settings of the session.
SETTING_VARIABLES = {"PGTZ": "TimeZone", "PGDATESTYLE": "DateStyle", "PGGEQO": "geqo"}
#: What a Python caller may say besides, and the parameter it stands for.
ALIASES = {"database": "dbname", "username": "user"}
#: What exists only for Python callers, or is also understood in a connection string, with its type.
OWN = {
    "ssl": f"bool | SSLContext | {PARAMETERS['sslmode'].type}",
    "server_settings": "Mapping[str, str | float]",
    "allow_cleartext_password": "bool",
}
_UNSUPPORTED = re.compile(r"(replication|oauth_\w+|scram_\w+_key|sslkeylogfile|tty|authtype)\Z")


def checked(key: str, value: Any) -> tuple[str, str]:
    """A parameter by its own name, with its value as text; ConfigError for what does not exist or cannot be."""
    if key == "requiressl":
        key, value = "sslmode", "require" if str(value).startswith("1") else "prefer"
    if _UNSUPPORTED.match(key):
        raise ConfigError(key, Shown("<a value>"), "a parameter that a pool supports; this one makes no sense to it")
    if key == "allow_cleartext_password":
        return key, "1" if boolean(key, value) else ""
    parameter = PARAMETERS.get(key)
    if parameter is None:
        raise unknown(key, known_options())
    return key, parameter.check(value)


def known_options() -> list[str]:
    """Everything that a connection string or a caller may say about a PostgreSQL connection."""
    return [*PARAMETERS, *ALIASES, *OWN]


def boolean(key: str, value: Any) -> bool:
    """A bool, or its name."""
    names = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    found = names.get(str(value).lower())
    if found is None:
        raise ConfigError(key, value if isinstance(value, (str, int)) else Shown("<a value>"), "on | off")
    return found


def settings(given: Any) -> dict[str, str]:
    """`server_settings` as text by name; ConfigError for a name or value that a startup message cannot carry."""
    if not hasattr(given, "items"):
        raise ConfigError("server_settings", Shown(f"<{type(given).__name__}>"), "a mapping of setting names to values")
    found = {}
    for name, value in given.items():
        if not isinstance(name, str) or not _SETTING.match(name):
            raise ConfigError("server_settings", name if isinstance(name, str) else Shown("<a key>"), "setting names")
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        if not isinstance(value, (str, int, float)) or "\0" in text:
            raise ConfigError(f"server_settings.{name}", Shown(f"<{type(value).__name__}>"), "str, bool, int or float")
        if name.lower() == "client_encoding":
            PARAMETERS["client_encoding"].check(text)
        found[name] = text
    return found
