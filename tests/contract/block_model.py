"""What a connection does with transaction blocks, and with commands for them by hand: as states that it may be in.

:func:`run` is one command on PostgreSQL; `test_blocks_by_hand.py` holds it against the server. The rest is a session of
the pool on top of it: what begins a block travels with the next statement, and one whose BEGIN was stopped executes
nothing until its end. What is cancelled, or meets its deadline, leaves several states that the connection may be in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

OUTSIDE, FAILED, NO_SAVEPOINT, STOPPED, DIVISION = "25P01", "25P02", "3B001", "57014", "22012"
INSERT, WRONG, SLOW = "INSERT", "SELECT 1/0", "SELECT pg_sleep(60)"
#: After these no block is open.
ENDS = ("COMMIT", "ROLLBACK")


@dataclass(frozen=True)
class State:
    """A connection: what is committed; the open block's savepoints, each with what was inserted before it."""

    committed: frozenset[int] = frozenset()
    #: What the open transaction has inserted; None outside of one.
    inserted: frozenset[int] | None = None
    savepoints: tuple[tuple[str, frozenset[int]], ...] = ()
    failed: bool = False
    #: What travels with the next statement; BEGIN was stopped, so that nothing is executed; the holder has ended that.
    pending: tuple[str, ...] = ()
    refused: bool = False
    overridden: bool = False
    #: Names of the blocks that are open, the innermost last; "" for one that began a transaction.
    blocks: tuple[str, ...] = ()
    count: int = 0


#: A state, and what the caller is told: a command tag, or an SQLSTATE.
Outcome = tuple[State, str]


def run(state: State, sql: str) -> Outcome:
    """One command on a plain connection; `INSERT 5` inserts a row."""
    word, _, rest = sql.partition(" ")
    if sql in ("COMMIT AND CHAIN", "ROLLBACK AND CHAIN"):
        if state.inserted is None:
            return state, OUTSIDE
        ended, tag = run(state, word)
        return replace(ended, inserted=frozenset()), tag
    if sql in ENDS:
        keep = state.inserted if sql == "COMMIT" and not state.failed and state.inserted is not None else frozenset()
        tag = "ROLLBACK" if state.failed else sql
        return replace(state, committed=state.committed | keep, inserted=None, savepoints=(), failed=False), tag
    if word in ("SAVEPOINT", "RELEASE") or sql.startswith("ROLLBACK TO"):
        return _savepoint(state, word, rest.removeprefix("TO ").removeprefix("SAVEPOINT "))
    if state.failed:
        return state, FAILED
    if sql == "BEGIN":
        return (state if state.inserted is not None else replace(state, inserted=frozenset())), sql
    if word == INSERT:
        new = frozenset((int(rest),))
        if state.inserted is None:
            return replace(state, committed=state.committed | new), "INSERT 0 1"
        return replace(state, inserted=state.inserted | new), "INSERT 0 1"
    return _failed(state), DIVISION if sql == WRONG else STOPPED


def _failed(state: State) -> State:
    return replace(state, failed=state.inserted is not None)


def _savepoint(state: State, word: str, name: str) -> Outcome:
    if state.inserted is None:
        return state, OUTSIDE
    if state.failed and word != "ROLLBACK":
        return state, FAILED
    if word == "SAVEPOINT":
        return replace(state, savepoints=(*state.savepoints, (name, state.inserted))), word
    at = next((at for at in reversed(range(len(state.savepoints))) if state.savepoints[at][0] == name), None)
    if at is None:
        return _failed(state), NO_SAVEPOINT
    if word == "RELEASE":
        return replace(state, savepoints=state.savepoints[:at]), word
    kept = state.savepoints[: at + 1]
    return replace(state, savepoints=kept, inserted=kept[at][1], failed=False), word


# -- a session of the pool ---------------------------------------------------------------------------------------------


def in_block(state: State) -> bool:
    """Whether a statement that is called now runs inside a transaction."""
    return state.inserted is not None or bool(state.pending) or state.refused


