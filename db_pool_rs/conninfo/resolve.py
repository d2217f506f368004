"""From what was written to a `ConnectConfig`: merges the sources in their order, and finds contradictions."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl as ssl_module
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..config.options import Shown, shown
from ..errors import ConfigError
from .dsn import URL_FORM, malformed, parse_keyvalue, parse_url
from .files import find_password, read_passfile, read_service
from .params import ALIASES, PARAMETERS, SETTING_VARIABLES, checked, settings
from .target import ConnectConfig, HostSpec, SslConfig

_SOCKET_FOLDERS = ("/var/run/postgresql", "/run/postgresql", "/tmp")
_NETWORK = (
    *("gssencmode", "krbsrvname", "gsslib", "gssdelegation", "requirepeer"),
    *("min_protocol_version", "max_protocol_version"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]*)://")


def resolve(dsn: str | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> ConnectConfig:
    """The config; see :mod:`.conninfo`."""
    options = _aliased(overrides)
    provider = options.pop("password") if callable(options.get("password")) else None
    given_settings = settings(options.pop("server_settings", {}))
    written = _checked(_written(dsn).items())
    written.update(_checked(_with_sslmode(options).items()))
    home = environ.get("HOME") or os.path.expanduser("~")
    variables = _from_environment(environ)
    service = written.get("service", variables.get("service"))
    from_service = _checked(_aliased(read_service(service, environ, home)).items()) if service else {}
    values = {**variables, **from_service, **written}
    hosts = _hosts(values)
    user = values.get("user") or _system_user()
    dbname = values.get("dbname") or user
    if provider is None:
        hosts = _with_passwords(hosts, values, dbname, user, home)
    timeout = float(_value(values, "connect_timeout"))
    return ConnectConfig(
        hosts=tuple(hosts),
        user=user,
        dbname=dbname,
        ssl=_ssl(values, home),
        target_session_attrs=_value(values, "target_session_attrs"),
        load_balance_hosts=_value(values, "load_balance_hosts") == "random",
        connect_timeout=timeout if timeout > 0 else None,
        application_name=values.get("application_name") or values.get("fallback_application_name", ""),
        options=values.get("options", ""),
        server_settings=_server_settings(given_settings, environ),
        channel_binding=_value(values, "channel_binding"),
        require_auth=values.get("require_auth", "").replace(" ", "") or None,  # libpq has no sense of blanks
        allow_cleartext_password=bool(values.get("allow_cleartext_password")),
        network=MappingProxyType({name: values[name].strip() for name in _NETWORK if values.get(name)}),
        password_provider=provider,
    )


def _value(values: Mapping[str, str], name: str) -> str:
    return values.get(name) or PARAMETERS[name].default


# ---- sources --------------------------------------------------------------------------------------------------------


def _written(dsn: str | None) -> dict[str, str]:
    if dsn is None or dsn == "":
        return {}
    if not isinstance(dsn, str):
        raise ConfigError("dsn", shown(dsn), "a str")
    if "\0" in dsn:
        raise malformed("text without NUL")
    scheme = _SCHEME.match(dsn)
    if scheme is None:
        return parse_keyvalue(dsn)
    if scheme[1] in ("postgresql", "postgres"):
        return parse_url(dsn)
    family, plus, _ = scheme[1].partition("+")
    if plus and _is_like(family.lower(), ("postgresql", "postgres", "sqlite")):
        family = "sqlite:///path" if family.lower() == "sqlite" else URL_FORM
        raise ConfigError("dsn", f"{scheme[1]}://...", f"{family}: the scheme without '+' and a driver")
    raise ConfigError("dsn", f"{scheme[1]}://...", f"{URL_FORM}, key=value pairs, or sqlite:///path")


def _is_like(word: str, known: Sequence[str]) -> bool:
    from difflib import get_close_matches

    return bool(get_close_matches(word, known))


def _checked(items: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return dict(checked(key, value) for key, value in items)


def _aliased(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by their libpq names, lists of hosts as text."""
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        name = ALIASES.get(key, key)
        if name in found:
            raise ConfigError(key, Shown("<given>"), f"only one of {key} and the other name of {name}")
        if name in ("host", "hostaddr", "port") and isinstance(value, (list, tuple)):
            value = ",".join("" if item is None else str(item) for item in value)
        found[name] = value
    return found


def _with_sslmode(options: dict[str, Any]) -> dict[str, Any]:
    """`ssl=` as `sslmode`."""
    if "ssl" not in options:
        return options
    ssl = options.pop("ssl")
    allowed = "a bool, an sslmode or an SSLContext; files go to sslrootcert, sslcert, sslkey, sslcrl (PEM)"
    if "sslmode" in options:
        raise ConfigError("ssl", Shown("<given>"), "only one of ssl and sslmode")
    if isinstance(ssl, ssl_module.SSLContext):
        from .tls import options_of  # with the modules for files of its own: not before one is needed

        return {**options_of(ssl), **options}
    if not isinstance(ssl, (bool, str)):
        raise ConfigError("ssl", Shown(f"<{type(ssl).__name__}>"), allowed)
    options["sslmode"] = ("require" if ssl else "disable") if isinstance(ssl, bool) else ssl
    return options


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, parameter in PARAMETERS.items():
        if parameter.env is not None and parameter.env in environ:
            try:
                found[name] = parameter.check(environ[parameter.env])
            except ConfigError as error:
                raise ConfigError(parameter.env, error.value, error.allowed) from None
    if "sslmode" not in found and environ.get("PGREQUIRESSL", "").startswith("1"):
        found["sslmode"] = "require"
    return found


