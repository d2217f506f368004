"""Records the traces that every implementation of the scheduler must reproduce.

python -m tests.simple.record_traces            write tests/simple/traces/*.jsonl
python -m tests.simple.record_traces --check    fail if they are not what this scheduler does
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from db_pool_rs.scheduler.model import Deliver
from tests.simple.machine import QUICK, READ, WRITE, World
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
    world.queries = recorder.queries = texts_of(world, fast=dice.pick((True, True, False)))
    recorder.scheduler = world.scheduler
    header = recorder.header(seed, (3, QUICK, 100.0))
    world.start()
    while len(recorder.events) < EVENTS:
        walk(world, dice, 1)
    ENDS[sorted(ENDS)[seed % len(ENDS)]](world)
    world.end_of_tick()
    world.behave()
    return "\n".join([header, *recorder.events]) + "\n"


def record_writes(seed: int) -> str:
    """Nine tasks that write again and again, on a disk that is quick at first: two lanes are tried, taken, and left."""
    dice = Dice(seed)
    recorder = Recorder()
    world = World(min_size=2, max_size=2, recorder=recorder)
    query = world.query(WRITE)
    world.queries, recorder.queries, recorder.scheduler = [query], [query], world.scheduler
    header = recorder.header(seed, (3, QUICK, 100.0))
    world.start()
    while world.opening:
        world.opened()
    world.run(query, 9)
    while len(recorder.events) < 16 * EVENTS:
        quick = len(recorder.events) < 8 * EVENTS
        world.advance(0.006 if quick == (len(world.running) > 1) else 0.018)
        world.finished(dice.pick(list(world.running)))
        world.run(query, sum(len(action.group) for action in world.last(Deliver)))
    return "\n".join([header, *recorder.events]) + "\n"


def record_far(seed: int) -> str:
    """Tasks that read and write on a link of 5 ms, which then becomes shorter than a commit: lanes for all, and not."""
    dice = Dice(seed)
    recorder = Recorder()
    world = World(min_size=1, max_size=6, recorder=recorder)
    texts = [world.query(READ), world.query(WRITE)]
    world.queries, recorder.queries, recorder.scheduler = texts, texts, world.scheduler
    header = recorder.header(seed, (3, QUICK, 100.0))
    world.start()
    world.opened(round_trip=0.005)
    for _ in range(40):
        world.run(dice.pick(texts))
    while len(recorder.events) < 4 * EVENTS:
        if world.opening:
            world.opened(round_trip=0.005)
        service = 0.0004 if len(recorder.events) < 2 * EVENTS else 0.008
        world.advance(0.001)
        world.finished(dice.pick(list(world.running)), seconds=0.005 + service)
        for action in world.last(Deliver):
            for statement in action.group:
                world.submit(statement.query)
                if dice.number(1, 4) == 1:
                    world.end_of_tick(unheard=1)
        world.end_of_tick()
    return "\n".join([header, *recorder.events]) + "\n"


#: What is recorded in which file.
RECORDS: dict[Path, Callable[[], str]] = {
    **{FOLDER / f"walk-{seed:02}.jsonl": partial(record, seed) for seed in range(TRACES)},
    FOLDER / "writes.jsonl": partial(record_writes, TRACES),
    FOLDER / "far.jsonl": partial(record_far, TRACES + 1),
}


def main() -> int:
    """Write or check all traces; the exit status."""
    parser = argparse.ArgumentParser(description="Records traces of the scheduler.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a trace differs")
    check = parser.parse_args().check
    stale = []
    for path, recorded in RECORDS.items():
        query = recorded()
        if check and (not path.exists() or path.read_text() != query):
            stale.append(path.name)
        elif not check:
            path.write_text(query)
    if stale:
        print(f"not what the scheduler does: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
