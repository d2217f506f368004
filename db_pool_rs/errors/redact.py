"""Passwords out of texts that people will see: messages, logs, reprs.

It knows the forms in which a connection string carries a secret: the userinfo of a URL, a URL parameter, `key=value`
with the quotes and backslashes of libpq, and the repr of a dict of options. In doubt it hides too much, never too
little: a mistyped connection string is exactly the one that ends up in an error message.

Redact first and quote afterwards: `repr()` changes the quotes by which the end of a password is found.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_SECRET = r"(?:\w*password|passwd|pwd|\w*secret|scram_\w+_key)"
#: One of them is in every name that `_SECRET` means.
_PARTS = ("password", "passwd", "pwd", "secret", "scram_")
_SECRET_NAME = re.compile(_SECRET + r"\Z", re.IGNORECASE)
_USERINFO = re.compile(r"://[^:/@?#\s]*:")
_PORT = re.compile(r"\d{1,5}(?:[/?,:;'\")\s]|\Z)")
_WORD = re.compile(r"\S*")
_OPTIONS = re.compile(
    r"(?P<parameter>[?&](?P<name>[^=&?\s]+)=)(?P<value>[^&\s]*)"
    rf"|(?P<option>(?<![?&\w])\"?'?{_SECRET}(?:\s*=|[\"']\s*:)\s*)"
    r"(?:'(?:\\(?s:.)|[^'\\])*(?:'|\\?\Z)|\"(?:\\(?s:.)|[^\"\\])*(?:\"|\\?\Z)|(?:\\(?s:.)|[^\s\\])*)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with the password of every connection string in it replaced by `***`."""
    if "://" in text and "@" in text:
        text = _without_userinfo(text)
    return _OPTIONS.sub(_hide, text) if ("=" in text or ":" in text) and _may_hold_option(text) else text


def _may_hold_option(text: str) -> bool:
    """Whether there is a part of what `_OPTIONS` looks for: to look for that takes longer than all else of an error."""
    if "?" in text or "&" in text:
        return True
    folded = text.casefold()
    return any(part in folded for part in _PARTS)


def _without_userinfo(text: str) -> str:
    parts, position = [], 0
    while match := _USERINFO.search(text, position):
        end = _userinfo_end(text, match.end())
        parts.append(text[position : match.end()])
        if end >= 0:
            parts.append(HIDDEN)
        position = max(end, match.end())
    return "".join([*parts, text[position:]])


def _userinfo_end(text: str, start: int) -> int:
    """Where the password ends that may begin here; -1 if there is none.

    To leave "@", "/" or a blank in a password unescaped is a common mistake, so it ends at the last "@" before the next
    URL, or else of the line. Where it looks like a port, only an "@" in the same word makes a password of it.
    """
    if _PORT.match(text, start):
        word = _WORD.match(text, start)
        return text.rfind("@", start, word.end() if word else start)
    line = text.find("\n", start)
    line = len(text) if line < 0 else line
    following = text.find("://", start, line)
    end = text.rfind("@", start, following) if following >= 0 else -1
    return end if end >= 0 else text.rfind("@", start, line)


def is_secret(key: str) -> bool:
    """Whether an option of this name (or dotted path) holds a secret: `password`, `main.sslpassword`."""
    return _SECRET_NAME.search(key) is not None


def _hide(match: re.Match[str]) -> str:
    name = match["name"]
    if name is None:
        return f"{match['option']}{HIDDEN}"
    from urllib.parse import unquote  # of all who show an error, few show a URL

    # libpq decodes the names of URL parameters as well.
    return f"{match['parameter']}{HIDDEN if is_secret(unquote(name)) else match['value']}"
