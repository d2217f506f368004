"""Writes what is generated in this project: every table and page that would else be kept alike by hand.

    python -m db_pool_rs.tools.generate_interfaces            write what is out of date
    python -m db_pool_rs.tools.generate_interfaces --check    write nothing; exit status 1 if something is out of date

From one description each, in db_pool_rs/_data: the exception classes of SQLSTATEs, the SQLSTATEs that Python's and
Rust's engines treat alike, and the tables of built-in types of both, and of docs/types.md.
From the code: the options as type checkers see them, the table of features in docs/modes.md, and the reference of
options, docs/configuration.md. It works in a checkout of the project; a change is made in the description, or in the
option that the words come from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ._files import write_file
from .interfaces import conditions, keywords, reference, sqlstates, types
from .interfaces.target import ROOT, read

GENERATORS = (sqlstates, conditions, types, keywords, reference)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.generate_interfaces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    check = parser.parse_args(arguments).check
    if not (ROOT / "pyproject.toml").exists():
        print("error: only a checkout of the project can be generated, this is an installed package", file=sys.stderr)
        return 1
    stale = 0
    for generator in GENERATORS:
        for path, wanted in generator.outputs().items():
            if wanted != read(path):
                stale += 1
                print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'is written'}", file=sys.stderr)
                if not check:
                    write_file(path, wanted)
    if stale and check:
        print("run: python -m db_pool_rs.tools.generate_interfaces", file=sys.stderr)
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
