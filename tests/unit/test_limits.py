"""The options that set numbers of the scheduler: each is declared once, in the option."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from db_pool_rs.config import PoolConfig, pool_config
from db_pool_rs.config.options import limits_of
from db_pool_rs.pool.queries import limits_for
from db_pool_rs.scheduler.cost import CostLimits
from db_pool_rs.scheduler.model import Limits

NUMBERS = {one.name for one in (*fields(Limits), *fields(CostLimits))} - {"cost"}
#: Another value of each option that sets a number, and the numbers that it then sets.
CHANGED: dict[str, tuple[Any, dict[str, Any]]] = {
    "min_size": (2, {"min_size": 2}),
    "max_size": (7, {"max_size": 7}),
    "max_waiting": (9, {"max_waiting": 9}),
    "acquire_timeout": (3.0, {"acquire_timeout": 3.0}),
    "idle_timeout": (5.0, {"idle_timeout": 5.0}),
    "group_max": (3, {"group_max": 3}),
    "stall_ms": (250.0, {"stall": 0.25, "peak_time": 0.25}),
    "fast_ms": (125.0, {"group_time": 0.125, "fast_time": 0.125}),
    "fast_bytes": (4096, {"fast_bytes": 4096}),
    "lane_wait_ms": (500.0, {"lane_wait": 0.5}),
    "write_lane_wait_ms": (750.0, {"write_lane_wait": 0.75}),
    "retry": ("reads", {"retry_reads": True}),
}


class Database:
    """What `limits_for` asks of a database."""

    read_lanes, max_write_lanes, breaks_stalls = 2, 5, True


def numbers(limits: Limits) -> dict[str, Any]:
    """Every number by its name."""
    return {
        **{one.name: getattr(limits, one.name) for one in fields(Limits) if one.name != "cost"},
        **{one.name: getattr(limits.cost, one.name) for one in fields(CostLimits)},
    }


def test_options_name_numbers_that_there_are() -> None:
    config = pool_config("sqlite://")
    assert set(limits_of(config)) <= NUMBERS
    setting = {one.name for one in fields(PoolConfig) if one.metadata.get("limits")}
    assert setting == set(CHANGED)


def test_the_defaults_of_options_and_rules_agree() -> None:
    made, rules = numbers(limits_for(pool_config("sqlite://"), Database())), numbers(Limits())  # type: ignore[arg-type]
    of_databases = {"read_lanes", "max_write_lanes", "breaks_stalls"}
    assert {name: value for name, value in made.items() if name not in of_databases} == {
        name: value for name, value in rules.items() if name not in of_databases
    }


@pytest.mark.parametrize("name", CHANGED)
def test_an_option_sets_its_numbers_and_no_others(name: str) -> None:
    value, expected = CHANGED[name]
    config = pool_config("sqlite://")
    before = numbers(limits_for(config, Database()))  # type: ignore[arg-type]
    after = numbers(limits_for(replace(config, **{name: value}), Database()))  # type: ignore[arg-type]
    assert {key: value for key, value in after.items() if value != before[key]} == expected