def _server_settings(given: Mapping[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """With the settings of PG* variables. These libpq sends whatever it is told, so that they cannot be overruled."""
    names = {name.lower(): name for name in given}
    merged = dict(given)
    for variable, setting in SETTING_VARIABLES.items():
        value = environ.get(variable)
        if value and value.lower() != "default":
            name = names.get(setting.lower(), setting)
            if merged.setdefault(name, value) != value:
                raise ConfigError(f"server_settings.{name}", merged[name], f"{value!r}, since {variable} is set to it")
    return MappingProxyType(merged)


def _system_user() -> str:
    import getpass

    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        try:
            return getpass.getuser()
        except (ImportError, KeyError, OSError):
            raise ConfigError("user", None, "a user name: that of this process cannot be found") from None


# ---- hosts ----------------------------------------------------------------------------------------------------------


def _hosts(values: Mapping[str, str]) -> list[HostSpec]:
    """Hosts, addresses and ports side by side."""
    names = values.get("host", "").split(",")
    addresses = values["hostaddr"].split(",") if values.get("hostaddr") else [""] * len(names)
    if not values.get("host"):
        names = [""] * len(addresses)
    if len(addresses) != len(names):
        raise ConfigError("hostaddr", values["hostaddr"], f"as many addresses as hosts, which are {len(names)}")
    ports = [_port(text) for text in values.get("port", "").split(",")]
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise ConfigError("port", values["port"], f"one port, or as many as hosts, which are {len(names)}")
    found: list[HostSpec] = []
    for name, address, port in zip(names, addresses, ports, strict=True):
        if name or address:
            found.append(HostSpec(_host_name(name), port, _address(address)))
        else:
            found += [HostSpec(default, port) for default in _default_hosts()]
    return found


def _default_hosts() -> list[str]:
    folder = next(filter(os.path.isdir, _SOCKET_FOLDERS), None) if os.name == "posix" else None
    return [folder, "localhost"] if folder else ["localhost"]


def _port(text: str) -> int:
    if not text.strip():
        return 5432
    if re.fullmatch(r"\s*\+?[0-9]+\s*", text, re.ASCII) and 1 <= int(text) <= 65535:
        return int(text)
    # In postgresql://user:pass/word@host the "port" is a part of the password.
    value = text if re.fullmatch(r"[+-]?[0-9]+", text) and len(text) < 8 else Shown("<not shown>")
    raise ConfigError("port", value, "1 to 65535 (a URL needs percent-encoding for @ : / ? # in a user or password)")


def _host_name(name: str) -> str:
    if not name.startswith(("/", "@")) and (not name.isprintable() or any(c in name for c in " @/?#\\")):
        # In postgresql://user:pass@word@host the rest of the password is taken for a part of the host.
        allowed = "a host name, address or socket folder (in a URL, @ in a user or password is written as %40)"
        raise ConfigError("host", Shown("<not shown>"), allowed)
    return name


def _address(text: str) -> str | None:
    if not text:
        return None
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError("hostaddr", text, "an IPv4 or IPv6 address") from None
    return text


def _with_passwords(
    hosts: list[HostSpec], values: Mapping[str, str], dbname: str, user: str, home: str
) -> list[HostSpec]:
    if values.get("password"):
        return [replace(host, password=values["password"]) for host in hosts]
    entries = read_passfile(values.get("passfile") or os.path.join(home, ".pgpass"))
    if not entries:
        return hosts
    return [replace(host, password=_from_file(entries, host, dbname, user)) for host in hosts]


def _from_file(entries: list[list[str]], host: HostSpec, dbname: str, user: str) -> str | None:
    name = "localhost" if host.host in _SOCKET_FOLDERS else host.host or host.hostaddr or "localhost"
    return find_password(entries, name, host.port, dbname, user)


# ---- TLS ------------------------------------------------------------------------------------------------------------


def _ssl(values: Mapping[str, str], home: str) -> SslConfig:
    mode = _ssl_mode(values)
    folder = os.path.join(home, ".postgresql")

    def path(name: str, default: str) -> str | None:
        if values.get(name):
            return values[name]
        found = os.path.join(folder, default)
        return found if mode != "disable" and os.path.exists(found) else None

    cert = path("sslcert", "postgresql.crt")
    rootcert = path("sslrootcert", "root.crt")
    if mode.startswith("verify") and rootcert is None:
        raise ConfigError("sslrootcert", None, f"path of the certificates to trust, or 'system': sslmode is {mode}")
    return SslConfig(
        mode=mode,
        negotiation=_value(values, "sslnegotiation"),
        cert=cert,
        key=path("sslkey", "postgresql.key") if cert else None,
        password=values.get("sslpassword") or None,
        certmode=_value(values, "sslcertmode"),
        rootcert=rootcert,
        crl=values.get("sslcrl") or (None if values.get("sslcrldir") else path("sslcrl", "root.crl")),
        crldir=values.get("sslcrldir") or None,
        sni=_value(values, "sslsni") == "1",
        min_version=_value(values, "ssl_min_protocol_version"),
        max_version=_value(values, "ssl_max_protocol_version") or None,
    )


def _ssl_mode(values: Mapping[str, str]) -> str:
    """sslmode, held against what cannot go with a weaker one."""
    system = values.get("sslrootcert") == "system"
    mode = values.get("sslmode") or ("verify-full" if system else PARAMETERS["sslmode"].default)
    if system and mode != "verify-full":
        raise ConfigError("sslmode", mode, "verify-full, since sslrootcert is 'system'")
    if values.get("sslnegotiation") == "direct" and mode not in ("require", "verify-ca", "verify-full"):
        raise ConfigError("sslmode", mode, "require | verify-ca | verify-full, since sslnegotiation is 'direct'")
    return mode
