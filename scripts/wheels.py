"""Builds the wheels and source distributions of all three distributions into dist/; `nox -s wheels` runs it on Linux.

    python scripts/wheels.py [--out DIR] [--pythons 3.10,3.13] [--sdists] [db-pool-rs] [balanced] [full]

It makes what the workflow `release` makes, for the machine it runs on. Wheels with native code get the manylinux tag
that their symbols allow, and the libraries they need, by auditwheel; what auditwheel says of each is printed. libpq
comes from its source (cext/libpq), newer than most systems', and is part of the module; it has TLS and no GSSAPI.
OpenSSL is the system's, which is put into the wheel. All files have the time SOURCE_DATE_EPOCH, by default that of the
last commit, so two builds are equal. Needs uv, git, a C compiler, OpenSSL's headers, cargo, auditwheel and patchelf;
`--sdists`, which leaves the wheels out, neither the headers nor the last two.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = "3.10,3.11,3.12,3.13"
#: Distributions by the name that the command line has for them.
PACKAGES = {"db-pool-rs": "db-pool-rs", "balanced": "db-pool-rs-balanced", "full": "db-pool-rs-full"}


def main() -> int:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("--pythons", default=PYTHONS, help=f"versions, with commas (default: {PYTHONS})")
    parser.add_argument("--sdists", action="store_true", help="source distributions alone")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PACKAGES)} (default: all)")
    options = parser.parse_args()
    names = options.names or list(PACKAGES)
    if unknown := set(names) - set(PACKAGES):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PACKAGES)}")
    out = options.out.resolve()
    environment = {"SOURCE_DATE_EPOCH": _epoch(), **os.environ}
    # Interpreters were built to find their own libraries at a path of this machine, which is of no use elsewhere.
    environment["LDSHARED"] = f"{os.environ.get('CC', 'cc')} -shared"
    for name in names:
        _uv("build", "--sdist", f"--package={PACKAGES[name]}", f"--out-dir={out}", env=environment)
    if not options.sdists:
        _wheels(names, options.pythons.split(","), out, environment)
    (out / ".gitignore").unlink(missing_ok=True)  # of uv; the folder holds what is to be published
    return 0


def _wheels(names: list[str], versions: list[str], out: Path, environment: dict[str, str]) -> None:
    """Build the wheels of these distributions, those with native code for each of the versions of Python."""
    if "db-pool-rs" in names:
        _uv("build", "--wheel", "--package=db-pool-rs", f"--out-dir={out}", env=environment)
    with tempfile.TemporaryDirectory() as scratch:
        if "balanced" in names:
            environment["DB_POOL_STATIC_LIBPQ"] = str(libpq(Path(scratch, "libpq")))
        pythons = interpreters(versions)
        for name in (one for one in names if one != "db-pool-rs"):
            for number, python in enumerate(pythons):
                built = _native(PACKAGES[name], python, Path(scratch, f"{name}{number}"), out, environment)
                _run("auditwheel", "show", str(built))


def libpq(folder: Path) -> Path:
    """Build libpq from the source that cext/libpq/Cargo.lock names; `folder` gets `include` and `lib/libpq.a`."""
    cargo = ["cargo", "build", "--release", "--locked", "--message-format=json"]
    manifest = ROOT / "cext" / "libpq" / "Cargo.toml"
    done = subprocess.run([*cargo, f"--manifest-path={manifest}"], stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    scripts = [one for one in messages if one["reason"] == "build-script-executed" and "pq-src" in one["package_id"]]
    built = Path(scripts[0]["out_dir"])
    shutil.copytree(built / "include", folder / "include")
    (folder / "lib").mkdir()
    shutil.copy(built / "libpq.a", folder / "lib")
    return folder


def _native(package: str, python: str, scratch: Path, out: Path, environment: dict[str, str]) -> Path:
    """Build a wheel for one interpreter, tell auditwheel to make it fit other machines, and give its path."""
    _uv("build", "--wheel", f"--python={python}", f"--package={package}", f"--out-dir={scratch}", env=environment)
    (raw,) = scratch.glob("*.whl")
    if package == PACKAGES["balanced"]:
        _tell_libpq(raw)
    repaired = scratch / "repaired"
    _run("auditwheel", "repair", "--strip", f"--wheel-dir={repaired}", str(raw), env=environment)
    (wheel,) = repaired.glob("*.whl")
    return Path(shutil.move(wheel, out / wheel.name))


def _tell_libpq(wheel: Path) -> None:
    """Add the bill of materials (CycloneDX) for what is linked into the module; auditwheel adds its own, and RECORD."""
    lock = (ROOT / "cext" / "libpq" / "Cargo.lock").read_text(encoding="utf-8")
    found = re.search(r'name = "pq-src"\nversion = "([^"]+libpq-([^"]+))"', lock)
    assert found is not None, "cext/libpq/Cargo.lock does not name pq-src"
    part = {
        **{"type": "library", "name": "libpq", "version": found[2]},
        "licenses": [{"license": {"id": "PostgreSQL"}}],
        "purl": f"pkg:cargo/pq-src@{found[1].replace('+', '%2B')}",
    }
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [part]}
    name = "-".join(wheel.name.split("-")[:2])
    member = zipfile.ZipInfo(f"{name}.dist-info/sboms/libpq.cdx.json")  # its time is 1980, whenever it is made
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, json.dumps(bill, indent=1) + "\n")


def interpreters(versions: list[str]) -> list[str]:
    """The interpreters of these versions that are on PATH or that pyenv has; a missing one is told."""
    found = []
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in versions:
        on_path = shutil.which(f"python{version}")
        candidates = [*([on_path] if on_path else []), *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))]
        works = (one for one in candidates if subprocess.run([one, "-c", ""], capture_output=True).returncode == 0)
        python = next(works, None)
        if python is None:
            print(f"Python {version} is not installed: no wheels for it", file=sys.stderr)
        else:
            found.append(python)
    if not found:
        sys.exit("error: no interpreter to build for")
    return found


def _epoch() -> str:
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _uv(*arguments: str, env: dict[str, str]) -> None:
    _run("uv", *arguments, "--quiet", env=env)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    print("+", *command, file=sys.stderr, flush=True)
    subprocess.run(command, cwd=ROOT, env=env, check=True)


if __name__ == "__main__":
    sys.exit(main())
