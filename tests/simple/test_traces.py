"""The recorded traces, replayed through this scheduler: the same actions for the same events."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from db_pool_rs.scheduler.model import Reason
from tests.simple.record_traces import FOLDER, RECORDS
from tests.simple.trace import Replay

PATHS = sorted(RECORDS)
EVENTS = {
    "start", "submit", "acquire", "end_of_tick", "cancel", "opened", "open_failed", "closed", "finished", "measured",
    "lost", "cancel_closed", "reset_done", "released", "resize", "expire", "shut_down", "terminate", "handle_timeout",
}  # fmt: skip
ACTIONS = {"open", "send", "lend", "cancel", "reset", "close", "deliver", "fail"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_scheduler_does_what_was_recorded(path: Path) -> None:
    for number, (event, done) in enumerate(Replay(path.read_text().splitlines()), 2):
        assert done["do"] == event["do"], f"line {number}: {event['event']}"
        assert done["wake"] == pytest.approx(event["wake"], abs=1e-9), f"line {number}: {event['event']}"


@pytest.mark.parametrize("path", [PATHS[0], PATHS[1], PATHS[-1]], ids=lambda path: path.stem)
def test_traces_are_recorded_the_same_every_time(path: Path) -> None:
    assert RECORDS[path]() == path.read_text(), "run: python -m tests.simple.record_traces"


def test_the_traces_cover_the_change_between_one_lane_for_writes_and_two() -> None:
    replay = Replay((FOLDER / "writes.jsonl").read_text().splitlines())
    numbers = [replay.scheduler.write_lanes.lanes for _ in replay]
    assert sum(before != after for before, after in itertools.pairwise(numbers)) > 3
    assert numbers.count(2) > 500


def test_the_traces_cover_every_event_action_and_reason() -> None:
    assert sorted(FOLDER.glob("*.jsonl")) == PATHS
    lines = [json.loads(line) for path in PATHS for line in path.read_text().splitlines()[1:]]
    done = [action for line in lines for action in line["do"]]
    assert {line["event"] for line in lines} == EVENTS
    assert {action[0] for action in done} == ACTIONS
    assert {action[2] for action in done if action[0] == "fail"} == {reason.value for reason in Reason}
    groups = [len(action[2]) for action in done if action[0] == "send"]
    assert sum(size > 1 for size in groups) > 200
    assert max(groups) >= 20
