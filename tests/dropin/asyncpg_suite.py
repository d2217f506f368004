"""asyncpg's own tests on asyncpg and on `db_pool_rs.asyncpg`, each contender in a process and a folder of its own.

    python -m tests.dropin.asyncpg_suite FOLDER [CONTENDER ...] [--write] [--reports FOLDER]

This is what `nox -s asyncpg` runs. FOLDER is asyncpg's source distribution, unpacked. A contender is `asyncpg` or a
mode (all of them by default). The tests import `asyncpg`, which is this package's module; the parts of asyncpg that its
tests are made with (their base classes, the server they start) are those of the distribution.

It fails if a test fails that passes with asyncpg, unless :mod:`.asyncpg_reasons` says why. `--write` puts the counts
into docs/asyncpg.md. With `--reports` pytest's reports are kept in a folder, and what has one there is not run again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.dropin.asyncpg_reasons import REASONS, reason
from tests.dropin.page import write
from tests.meta.source import ROOT
from tests.plugins.installation import find_installation

#: Parts of asyncpg that its tests are made with.
PARTS = ("_testbase", "cluster.py", "serverversion.py", "utils.py")
#: Tests of asyncpg's source code, of its test base, and of private functions.
LEFT_OUT = ("test__environment", "test__sourcecode", "test_scram", "test_subinterpreters", "test_test", "test_utils")
CONTENDERS = ("asyncpg", "simple", "balanced", "full")
BEGIN, END = "<!-- asyncpg's tests: begin -->\n", "<!-- asyncpg's tests: end -->\n"

#: What became of each test, by "file.class.test": "passed", "skipped", or what the test says that fails.
Outcomes = dict[str, str]


def run(contender: str, source: Path, report: Path) -> None:
    """Run asyncpg's tests with a contender; they start a server of their own, as the account that servers run as."""
    folder = Path(tempfile.mkdtemp(prefix="db-pool-asyncpg-"))
    try:
        installation = find_installation(folder)
        shutil.copytree(source / "tests", folder / "tests")
        for key in (folder / "tests" / "certs").glob("*.key*.pem"):
            key.chmod(0o600)
        for name in LEFT_OUT:
            (folder / "tests" / f"{name}.py").unlink()
        (folder / "distro.py").write_text("def id(): return ''")  # of a distribution whose libraries some tests avoid
        if contender != "asyncpg":
            _put_parts(source, folder)
        for path in (folder, *folder.rglob("*")):
            installation.give(path)
        account = installation.account  # PostgreSQL refuses to run as root
        command = (
            *(() if account is None else ("setpriv", f"--reuid={account.pw_uid}", "--clear-groups")),
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "ignore"),
            *("--tb=native", "--timeout=40", f"--rootdir={folder}", f"--junitxml={folder / 'report.xml'}", "tests"),
        )
        more = {
            "PGINSTALLATION": str(installation.bindir),
            "DB_POOL_MODE": contender,
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        }
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=folder, env=environment | more, capture_output=True, text=True, check=False)
        if not (folder / "report.xml").exists():
            raise SystemExit(f"{contender}: the tests did not run\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        shutil.copy(folder / "report.xml", report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_parts(source: Path, folder: Path) -> None:
    """Have `import asyncpg` mean this package's module, with what the tests need beside it."""
    theirs = folder / "theirs"
    theirs.mkdir()
    for name in PARTS:
        part = source / "asyncpg" / name
        (shutil.copytree if part.is_dir() else shutil.copy)(part, theirs / name)
    shutil.copy(Path(__file__).with_name("asyncpg_conftest.py"), folder / "tests" / "conftest.py")


def outcomes(report: Path) -> Outcomes:
    """What became of the tests, from pytest's report in XML."""
    found: Outcomes = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{str(case.get('classname')).removeprefix('tests.')}.{case.get('name')}"
        failure = next((one for kind in ("failure", "error") if (one := case.find(kind)) is not None), None)
        kind = "skipped" if case.find("skipped") is not None else "passed"
        said = kind if failure is None else f"failed: {failure.get('message')}"
        found[name] = found[name] if name in found and failure is None else said  # a test may fail at its end only
    return found


def explained(contender: str, found: dict[str, Outcomes]) -> dict[str, str | None]:
    """The tests that pass with asyncpg and fail with a contender, and why."""
    theirs = found["asyncpg"]
    failed = {name: said for name, said in found[contender].items() if said.startswith("failed")}
    alone = sorted(name for name in failed if not theirs.get(name, "").startswith("failed"))
    return {name: reason(name, failed[name]) for name in alone}


def table(found: dict[str, Outcomes]) -> Iterator[str]:
    """Lines of Markdown: passed tests by file and contender, then the reasons of what fails with ours alone."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for contender, one in found.items():
        for name, kind in one.items():
            if kind == "passed":
                counts[name.partition(".")[0]][contender] += 1
                counts["all"][contender] += 1
    yield f"| passed | {' | '.join(f'`{one}`' for one in found)} |"
    yield f"|---|{'---:|' * len(found)}"
    for file in (*sorted({*counts} - {"all"}), "all"):
        yield f"| {file} | {' | '.join(str(counts[file][one]) for one in found)} |"
    yield ""
    yield f"| what fails with ours alone | {' | '.join(f'`{one}`' for one in found if one != 'asyncpg')} |"
    yield f"|---|{'---:|' * (len(found) - 1)}"
    reasons = [Counter(explained(one, found).values()) for one in found if one != "asyncpg"]
    for text in dict.fromkeys(text for *_, text in REASONS):
        if any(one[text] for one in reasons):
            yield f"| {text} | {' | '.join(str(one[text]) for one in reasons)} |"


def main() -> int:
    """Run the contenders; what fails without a reason is printed, and how many tests that are is returned."""
    add = argparse.ArgumentParser(prog="python -m tests.dropin.asyncpg_suite")
    add.add_argument("source", type=Path)
    add.add_argument("contenders", nargs="*", metavar="CONTENDER")
    add.add_argument("--write", action="store_true")
    add.add_argument("--reports", type=Path)
    given = add.parse_args()
    chosen = [one for one in CONTENDERS if one in {*(given.contenders or CONTENDERS), "asyncpg"}]
    found: dict[str, Outcomes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for contender in chosen:
            report = (given.reports or Path(folder)) / f"{contender}.xml"
            if not report.exists():
                run(contender, given.source, report)
            found[contender] = outcomes(report)
            print(
                f"{contender}: {dict(Counter(said.partition(':')[0] for said in found[contender].values()))}",
                flush=True,
            )
    lines = list(table(found))
    print("\n".join(lines))
    if given.write:
        write(ROOT / "docs/asyncpg.md", BEGIN, lines, END)
    ours = [one for one in found if one != "asyncpg"]
    unexplained = [
        f"{one}: {name}: {found[one][name][:200]}"
        for one in ours
        for name, why in explained(one, found).items()
        if why is None
    ]
    print(f"{len(unexplained)} without a reason", *unexplained, sep="\n")
    return len(unexplained)


if __name__ == "__main__":
    sys.exit(bool(main()))
