"""The exception classes of db_pool_rs/errors/_sqlstates.py, one for each SQLSTATE, from PostgreSQL's own list.

The list, db_pool_rs/_data/errcodes.txt, is that of PostgreSQL 18 with the classes kept that it no longer has but older
servers still send. Class names are the condition names in CamelCase, as in psycopg.errors, so that what people know
and search for works here; the codes of "success" and "warning" have none, because no error is ever raised for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from .target import BY, PACKAGE, read

SOURCE = PACKAGE / "_data" / "errcodes.txt"
TARGET = PACKAGE / "errors" / "_sqlstates.py"

NOT_ERRORS = {"00", "01"}
RENAMED = {"XX000": "InternalError_"}  # "InternalError" is a class of the DB-API that means something else

_SECTION = re.compile(r"Section: Class (?P<code>\w\w) - (?P<title>[^(]+)")
_CODE = re.compile(r"(?P<code>\w{5})\s+[EWS]\s+ERRCODE_\w+\s+(?P<name>\w+)\s*$")

FOOTER = """

# People should see, import and pickle the public name.
for _class in BY_SQLSTATE.values():
    _class.__module__ = "db_pool_rs.errors"
"""

HEADER = f'''\
"""One exception class for each SQLSTATE class and code of PostgreSQL; import them from `db_pool_rs.errors`.

{BY} from _data/errcodes.txt: edit those, not this file.
"""

from __future__ import annotations

from .base import DatabaseError
'''


class Section(NamedTuple):
    """An SQLSTATE class: its two characters, its title, its codes with their condition names (aliases left out)."""

    code: str
    title: str
    conditions: dict[str, str]

    @property
    def base_code(self) -> str:
        """The code of the class itself."""
        return f"{self.code}000"


def parse(text: str) -> list[Section]:
    """The sections of errcodes.txt that stand for errors. ValueError for a line that is none of its known forms."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SECTION.match(line):
            sections.append(Section(match["code"], match["title"].strip(), {}))
        elif match := _CODE.match(line):
            sections[-1].conditions.setdefault(match["code"], match["name"])
        elif line.strip() and not line.startswith("#") and not re.match(r"\w{5}\s+[EWS]\s+ERRCODE_\w+\s*$", line):
            raise ValueError(f"{SOURCE.name}, line {number}: cannot read {line!r}")
    return [section for section in sections if section.code not in NOT_ERRORS]


def camel(words: str) -> str:
    """A condition name or title in CamelCase."""
    return "".join(word.capitalize() for word in re.split(r"[\s_]+", words))


def class_names(sections: list[Section]) -> dict[str, str]:
    """SQLSTATE -> class name; a name that an earlier class has already taken gets `Ext`, as in psycopg."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for section in sections:
        conditions = {section.base_code: section.title, **section.conditions}
        for code, condition in conditions.items():
            name = RENAMED.get(code) or camel(condition)
            names[code] = f"{name}Ext" if name in taken else name
            taken.add(names[code])
    return names


def render(sections: list[Section]) -> str:
    """The whole generated module."""
    names = class_names(sections)
    listed = "".join(f'    "{name}",\n' for name in sorted(names.values()))
    parts = [HEADER, f"\n__all__ = [\n{listed}]\n"]
    for section in sections:
        base = names[section.base_code]
        parts.append(f"\n\n# Class {section.code} - {section.title}\n")
        parts.append(one_class(base, "DatabaseError", section.base_code))
        for code in section.conditions:
            if code != section.base_code:
                parts.append(one_class(names[code], base, code))
    table = "".join(f'    "{code}": {name},\n' for code, name in names.items())
    parts.append(f"\n\nBY_SQLSTATE: dict[str, type[DatabaseError]] = {{\n{table}}}\n{FOOTER}")
    return "".join(parts)


def one_class(name: str, base: str, code: str) -> str:
    """The statement that makes a class."""
    return f'\n\nclass {name}({base}):\n    sqlstate = "{code}"\n'


def outputs() -> dict[Path, str]:
    """The wanted text of the module."""
    return {TARGET: render(parse(read(SOURCE)))}