def call(state: State, sql: str) -> Outcome:
    """A statement, behind the commands that travel with it."""
    if state.refused:
        if sql in ENDS:
            return replace(state, refused=False, overridden=True, pending=()), "ROLLBACK"
        return state, FAILED
    commands = (*state.pending, sql)
    if sql == "ROLLBACK":  # nothing of savepoints is of interest then
        commands = tuple(one for one in commands if one in ("BEGIN", sql))
    state = replace(state, pending=())
    for command in commands:
        state, told = run(state, command)
        if told[0].isdigit():
            break
    return state, told


def stopped(state: State, sql: str) -> set[State]:
    """What may be when a caller gave up: it was not sent, or executed, or stopped with what travels with it."""
    found = {state, call(state, sql)[0]}
    if not state.refused:
        at, rest = replace(state, pending=()), state.pending
        for number, command in enumerate((*rest, sql)):
            begins = command == "BEGIN" and number < len(rest)
            found.add(replace(at, refused=True) if begins and at.inserted is None else _failed(at))
            at, _ = run(at, command)
    return found


def begin(state: State) -> State:
    """A block is entered: its command is pending."""
    name = f"s{state.count}" if in_block(state) else ""
    command = f"SAVEPOINT {name}" if name else "BEGIN"
    return replace(state, pending=(*state.pending, command), blocks=(*state.blocks, name), count=state.count + 1)


def end(state: State, commit: bool) -> Outcome:
    """The innermost block is left; told is "" if nothing is wrong."""
    name = state.blocks[-1]
    state, told = _end(replace(state, blocks=state.blocks[:-1]), name, commit)
    if not name:
        state = replace(state, refused=False, overridden=False)
    return state, told


def _end(state: State, name: str, commit: bool) -> Outcome:
    start = f"SAVEPOINT {name}" if name else "BEGIN"
    unsent = start in state.pending
    before = replace(state, pending=state.pending[: state.pending.index(start)]) if unsent else state
    if state.refused:
        return (before if name else replace(before, pending=())), FAILED if commit else ""
    if commit and state.overridden and not in_block(state):
        return state, FAILED
    if unsent:
        return before, ""
    if commit:
        after, told = call(state, f"RELEASE {name}" if name else "COMMIT")
        if any(one.startswith(("ROLLBACK TO", "RELEASE")) for one in state.pending) and _fails(state):
            after, _ = _undone(after, name)  # it was not executed
        return after, told if told[0].isdigit() else FAILED if told == "ROLLBACK" else ""
    return _undone(state, name) if in_block(state) else (state, "")


def _fails(state: State) -> bool:
    """Whether what is pending fails."""
    for command in state.pending:
        state, told = run(state, command)
        if told[0].isdigit():
            return True
    return False


def _undone(state: State, name: str) -> Outcome:
    """What undoes a block is executed."""
    for command in (f"ROLLBACK TO {name}", f"RELEASE {name}") if name else ("ROLLBACK",):
        state, told = run(state, command)
        if told[0].isdigit():
            return state, told
    return state, ""


def ends(state: State, commit: bool) -> set[Outcome]:
    """What leaving the innermost block may come to: while a call is being stopped, it is undone with the next one."""
    found = {end(state, commit)}
    name = state.blocks[-1]
    may_wait = not commit and name and state.inserted is not None and not state.refused
    if may_wait and f"SAVEPOINT {name}" not in state.pending:
        undo = (f"ROLLBACK TO {name}", f"RELEASE {name}")
        found.add((replace(state, blocks=state.blocks[:-1], pending=(*state.pending, *undo)), ""))
    return found


def end_stopped(state: State, commit: bool) -> set[State]:
    """What may be when the caller of a block's end gave up: the block is over, and kept as a whole or not at all."""
    undone = {after for after, _ in ends(state, False)}
    return undone | {end(state, True)[0]} if commit else undone


def each(states: Iterable[State], step: Callable[[State], Iterable[Outcome]], told: str) -> set[State]:
    """The states in which something may be, in one of these, that has told this."""
    return {after for state in states for after, heard in step(state) if heard == told}
