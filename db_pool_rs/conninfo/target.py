"""A resolved PostgreSQL target, and how it is written for libpq. See :mod:`.conninfo`, which makes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from ..errors import ConfigError
from .dsn import quote
from .params import PARAMETERS

PasswordProvider = Callable[[], "str | Awaitable[str]"]

#: The oldest libpq that knows `require_auth`.
REQUIRE_AUTH = PARAMETERS["require_auth"].since
#: An empty `require_auth` refuses every method; this one is Windows' own.
_ANY_AUTH = "!sspi"
#: A password file that cannot exist: libpq is not to look for passwords itself.
_NO_PASSFILE = "/dev/null/none"


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host to try: a name, an address or a socket folder; `hostaddr` saves resolving the name."""

    host: str
    port: int = 5432
    hostaddr: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket."""
        return self.hostaddr is None and self.host.startswith(("/", "@"))

    def is_local(self, address: str | None = None) -> bool:
        """Whether what is sent to it at `address` stays on this machine."""
        try:
            return self.is_unix or ipaddress.ip_address(address or self.hostaddr or self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        name = self.host or self.hostaddr or ""
        return f"[{name}]:{self.port}" if ":" in name and not self.is_unix else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class SslConfig:
    """TLS, in libpq's terms (`sslmode` is `mode`, `sslcert` is `cert`); a path that is None means there is no file."""

    mode: str = "prefer"
    negotiation: str = "postgres"
    cert: str | None = None
    key: str | None = None
    password: str | None = field(default=None, repr=False)
    certmode: str = "allow"
    rootcert: str | None = None
    crl: str | None = None
    crldir: str | None = None
    sni: bool = True
    min_version: str = "TLSv1.2"
    max_version: str | None = None

    @property
    def is_certain(self) -> bool:
        """Whether no connection is ever made without TLS (over TCP)."""
        return self.mode in ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class ConnectConfig:
    """A resolved PostgreSQL target: it depends on no environment variable, service or password file any more.

    `connect_timeout` is in seconds for each host and address, None for no limit. `password_provider` is called for each
    connection; it takes the place of the hosts' passwords. `require_auth` is None unless it was asked for.
    `network` holds the remaining parameters that were given, by their libpq names (keepalives, GSS, protocol versions).
    """

    database_system: ClassVar[str] = "postgresql"

    hosts: tuple[HostSpec, ...]
    user: str
    dbname: str
    ssl: SslConfig = SslConfig()
    target_session_attrs: str = "any"
    load_balance_hosts: bool = False
    connect_timeout: float | None = 10.0
    application_name: str = ""
    options: str = ""
    server_settings: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    channel_binding: str = "prefer"
    require_auth: str | None = None
    allow_cleartext_password: bool = False
    network: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    password_provider: PasswordProvider | None = field(default=None, repr=False)

    def __str__(self) -> str:
        hosts = ",".join(map(str, self.hosts))
        attrs = "" if self.target_session_attrs == "any" else f"?target_session_attrs={self.target_session_attrs}"
        return f"postgresql://{self.user}@{hosts}/{self.dbname}{attrs}"

    def default_require_auth(self, host: HostSpec, address: str | None, has_password: bool) -> str:
        """What `require_auth` is where it is not set; "" for no restriction. Needs libpq 16.

        - `!none` where there is a password to prove: a server that begins SCRAM and skips its own proof is refused.
          A server that asks for nothing (trust, peer, cert) is refused by it too;
          :mod:`db_pool_rs.drivers.postgres.connect` allows that
          in a second attempt. Sockets are left out: who owns their folder is the server.
        - `!password` where the link may be unencrypted (`sslmode` disable, allow, prefer) and leaves this machine,
          unless `allow_cleartext_password`: the password is not sent in clear.
        """
        rules = []
        if has_password and not host.is_unix:
            rules.append("!none")
        if not (self.ssl.is_certain or host.is_local(address) or self.allow_cleartext_password):
            rules.append("!password")
        return ",".join(rules)

    def to_libpq(
        self,
        host: HostSpec,
        address: str | None = None,
        *,
        password: str | None = None,
        libpq_version: int = 180000,
        **replaced: str,
    ) -> str:
        """The connection string for libpq to reach `host` at the IP address `address`, which saves it resolving names.

        Everything is said explicitly, so that libpq takes nothing from its environment or files. `password` takes the
        place of the host's, `replaced` of parameters by their libpq names. A parameter that this libpq does not know
        is left out; ConfigError if it was given.
        """
        password = password if password is not None else host.password
        values = {
            "host": host.host,
            "hostaddr": address or host.hostaddr or "",
            "port": str(host.port),
            "user": self.user,
            "dbname": self.dbname,
            "password": password or "",
            "application_name": self.application_name,
            "options": self._libpq_options(),
            "target_session_attrs": self.target_session_attrs,
            "channel_binding": self.channel_binding,
            **self._libpq_ssl(),
            **_FIXED,
            **self.network,
        }
        if self.require_auth is not None:
            values["require_auth"] = self.require_auth
        elif libpq_version >= REQUIRE_AUTH:
            rule = replaced.pop("require_auth", None)
            rule = self.default_require_auth(host, address, bool(password)) if rule is None else rule
            values["require_auth"] = rule or _ANY_AUTH
        values.update(replaced)
        known = {name: value for name, value in values.items() if _known(name, value, libpq_version)}
        return " ".join(f"{name}={quote(value)}" for name, value in known.items())

    def _libpq_ssl(self) -> dict[str, str]:
        ssl = self.ssl
        return {
            "sslmode": ssl.mode,
            "sslnegotiation": ssl.negotiation,
            "sslcert": ssl.cert or "",
            "sslkey": ssl.key or "",
            "sslpassword": ssl.password or "",
            "sslcertmode": ssl.certmode,
            "sslrootcert": ssl.rootcert or "",
            "sslcrl": ssl.crl or "",
            "sslcrldir": ssl.crldir or "",
            "sslsni": "1" if ssl.sni else "0",
            "ssl_min_protocol_version": ssl.min_version,
            "ssl_max_protocol_version": ssl.max_version or "",
        }

    def _libpq_options(self) -> str:
        """libpq has no other way to send settings; the server splits at blanks that have no backslash."""
        parts = [self.options] if self.options else []
        for name, value in self.server_settings.items():
            plain = "".join(f"\\{c}" if c in " \t\n\v\f\r\\" else c for c in value)
            parts.append(f"-c {name}={plain}")
        return " ".join(parts)


#: Said in so many words, or libpq would look into the environment, and for passwords into files.
_FIXED = {
    "passfile": _NO_PASSFILE,
    "client_encoding": "UTF8",
    "connect_timeout": "0",
    **{
        name: PARAMETERS[name].default
        for name in (
            *("gssencmode", "krbsrvname", "gsslib", "gssdelegation", "requirepeer", "sslcompression"),
            *("load_balance_hosts", "min_protocol_version", "max_protocol_version"),
        )
    },
}


def _known(name: str, value: str, libpq_version: int) -> bool:
    """Whether this libpq knows the parameter; ConfigError if it does not and the value matters."""
    parameter = PARAMETERS[name]
    if libpq_version >= parameter.since:
        return True
    if value != parameter.default:
        raise ConfigError(name, value, f"nothing else than the default with libpq before {parameter.since // 10000}")
    return False
