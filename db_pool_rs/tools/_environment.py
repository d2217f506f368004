"""The environment that the setup scripts made in a clone, for programs that another interpreter is told to run there.

After `./scripts/setup_balanced.sh`, `python -m db_pool_rs.tools.verify_migration` in the same shell: without an active
environment, `python` is the system's, which finds the package in the clone's folder, and no engine.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def enter(module: str) -> None:
    """Start the program anew with the clone's environment, if the package is not installed for this interpreter."""
    clone = Path(__file__).resolve().parents[2]
    folder = clone / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")
    python = folder / "bin" / "python"
    if not (clone / "scripts" / "_common.sh").exists() or not python.exists() or folder == Path(sys.prefix):
        return
    try:
        version("db-pool-rs")
    except PackageNotFoundError:
        print(f"db_pool_rs is not installed for {sys.executable}; going on with {python}", file=sys.stderr, flush=True)
        os.execv(python, [str(python), "-m", module, *sys.argv[1:]])
