"""The two written forms of a connection string, exactly as libpq reads them, and back.

    postgresql://user:password@host1:5432,host2/database?application_name=x        (:func:`parse_url`)
    host=host1,host2 user=user password='it''s not doubled but backslashed: \\''     (:func:`parse_keyvalue`)

Both give a dict of what was written; what the keys mean is none of this module's business. Errors say what is wrong and
where, but never quote the text: the usual mistake is an unquoted character in a password, and then anything may be a
part of the password.
"""

from __future__ import annotations

import re

from ..config.options import Shown
from ..errors import ConfigError

#: What isspace() of C says in the C locale; Python's str.isspace() knows many more.
_SPACE = " \t\n\v\f\r"
_SIMPLE = re.compile(r"[^\s'\\]+\Z")
_PERCENT = re.compile(r"%(.{0,2})", re.DOTALL)
_HIDDEN = Shown("<not shown>")
URL_FORM = "postgresql://user:password@host:port/database?key=value"


def malformed(reason: str) -> ConfigError:
    """The error for a connection string that cannot be read; it does not show the string."""
    return ConfigError("dsn", _HIDDEN, reason)


def quote(value: str) -> str:
    """A value as the key=value form wants it."""
    if _SIMPLE.match(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def parse_keyvalue(text: str) -> dict[str, str]:
    """`key=value key='quoted value'`; blanks around `=` are allowed, a backslash takes the next character as it is."""
    found: dict[str, str] = {}
    at = _skip_space(text, 0)
    while at < len(text):
        start = at
        while at < len(text) and text[at] != "=" and text[at] not in _SPACE:
            at += 1
        key = text[start:at]
        at = _skip_space(text, at)
        if at == len(text) or text[at] != "=":
            raise malformed(f"key=value pairs, but after position {start} there is no '=' (quote values with blanks)")
        at = _skip_space(text, at + 1)
        if at < len(text) and text[at] == "'":
            found[key], at = _read_value(text, at + 1, "'")
            if at > len(text):
                raise malformed(f"key=value pairs, but the quote of the value of {key[:64]!r} is never closed")
        else:
            found[key], at = _read_value(text, at, _SPACE)
        at = _skip_space(text, at)
    return found


def _read_value(text: str, at: int, ends: str) -> tuple[str, int]:
    """Up to one of `ends`, and the position behind it: `len(text)` + 1 if there was none."""
    value = []
    while at < len(text) and text[at] not in ends:
        if text[at] == "\\":
            at += 1
        value.append(text[at : at + 1])
        at += 1
    return "".join(value), min(at, len(text)) + 1


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def parse_url(text: str) -> dict[str, str]:
    """A `postgresql://` or `postgres://` URL. Hosts and ports of several hosts come as lists with commas."""
    rest = text.partition("://")[2]
    found: dict[str, str] = {}
    if (sign := re.search("[@/]", rest)) and sign[0] == "@":
        found["user"], _, found["password"] = rest[: sign.start()].partition(":")
        rest = rest[sign.end() :]
    found["host"], found["port"], rest = _split_hosts(rest)
    path, question, query = rest.partition("?")
    found["dbname"] = path[1:]
    found = {key: decode(value) for key, value in found.items() if value}
    if question:
        found.update(_parse_query(query))
    return found


def _split_hosts(rest: str) -> tuple[str, str, str]:
    """`[::1]:1,h2` as hosts and ports with their commas, and what follows them."""
    hosts, ports = [], []
    while True:
        if rest.startswith("["):
            host, bracket, rest = rest[1:].partition("]")
            if not bracket or not host or (rest and rest[0] not in ":/?,"):
                raise malformed("an IPv6 address in brackets, as in postgresql://[::1]:5432/database")
        else:
            host, rest = _until(rest, ":/?,")
        port = ""
        if rest.startswith(":"):
            port, rest = _until(rest[1:], "/?,")
        hosts.append(host)
        ports.append(port)
        if not rest.startswith(","):
            return ",".join(hosts), ",".join(ports), rest
        rest = rest[1:]


def _until(text: str, ends: str) -> tuple[str, str]:
    end = next((at for at, character in enumerate(text) if character in ends), len(text))
    return text[:end], text[end:]


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    # libpq takes "?" and "?a=1&" as no more than that, but an empty pair in the middle as an error.
    pairs = query.split("&")
    for pair in pairs[:-1] if not pairs[-1] else pairs:
        if pair.count("=") != 1:
            raise malformed(f"{URL_FORM}, with one '=' in each key=value")
        key, _, value = pair.partition("=")
        key, value = decode(key), decode(value)
        if (key, value) == ("ssl", "true"):  # as JDBC writes it
            key, value = "sslmode", "require"
        found[key] = value
    return found


def decode(text: str) -> str:
    """Percent-decoded; unlike in forms, `+` is a plus. Blanks around it do not count, as in libpq from 17 on."""
    text = text.strip(" ")
    if " " in text:
        raise malformed(f"{URL_FORM}, with blanks written as %20")
    for digits in _PERCENT.findall(text):
        if not re.fullmatch("[0-9a-fA-F]{2}", digits) or digits == "00":
            raise malformed(f"{URL_FORM}, with '%' written as %25 and no %00")
    data = _PERCENT.sub(lambda match: chr(int(match[1], 16)), text.encode().decode("latin-1"))
    try:
        return data.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise malformed(f"{URL_FORM}, with UTF-8 behind its percent signs") from None
