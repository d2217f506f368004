"""Connection strings, for every engine at once: :func:`parse_dsn` resolves whatever is given into one frozen value.

    >>> config = parse_dsn("postgresql://app:secret@db1:5433,db2/shop?target_session_attrs=read-write", environ={})
    >>> str(config), config.hosts[1].port, config.ssl.mode
    ('postgresql://app@db1:5433,db2:5432/shop?target_session_attrs=read-write', 5432, 'prefer')
    >>> parse_dsn("sqlite:///app.db?mode=ro").path
    'app.db'

**Forms.** `postgresql://` and `postgres://` URLs and `key=value` strings in libpq's grammar (:mod:`._dsn`), and
`sqlite:` (:mod:`._sqlitedsn`). Several hosts are tried in turn. A host that begins with `/` or `@` is the folder or
abstract name of a unix socket (in a URL: `postgresql://%2Frun%2Fpostgresql/db` or `?host=/run/postgresql`).

**Precedence.** Keyword arguments, the string, the service (`service=`, PGSERVICE), the PG* variables, the password
file, defaults: the socket folder of this machine and then localhost, port 5432, the user that runs the process, and a
database named like the user. An empty parameter counts as not given, but hides what comes after it in this order.

**Keywords beside libpq's.** `database` and `username` (dbname, user); `port` as an int; `host`, `hostaddr` and `port`
as lists; `password` as a callable that returns a str or an awaitable of one, called for every connection; `ssl`: a bool
(require, disable), an sslmode or an `ssl.SSLContext` (:mod:`.tls` tells what is read off it); `server_settings`:
session settings by name; `allow_cleartext_password` (also in the string). `connect_timeout` is 10 seconds for each host
and address, and may be a fraction; 0 waits for ever. The server has as long again for what the pool does before a
connection serves: its first question and `init`, or the reset (and for that not longer than `acquire_timeout`).

**What differs from libpq.** The encoding of the connection is always UTF8. GSS encryption is off unless `gssencmode`
asks for it. A server cannot have the password in clear over an unencrypted link, nor skip its part of SCRAM: see
:meth:`ConnectConfig.default_require_auth`. Every mistake is a :class:`~db_pool_rs.errors.ConfigError`; no message, repr
or str shows a password.

Reading is done at once and blocks for as long as the small files (service, passwords) take; nothing is resolved over
the network here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .params import ALIASES, OWN, PARAMETERS, SQLITE_OPTIONS
from .resolve import resolve
from .target import REQUIRE_AUTH, ConnectConfig, HostSpec, PasswordProvider, SslConfig

if TYPE_CHECKING:
    from .sqlite import SqliteConfig

__all__ = [
    "OPTIONS",
    "REQUIRE_AUTH",
    "ConnectConfig",
    "HostSpec",
    "PasswordProvider",
    "SqliteConfig",
    "SslConfig",
    "parse_dsn",
]

#: Every keyword of :func:`parse_dsn` for any database. `mode` of SQLite is left to the string: to a pool the word
#: means something else.
OPTIONS = frozenset([*PARAMETERS, *ALIASES, *OWN, *SQLITE_OPTIONS]) - {"mode"}


def __getattr__(name: str) -> Any:
    """What is of use for SQLite alone is imported when it is used."""
    if name != "SqliteConfig":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sqlite import SqliteConfig

    return globals().setdefault(name, SqliteConfig)


def parse_dsn(
    dsn: str | None = None, *, environ: Mapping[str, str] | None = None, **overrides: Any
) -> ConnectConfig | SqliteConfig:
    """Resolve a connection string and keyword arguments that win over it; the module tells forms and precedence.

    `environ` takes the place of `os.environ`. A keyword that is None counts as not given. ConfigError names the
    parameter that does not exist (and similar ones), has a wrong value or contradicts another.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    if isinstance(dsn, str) and dsn.startswith("sqlite:"):
        from .sqlite import parse_sqlite

        return parse_sqlite(dsn, given)
    return resolve(dsn, os.environ if environ is None else environ, given)
