"""What comes from outside, made up, for every engine: one target after the other, and a table of what became of it.

`python -m tests.faults.fuzzing [SECONDS [TARGET ...]]`, best as `nox -s fuzz -- ...`: SECONDS (default
:data:`SECONDS`) are for all targets together. `values`, `session` and `login` (:mod:`.fuzz_inputs`) run once for each
engine, the other targets are those of rust/fuzz. Each has a process of its own; where that ends before its time it is
begun anew with another seed, and the input that ended it is told. `DB_POOL_FUZZ_SEED` sets the first seed.
`DB_POOL_FUZZ_PRELOAD` are the libraries of the sanitizers, where the kernel of `balanced` is built with them.

The exit code is 1 if anything was found, or a target could not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
FUZZ = TOP / "rust" / "fuzz"
#: For all targets together, unless it is said otherwise.
SECONDS = 180.0
ENGINES = ("simple", "balanced", "full")
PYTHON = tuple(f"{target} {engine}" for target in ("values", "session", "login") for engine in ENGINES)
RUST = tuple(sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs")))
#: Seconds for an input, bytes for a process.
HANGS, MOST_MEMORY = 60, 1500 << 20
COLUMNS = ("inputs", "refused", "crashes", "hangs", "foreign", "wrong")


@dataclass
class Outcome:
    """What became of a target; `memory` is the most that one of its processes had, in bytes."""

    inputs: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    foreign: int = 0
    wrong: int = 0
    memory: int = 0
    missing: str = ""

    def is_clean(self) -> bool:
        """Whether it ran, and found nothing."""
        return not (self.missing or self.crashes or self.hangs or self.foreign or self.wrong)

    def line(self, name: str) -> str:
        """A row of the table."""
        if self.missing:
            return f"| {name} | {self.missing} |" + " |" * len(COLUMNS)
        counts = " | ".join(f"{getattr(self, column):,}" for column in COLUMNS)
        return f"| {name} | {counts} | {self.memory / (1 << 20):,.0f} |"


def _waited(process: subprocess.Popen[str]) -> tuple[str, int, int]:
    """What a process has written, how it ended, and the most memory it had."""
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return said, process.returncode, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- the engines as Python sees them ----------------------------------------------------------------------------------


def _environment(engine: str, input_file: Path) -> dict[str, str]:
    """That of a process; the kernel's sanitizers end it at the first finding."""
    found = os.environ | {"DB_POOL_FUZZ_INPUT": str(input_file)}
    libraries = os.environ.get("DB_POOL_FUZZ_PRELOAD")
    if libraries and engine == "balanced":
        found |= {
            "LD_PRELOAD": libraries,
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=32",
            "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1",
            "PYTHONMALLOC": "malloc",
        }
    return found


def run_python(name: str, seconds: float, seed: int) -> Outcome:
    """A target of :mod:`.fuzz_inputs`."""
    target, engine = name.split()
    total, end = Outcome(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="db-pool-fuzz-") as folder:
        input_file = Path(folder, "input")
        input_file.touch()
        while (left := end - time.monotonic()) > 0:
            command = (sys.executable, "-X", "faulthandler", "-m", "tests.faults.fuzz_inputs", target, engine)
            process = subprocess.Popen(
                (*command, str(left), str(seed)), cwd=TOP, env=_environment(engine, input_file),
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            said, code, memory = _waited(process)
            total.memory = max(total.memory, memory)
            if code not in (0, 1) or not _add(total, said):
                held = input_file.read_bytes().partition(b"\n")[0].decode()
                print(f"{name}: seed {seed}: ended with {code}; in hand: {held}", flush=True)
                total.hangs += code == -signal.SIGALRM
                total.crashes += code != -signal.SIGALRM
                if code in (0, 1):  # it cannot even begin
                    return total
            seed += 100_000
    return total


def _add(total: Outcome, said: str) -> bool:
    """Take in what a process has said; whether it came to its end."""
    *found, last = said.splitlines() or [""]
    for line in found:
        print(line, flush=True)
    if not last.startswith("{"):
        print(last, flush=True)
        return False
    for name, count in json.loads(last).items():
        setattr(total, name, getattr(total, name) + count)
    return True


# -- the engine in Rust -----------------------------------------------------------------------------------------------


def run_rust(target: str, seconds: float, seed: int) -> Outcome:
    """A target of rust/fuzz, also where there is no nightly compiler; what it found is kept in rust/fuzz/artifacts."""
    if shutil.which("cargo") is None or shutil.which("cargo-fuzz") is None:
        return Outcome(missing="not run: cargo install cargo-fuzz")
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1"}
    build = ("cargo", "fuzz", "build", f"--fuzz-dir={FUZZ}", target)
    if subprocess.run(build, cwd=TOP, env=environment, check=False).returncode:
        return Outcome(missing="not run: it cannot be built")
    corpus = FUZZ / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    total, end = Outcome(), time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        limits = (f"-max_total_time={left}", f"-timeout={HANGS}", f"-rss_limit_mb={MOST_MEMORY >> 20}")
        process = subprocess.Popen(
            ("cargo", "fuzz", "run", f"--fuzz-dir={FUZZ}", target, str(corpus), str(FUZZ / "seeds" / target), "--",
             *limits, f"-seed={seed}", "-print_final_stats=1", "-verbosity=1"),
            cwd=TOP, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        said, code, _ = _waited(process)
        total.inputs += _figure(said, "number_of_executed_units")
        total.memory = max(total.memory, _figure(said, "peak_rss_mb") << 20)
        if code:
            print(said[-4000:], flush=True)
            hang = "timeout-" in said
            total.hangs, total.crashes = total.hangs + hang, total.crashes + (not hang)
        seed += 100_000
    return total


def _figure(said: str, name: str) -> int:
    found = re.findall(rf"stat::{name}:\s+(\d+)", said)
    return int(found[-1]) if found else 0


# -- the table --------------------------------------------------------------------------------------------------------


def main(seconds: float, targets: list[str]) -> int:
    """Run the targets (default: all) and print the table; 1 if something was found."""
    chosen = [name for name in (*PYTHON, *RUST) if not targets or {name, name.split()[0]} & {*targets}]
    seed = int(os.environ.get("DB_POOL_FUZZ_SEED", "1"))
    table = {}
    for name in chosen:
        run = run_python if name in PYTHON else run_rust
        table[name] = run(name, seconds / len(chosen), seed)
        print(table[name].line(name), flush=True)
    print(f"\n| target | {' | '.join(COLUMNS)} | peak memory, MiB |")
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    for name, found in table.items():
        print(found.line(name))
    return 0 if chosen and all(found.is_clean() for found in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main(float([*sys.argv[1:], SECONDS][0]), sys.argv[2:]))
