"""The rules of docs/scheduling.md, parts 1 and 2: one test for each, in virtual time.

Its other rules: test_scheduler_lanes, test_scheduler_faults, test_scheduler_loss, test_scheduler_upkeep,
test_scheduler_closing.
"""

from __future__ import annotations

import pytest

from db_pool_rs.scheduler.model import Cancel, Deliver, Lend, Reset, Send, State
from db_pool_rs.sql import StatementClass
from tests.simple.machine import OTHER, READ, ROUND_TRIP, SESSION, WRITE, World

# -- statement classes -------------------------------------------------------------------------------------------------


# rules 1.1, 2.1
def test_reads_are_grouped_with_reads() -> None:
    world = World.ready(1)
    world.submit(world.query(READ), 3)
    world.submit(world.query(READ), 2)
    world.end_of_tick()
    assert world.sizes == [5]


# rules 1.1, 2.1
def test_writes_are_grouped_with_writes() -> None:
    world = World.ready(1)
    world.run(world.query(WRITE), 5)
    assert world.sizes == [5]


# rule 2.1
def test_reads_and_writes_never_mix() -> None:
    world = World.ready(2)
    read, write = world.query(READ), world.query(WRITE)
    for _ in range(4):
        world.submit(read)
        world.submit(write)
    world.end_of_tick()
    assert [{s.query for s in send.group} for send in world.sends] == [{read}, {write}]


# rules 3.9, 8.4
def test_what_the_guard_asks_waits_behind_no_other() -> None:
    world = World.ready(1)
    unknown, asked = world.query(OTHER), world.query(OTHER)
    asked.urgent = True
    world.run(unknown)
    first = world.sends[0].conn
    waiting = world.submit(unknown, 3)
    session = world.acquire()
    (question,) = world.submit(asked)
    world.end_of_tick()
    world.finished(first)
    assert world.sends[0].group == [question]
    world.finished(first)
    assert world.sends[0].group == [waiting[0]], "the others have kept their order"
    assert world.answer(session) is None


# rule 8.4
def test_deadlines_of_what_the_guard_asks_may_be_equal() -> None:
    world = World.ready(1)
    asked = world.query(OTHER)
    asked.urgent = True
    for _ in range(3):
        (question,) = world.submit(asked, timeout=30.0)
        world.end_of_tick()
        world.finished(world.sends[0].conn)
        assert world.answer(question) == "delivered"


# rule 1.1
def test_session_statements_take_a_connection_to_themselves_and_it_is_reset_after() -> None:
    world = World.ready(1)
    setting, read = world.query(SESSION, dirties=True), world.query(READ)
    (statement,) = world.run(setting)
    conn = world.sends[0].conn
    assert conn.state is State.ALONE
    world.run(read)
    world.finished(conn)
    assert world.answer(statement) == "delivered"
    assert world.last(Reset), "the session is reset"
    assert not world.sends, "no other request gets it before"
    world.reset_done(conn)
    assert world.sizes == [1]


def test_a_session_statement_that_fails_is_reset_after_too() -> None:
    world = World.ready(1)
    world.run(world.query(SESSION, dirties=True))
    world.finished(world.sends[0].conn, ok=False)
    assert world.last(Reset)


# rule 1.1
@pytest.mark.parametrize("kind", [OTHER, SESSION])
def test_other_statements_are_not_grouped_however_fast(kind: StatementClass) -> None:
    world = World.ready(3)
    world.run(world.query(kind), 5)
    assert world.sizes == [1, 1, 1]
    assert not world.last(Reset)


# -- groups ------------------------------------------------------------------------------------------------------------


# rule 2.1
def test_a_connection_runs_one_group_at_a_time_of_at_most_group_max() -> None:
    world = World.ready(1)
    world.run(world.query(cost=0.000001), 150)
    assert world.sizes == [64]
    world.finished(world.sends[0].conn)
    assert world.sizes == [64]
    world.finished(world.sends[0].conn)
    assert world.sizes == [22]


# rule 2.2
def test_groups_1_results_are_handed_out_only_when_the_ready_for_query_has_come() -> None:
    world = World.ready(1)
    reads = world.run(world.query(), 3)
    world.advance(0.01)
    assert world.outcome(reads) == {None}
    world.finished(next(iter(world.running)))
    assert world.outcome(reads) == {"delivered"}


def test_the_next_group_is_sent_before_the_answers_of_this_one_are_handed_out() -> None:
    world = World.ready(1)
    world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.run(world.query(), 3)
    world.finished(conn)
    assert [type(action) for action in world.actions] == [Send, Deliver]


# rule 2.3
def test_groups_2_if_anything_fails_each_statement_is_sent_again_alone() -> None:
    world = World.ready(2)
    writes = world.run(world.query(WRITE), 3)
    world.finished(world.sends[0].conn, ok=False)
    assert world.sizes == [1, 1]
    assert [send.group[0] for send in world.sends] == writes[:2], "in their old order"
    assert world.outcome(writes) == {None}
    world.finished(world.sends[0].conn, ok=False)
    assert world.answer(writes[0]) == "delivered", "only what it did alone is reported"
    world.behave()
    assert world.outcome(writes) == {"delivered"}
    assert world.scheduler.broken_up == 1
    assert world.scheduler.resent == 3


