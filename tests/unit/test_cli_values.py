"""Values as text and as JSON, the terminal's tables, arguments that are numbers."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.cli.terminal import Progress, Terminal, display_width, printable
from db_pool_rs.cli.values import as_json, as_text, interval_text, is_number, row_object

UTC = dt.timezone.utc


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, tty: bool) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "40")


@pytest.mark.parametrize(
    ("value", "text", "json_value"),
    [
        (None, None, None),
        ("x", "x", "x"),
        (True, "true", True),
        (7, "7", 7),
        (1.5, "1.5", 1.5),
        (float("nan"), "nan", "nan"),
        (float("-inf"), "-inf", "-inf"),
        (Decimal("1.10"), "1.10", "1.10"),
        (b"\x00\xff", "\\x00ff", "\\x00ff"),
        (memoryview(b"ab"), "\\x6162", "\\x6162"),
        (dt.date(2026, 1, 31), "2026-01-31", "2026-01-31"),
        (dt.time(1, 2, 3), "01:02:03", "01:02:03"),
        (dt.datetime(2026, 1, 31, 1, 2, 3, tzinfo=UTC), "2026-01-31T01:02:03+00:00", "2026-01-31T01:02:03+00:00"),
        (dt.timedelta(days=1, seconds=5), "1 day 00:00:05", "1 day 00:00:05"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8", "10.0.0.0/8"),
        ([1, None, Decimal("2.0")], '[1, null, "2.0"]', [1, None, "2.0"]),
        ({"a": [dt.date(2026, 1, 1)]}, '{"a": ["2026-01-01"]}', {"a": ["2026-01-01"]}),
    ],
)
def test_a_value_as_text_and_as_json(value: Any, text: str | None, json_value: Any) -> None:
    assert as_text(value) == text
    assert as_json(value) == json_value
    json.dumps(as_json(value), allow_nan=False)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (dt.timedelta(0), "00:00:00"),
        (dt.timedelta(hours=26, microseconds=500_000), "1 day 02:00:00.5"),
        (dt.timedelta(days=-2), "-2 days -00:00:00"),
        (-dt.timedelta(hours=1, microseconds=1), "-01:00:00.000001"),
    ],
)
def test_intervals_have_one_sign(interval: dt.timedelta, text: str) -> None:
    assert interval_text(interval) == text


def test_columns_of_the_same_name_are_all_kept() -> None:
    assert row_object(("a", "a", "a_2", "a"), (1, 2, 3, 4)) == {"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}


def test_what_counts_as_a_number() -> None:
    assert [is_number(value) for value in (1, 1.5, Decimal(1), True, "1", b"1", dt.date.min)] == [True] * 3 + [
        False
    ] * 4


class TestTerminal:
    def table(self, tty: bool, *rows: tuple[str | None, ...]) -> str:
        screen = Screen(tty)
        Terminal(screen).table(("id", "name"), rows, right={0})
        return screen.getvalue()

    def test_a_table_is_aligned(self) -> None:
        assert self.table(False, ("1", "Ada"), ("20", None)).splitlines() == [
            "id | name",
            "---+-----",
            " 1 | Ada",
            "20 | NULL",
        ]

    def test_wide_and_combining_characters_take_the_room_they_take(self) -> None:
        header, _, *rows = self.table(False, ("1", "東京"), ("2", "e\N{COMBINING ACUTE ACCENT}a")).splitlines()
        assert header == "id | name"
        assert rows == [" 1 | 東京", " 2 | e\N{COMBINING ACUTE ACCENT}a"]

    def test_colours_need_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "\x1b[2mNULL\x1b[0m" in self.table(True, ("1", None))
        assert "\x1b" not in self.table(False, ("1", None))
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in self.table(True, ("1", None))

    def test_a_dumb_terminal_gets_plain_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert "\x1b" not in self.table(True, ("1", None))

    def test_a_table_wider_than_the_terminal_is_written_down_not_across(self) -> None:
        long = "x" * 50
        assert long in self.table(False, ("1", long)).splitlines()[2]
        lines = self.table(True, ("1", long), ("2", None)).splitlines()
        assert "row 2" in lines[3]
        assert lines[1:3] == ["id   | 1", f"name | {long}"]

    def test_data_cannot_steer_the_terminal(self) -> None:
        assert "\x1b" not in self.table(False, ("1", "\x1b[2J"))
        assert printable("a\nb\tc\x1b\u202e") == "a\\nb\\tc\\x1b\\u202e"

    @given(st.text())
    def test_printable_text_is_one_line_of_known_width(self, text: str) -> None:
        shown = printable(text)
        assert len(shown.splitlines()) <= 1
        assert 0 <= display_width(shown) <= 2 * len(shown)


class TestProgress:
    def test_the_bar_is_drawn_in_place_and_taken_away(self) -> None:
        screen = Screen(True)
        progress = Progress(Terminal(screen), wanted=True)
        progress.show(0.5, "half")
        drawn = screen.getvalue()
        assert drawn.startswith("\r[##############")
        assert len(drawn.removeprefix("\r").removesuffix("\x1b[K")) < 40
        progress.clear()
        assert screen.getvalue().endswith("\r\x1b[K")
        assert "\n" not in screen.getvalue()

    @pytest.mark.parametrize(("tty", "wanted"), [(False, True), (True, False)])
    def test_no_bar_where_it_is_not_seen_or_not_wanted(self, tty: bool, wanted: bool) -> None:
        screen = Screen(tty)
        progress = Progress(Terminal(screen), wanted)
        progress.show(1.0, "done")
        progress.clear()
        assert screen.getvalue() == ""
