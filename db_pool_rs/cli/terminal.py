"""What appears on the screen: tables, styled words, a progress bar.

Everything is plain text wherever it is not certain that a person looks at it: no colour unless the stream is a
terminal (never with NO_COLOR or TERM=dumb), no progress bar, no layout that depends on the width. Control characters in
data are shown as escapes, so what a database holds cannot steer the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Collection, Sequence
from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Terminal:
    """A stream for people, and what it can show."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        dumb = os.environ.get("TERM") == "dumb"
        self.interactive = stream.isatty() and not dumb
        self.colour = self.interactive and not os.environ.get("NO_COLOR")
        #: None: as wide as it likes, because it is not shown directly.
        self.width = shutil.get_terminal_size().columns if self.interactive else None

    def style(self, text: str, name: str) -> str:
        """`text` in bold, dim, red, green or yellow where the stream shows colours."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str = "") -> None:
        """Write one line."""
        self.stream.write(text + "\n")

    def heading(self, text: str) -> None:
        """Write an empty line and a title."""
        self.line()
        self.line(self.style(text, "bold"))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | None]], right: Collection[int] = ()) -> None:
        """Write rows under their columns; None shows as NULL, the columns in `right` are aligned to the right.

        A table wider than the terminal is written one value a line instead, as psql's expanded display.
        """
        titles = [printable(column) for column in columns]
        cells = [[None if value is None else printable(value) for value in row] for row in rows]
        widths = [
            max(display_width(titles[i]), *(display_width(row[i] or "NULL") for row in cells), 1)
            for i in range(len(titles))
        ]
        if self.width is not None and sum(widths) + 3 * len(widths) - 1 > self.width:
            self._expanded(titles, cells)
            return
        self.line(" | ".join(pad(self.style(t, "bold"), w, t) for t, w in zip(titles, widths, strict=True)).rstrip())
        self.line("-+-".join("-" * width for width in widths))
        for row in cells:
            line = (self._cell(value, widths[i], i in right) for i, value in enumerate(row))
            self.line(" | ".join(line).rstrip())

    def _cell(self, value: str | None, width: int, right: bool) -> str:
        if value is None:
            return pad(self.style("NULL", "dim"), width, "NULL", right)
        return pad(value, width, value, right)

    def _expanded(self, titles: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        width = max(map(display_width, titles))
        for number, row in enumerate(rows, 1):
            self.line(self.style(f"-[ row {number} ]-", "dim"))
            for title, value in zip(titles, row, strict=True):
                self.line(f"{pad(title, width, title)} | {self._cell(value, 0, False)}")


class Progress:
    """A bar that redraws itself in place; silent unless the stream is interactive."""

    WIDTH = 28

    def __init__(self, terminal: Terminal, wanted: bool) -> None:
        self._terminal = terminal
        self._shown = wanted and terminal.interactive

    def show(self, fraction: float, text: str) -> None:
        """Draw the bar at `fraction` (0..1) with `text` behind it."""
        if not self._shown:
            return
        done = round(max(0.0, min(fraction, 1.0)) * self.WIDTH)
        bar = f"[{'#' * done}{'.' * (self.WIDTH - done)}] {min(fraction, 1.0):4.0%}  {text}"
        self._terminal.stream.write(f"\r{bar[: (self._terminal.width or 80) - 1]}\x1b[K")
        self._terminal.stream.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._terminal.stream.write("\r\x1b[K")
            self._terminal.stream.flush()


def printable(text: str) -> str:
    """`text` on one line, with control and direction-changing characters as visible escapes."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def display_width(text: str) -> int:
    """Columns that `text` takes on a terminal: none for combining characters, two for wide ones."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(shown: str, width: int, plain: str, right: bool = False) -> str:
    """`shown` filled up with spaces to `width`; `plain` is the same without styles."""
    space = " " * (width - display_width(plain))
    return space + shown if right else shown + space
