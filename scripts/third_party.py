"""Writes rust/THIRD_PARTY.txt: the licences of everything that is compiled into the engine of mode full.

    python scripts/third_party.py            write it
    python scripts/third_party.py --check    write nothing; exit status 1 if it is out of date

The crates are those of `cargo metadata`, without what only tests and builds use; a crate that is offered under several
licences is used under MIT where that is one of them. Equal texts are written once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RUST = Path(__file__).resolve().parents[1] / "rust"
TARGET = RUST / "THIRD_PARTY.txt"
MODULE = "db-pool-rs-full"


def crates() -> list[dict[str, Any]]:
    """What is compiled into the module, by name and version; our own left out."""
    command = ["cargo", "metadata", "--manifest-path", str(RUST / "Cargo.toml"), "--locked", "--format-version=1"]
    metadata = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    left = [id for id, package in packages.items() if package["name"] == MODULE]
    found: set[str] = set()
    while left:
        id = left.pop()
        if id not in found:
            found.add(id)
            normal = (one for one in nodes[id]["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"]))
            left += [one["pkg"] for one in normal]
    others = (packages[id] for id in found if packages[id]["source"] is not None)
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def texts(crate: dict[str, Any]) -> list[str]:
    """The licence that the crate is used under; empty if it carries none."""
    folder = Path(crate["manifest_path"]).parent
    names = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.upper().startswith(names))
    mit = [path for path in files if "MIT" in path.name.upper()]
    if mit and " AND " not in crate["license"] and "MIT" in crate["license"]:
        files = mit
    return ["\n".join(path.read_text("utf-8", "replace").split("\n")).strip() for path in files]


def render() -> str:
    """The whole file."""
    users: dict[str, list[str]] = {}
    listed = []
    for crate in crates():
        name = f"{crate['name']} {crate['version']}"
        listed.append(f"{name}: {crate['license']}")
        for text in texts(crate) or [f"The crate carries no text of its licence, {crate['license']}."]:
            users.setdefault(text, []).append(name)
    head = "The module db_pool_rs_full contains these crates, each under its licence, which is given below.\n\n"
    parts = [head + "\n".join(listed)]
    parts += [f"{'=' * 80}\n{', '.join(names)}\n\n{text}" for text, names in users.items()]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write, or check."""
    wanted = render()
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text("utf-8") == wanted:
            return 0
        print(f"{TARGET.name} is out of date: run scripts/third_party.py", file=sys.stderr)
        return 1
    TARGET.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
