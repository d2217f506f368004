"""Records the traces that every implementation of the scheduler must reproduce.

python -m tests.simple.record_traces            write tests/simple/traces/*.jsonl
python -m tests.simple.record_traces --check    fail if they are not what this scheduler does
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.simple.machine import QUICK, World
from tests.simple.moves import ENDS, Dice, random_limits, texts_of, walk
from tests.simple.trace import Recorder

FOLDER = Path(__file__).parent / "traces"
TRACES = 30
EVENTS = 300


def record(seed: int) -> str:
    """One trace: a random walk, one of the ends, and then all goes well."""
    dice = Dice(seed)
    recorder = Recorder()
    world = World(slow_close=dice.pick((True, False)), recorder=recorder, **random_limits(dice))
    world.texts = recorder.texts = texts_of(world, fast=dice.pick((True, True, False)))
    recorder.scheduler = world.scheduler
    header = recorder.header(seed, (3, QUICK, 100.0))
    world.start()
    while len(recorder.events) < EVENTS:
        walk(world, dice, 1)
    ENDS[sorted(ENDS)[seed % len(ENDS)]](world)
    world.turn()
    world.behave()
    return "\n".join([header, *recorder.events]) + "\n"


def path_of(seed: int) -> Path:
    """Where the trace of a seed is kept."""
    return FOLDER / f"walk-{seed:02}.jsonl"


def main() -> int:
    """Write or check all traces; the exit status."""
    parser = argparse.ArgumentParser(description="Records traces of the scheduler.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a trace differs")
    check = parser.parse_args().check
    stale = []
    for seed in range(TRACES):
        path, text = path_of(seed), record(seed)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text)
    if stale:
        print(f"not what the scheduler does: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
