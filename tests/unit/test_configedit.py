"""A value of a YAML file is changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.config.yaml_file import set_value
from db_pool_rs.errors import ConfigError
from tests.meta.source import ROOT

NAMES = st.sampled_from(["mode", "deployment", "simple", "pools", "other"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text("ab: #'\"", max_size=6)
DOCUMENTS = st.dictionaries(NAMES, st.dictionaries(NAMES, SCALARS, min_size=1), max_size=4)


@given(DOCUMENTS, NAMES, NAMES, st.sampled_from([False, None]))
def test_the_rest_of_the_data_stays(data: Any, section: str, key: str, flow: bool | None) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, sort_keys=False) if data else ""
    wanted = {**data, section: {**data.get(section, {}), key: 7}}
    assert yaml.safe_load(set_value(text, section, key, 7)) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "deployment:\n  mode: full\n"),
        ("# mine\n", "# mine\ndeployment:\n  mode: full\n"),
        ("deployment:\n", "deployment:\n  mode: full\n"),
        ("deployment:", "deployment:\n  mode: full"),
        ("deployment:  # why\n  mode: 'auto'  # was\n", "deployment:  # why\n  mode: full  # was\n"),
        ("deployment:\n    auto_selection: {}\n", "deployment:\n    mode: full\n    auto_selection: {}\n"),
        ("deployment: {mode: auto}\n", "deployment: {mode: full}\n"),
        ("deployment: {}\n", "deployment: {mode: full}\n"),
        ("pools:\n  a: {}", "pools:\n  a: {}\n\ndeployment:\n  mode: full\n"),
    ],
)
def test_the_text_around_stays(text: str, wanted: str) -> None:
    assert set_value(text, "deployment", "mode", "full") == wanted


def test_one_line_of_the_example_changes() -> None:
    text = (ROOT / "config.example.yaml").read_text()
    changed = set_value(text, "full", "max_blocking_threads", 16)
    different = [pair for pair in zip(text.splitlines(), changed.splitlines(), strict=True) if pair[0] != pair[1]]
    assert [new.split("#")[0].strip() for _, new in different] == ["max_blocking_threads: 16"]


@pytest.mark.parametrize("text", ["- a\n", "word", "{pools: {}}\n"])
def test_a_form_without_room_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        set_value(text, "deployment", "mode", "full")
