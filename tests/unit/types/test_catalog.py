"""What a pool knows of types that are not built in, and for how long."""

from __future__ import annotations

import pytest

from db_pool_rs.errors import DecodeError
from db_pool_rs.types import catalog as module
from db_pool_rs.types import oids
from db_pool_rs.types.catalog import FRESH, Catalog, TypesUnknown

ENUM = ("100", "mood", "e", "0", ",", None, "mood", "public")
PAIR = ("200", "pair", "c", "0", ",", '[["a", 23], ["m", 100]]', "pair", "public")
PAIRS = ("201", "pair[]", "a", "200", ",", None, "_pair", "public")


class Clock:
    """The time of `time.monotonic`, which passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_is_missing(clock: Clock) -> None:
    known = Catalog()
    assert known.missing((100, 201, oids.INT4.oid)) == (100, 201)
    known.learn((100,), [ENUM])
    assert known.missing((100, 201)) == (201,)
    known.learn((201, 300), [ENUM, PAIR, PAIRS])
    assert known.missing((100, 200, 201, 300)) == (), "a type that does not exist is known as well"
    known.forget((100,))
    assert known.missing((100, 200, 201)) == (100, 200, 201), "a part is not known"
    with pytest.raises(TypesUnknown):
        known.encoder(201)
    with pytest.raises(DecodeError, match="did not tell what type 100 is"):
        known.loader(201, lambda oid: bytes.decode)


# rule 4.7
def test_fields_are_relied_on_for_a_while(clock: Clock) -> None:
    known = Catalog()
    known.learn((201,), [ENUM, PAIR, PAIRS])
    clock.now += FRESH - 1
    assert known.missing((100, 200, 201)) == ()
    clock.now += 2
    assert known.missing((100, 200, 201)) == (200, 201), "an enum has no parts"
    known.learn((201,), [ENUM, PAIR, PAIRS])
    assert known.missing((100, 200, 201)) == ()


@pytest.mark.parametrize(
    "row", [("100", "mood", "e"), (None, *ENUM[1:]), ("x", *ENUM[1:]), (*PAIR[:5], "[[1]]", *PAIR[6:])]
)
def test_an_answer_that_cannot_be_read(row: tuple[str | None, ...]) -> None:
    with pytest.raises(DecodeError, match="the server's answer about types cannot be read"):
        Catalog().learn((100,), [row])
