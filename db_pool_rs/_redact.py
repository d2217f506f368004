"""Passwords out of texts that people will see: messages, logs, reprs.

It knows the forms in which a connection string carries a secret: the userinfo of a URL, a URL parameter, `key=value`
with the quotes and backslashes of libpq, and the repr of a dict of options. In doubt it hides too much, never too
little: a mistyped connection string is exactly the one that ends up in an error message.

Redact first and quote afterwards: `repr()` changes the quotes by which the end of a password is found.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_SECRET = r"(?:\w*password|passwd|pwd|\w*secret|scram_\w+_key)"
_SECRET_NAME = re.compile(_SECRET + r"\Z", re.IGNORECASE)
_SECRETS = re.compile(
    # To leave "@", "/" or a blank in a password unescaped is a common mistake, so userinfo ends at the last "@" of the
    # line, or before the next URL; except where what follows looks like a port and there is none in the same word. (The limit keeps the time linear.)
    r"(?P<userinfo>://[^:/@?#\s]*:)(?:(?!\d{1,5}(?:[/?,:;'\")\s]|\Z))(?:(?:(?!://).){0,999}|.{0,999})|\S{0,999})(?=@)"
    r"|(?P<parameter>[?&](?P<name>[^=&?\s]+)=)(?P<value>[^&\s]*)"
    rf"|(?P<option>(?<![?&\w])\"?'?{_SECRET}(?:\s*=|[\"']\s*:)\s*)"
    r"(?:'(?:\\(?s:.)|[^'\\])*(?:'|\\?\Z)|\"(?:\\(?s:.)|[^\"\\])*(?:\"|\\?\Z)|(?:\\(?s:.)|[^\s\\])*)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with the password of every connection string in it replaced by `***`."""
    return _SECRETS.sub(_hide, text) if "=" in text or ":" in text else text


def is_secret(key: str) -> bool:
    """Whether an option of this name (or dotted path) holds a secret: `password`, `main.sslpassword`."""
    return _SECRET_NAME.search(key) is not None


def _hide(match: re.Match[str]) -> str:
    name = match["name"]
    if name is None:
        return f"{match['userinfo'] or match['option']}{HIDDEN}"
    # libpq decodes the names of URL parameters as well.
    return f"{match['parameter']}{HIDDEN if is_secret(unquote(name)) else match['value']}"