# rule 2.3
def test_groups_2_answers_of_a_broken_up_group_are_forgotten() -> None:
    world = World.ready(1)
    first, second = world.run(world.query(), 2)
    first.value, second.error = [1], ValueError()
    world.finished(world.sends[0].conn, ok=False)
    assert [first.value, second.error] == [None, None]


# rule 2.3
def test_groups_2_those_that_are_sent_again_come_before_later_ones() -> None:
    world = World.ready(1)
    first = world.run(world.query(), 2)
    conn = world.sends[0].conn
    waiter = world.lend()
    world.finished(conn, ok=False)
    assert world.sends[0].group == first[:1]
    world.finished(conn)
    assert world.sends[0].group == first[1:]
    world.finished(conn)
    assert world.last(Lend)[0].waiter is waiter


# rule 2.4
def test_groups_3_a_text_that_failed_lately_is_not_grouped_for_a_while() -> None:
    world = World.ready(4, read_lanes=1)
    query = world.query()
    world.run(query)
    world.finished(world.sends[0].conn, ok=False)
    world.run(query, 4)
    assert world.sizes == [1, 1, 1, 1]
    world.behave()
    world.advance(world.scheduler.limits.cost.failure_hold)
    world.run(query, 4)
    assert world.sizes == [4]


# rule 2.4
def test_groups_3_waiting_statements_of_a_text_that_failed_are_not_grouped_either() -> None:
    world = World.ready(1)
    bad, good = world.query(), world.query()
    world.run(bad)
    conn = world.sends[0].conn
    world.submit(bad, 2)
    world.submit(good, 2)
    world.finished(conn, ok=False)
    assert [s.query for s in world.sends[0].group] == [bad]
    world.finished(conn)
    assert [s.query for s in world.sends[0].group] == [bad]
    world.finished(conn)
    assert [s.query for s in world.sends[0].group] == [good, good]


# rule 2.4
def test_groups_3_a_statement_that_was_stopped_for_its_caller_says_nothing_about_its_text() -> None:
    world = World.ready(1)
    query = world.query()
    (statement,) = world.run(query)
    conn = world.sends[0].conn
    world.cancel(statement)
    world.cancel_closed(conn)
    world.finished(conn, ok=False, seconds=ROUND_TRIP)
    world.run(query, 4)
    assert world.sizes == [4]


# rule 2.4
def test_groups_3_a_statement_that_was_stopped_late_is_known_to_be_slow() -> None:
    world = World.ready(1)
    query = world.query()
    (statement,) = world.run(query)
    conn = world.sends[0].conn
    world.cancel(statement)
    world.cancel_closed(conn)
    world.finished(conn, ok=False, seconds=0.3)
    assert not query.fast


# rule 2.5
def test_groups_4_a_group_still_running_after_stall_ms_is_broken_up() -> None:
    world = World.ready(3, read_lanes=1)
    reads = world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.advance(0.0499)
    assert not world.cancels
    world.advance(0.0002)
    assert world.cancels == [conn]
    world.finished(conn, ok=False, seconds=0.0501)
    assert world.sizes == [1, 1], "alone, on connections of their own"
    world.cancel_closed(conn)
    assert world.sizes == [1]
    world.behave()
    assert world.outcome(reads) == {"delivered"}


# rule 2.5
def test_groups_4_the_lane_is_fed_again_only_once_the_cancels_connection_was_closed() -> None:
    world = World.ready(1)
    world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.advance(0.06)
    world.finished(conn, ok=False)
    assert not world.sends, "a late cancel would hit the next statement"
    world.advance(1.0)
    assert not world.count(Send, since=world.now - 0.9)
    world.cancel_closed(conn)
    assert world.sizes == [1]


# rule 2.5
def test_groups_4_a_group_that_was_answered_in_spite_of_the_cancel_is_done() -> None:
    world = World.ready(1)
    reads = world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.advance(0.06)
    world.finished(conn, ok=True)
    assert world.outcome(reads) == {"delivered"}
    assert world.scheduler.broken_up == 0


# rule 2.5
def test_groups_4_a_group_of_one_is_never_broken_up() -> None:
    world = World.ready(1)
    world.run(world.query())
    world.advance(1000.0)
    assert not world.count(Cancel)


# rule 2.5
def test_groups_4_nothing_is_broken_up_where_it_cannot_be_cancelled_from_outside() -> None:
    world = World.ready(1, breaks_stalls=False)
    world.run(world.query(), 5)
    world.advance(20.0)
    assert not world.count(Cancel)


# rule 2.5
def test_groups_4_the_holder_of_a_row_lock_can_run_one_more_statement() -> None:
    """Three updates wait for a lock. Its holder is served before any of them is answered."""
    world = World.ready(5, write_lane_wait=10.0)
    holder = world.lend()
    update = world.query(WRITE)
    blocked = world.run(update, 3)
    needed = world.run(update)
    world.advance(0.05)
    lane = world.cancels[0]
    world.finished(lane, ok=False, seconds=0.05)
    world.cancel_closed(lane)
    assert holder in world.lent.values()
    sent = [s for group in world.running.values() for s in group]
    assert needed[0] in sent
    assert world.outcome(blocked) == {None}


# rule 2.6
def test_groups_5_texts_that_are_not_groupable_are_sent_one_by_one() -> None:
    world = World.ready(2)
    world.run(world.query(groupable=False), 3)
    assert world.sizes == [1, 1]
