"""The lane: who is due when is arithmetic; there is one thread, and more only where that is stuck."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.lane import BUFFER, TICK, Lane, LateTurns
from shim.timing import UNLIMITED, monotonic
from tests.fakes.turns import Noted


def taken(lane, now):
    """All who are due, in their order."""
    members = []
    while (member := lane.take(now)) is not None:
        members.append(member)
    return members


def test_nobody_is_due_before_their_time():
    lane = Lane()
    assert (len(lane), lane.next_due, lane.take(1000.0)) == (0, UNLIMITED, None)
    lane.enter("later", 10.5)
    lane.enter("soon", 10.2)
    assert len(lane) == 2
    assert taken(lane, 10.0) == []
    assert lane.next_due == pytest.approx(10.2, abs=TICK)
    assert taken(lane, 10.3) == ["soon"]
    assert taken(lane, 10.6) == ["later"]
    assert lane.next_due == UNLIMITED


def test_the_same_moment_in_the_order_of_coming():
    lane = Lane()
    for member in "cab":
        lane.enter(member, 5.0)
    assert taken(lane, 5.0 + TICK) == ["c", "a", "b"]


def test_who_leaves_is_forgotten_at_once():
    lane = Lane()
    for member in "abc":
        lane.enter(member, 5.0)
    lane.leave("b")
    lane.leave("nobody")
    assert len(lane) == 2
    assert taken(lane, 6.0) == ["a", "c"]
    assert lane._ticks == {}


def test_who_enters_again_has_the_new_time_alone():
    lane = Lane()
    lane.enter("a", 1.0)
    lane.enter("a", 9.0)
    assert (len(lane), taken(lane, 5.0), taken(lane, 9.1)) == (1, [], ["a"])


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 20)), max_size=40), st.floats(0, 20))
def test_all_who_are_due_and_nobody_else(entries, now):
    lane, due = Lane(), {}
    for member, when in entries:
        lane.enter(member, when)
        due[member] = when
    got = taken(lane, now)
    assert len(got) == len(set(got))
    for member, when in due.items():
        if member in got:
            assert when <= now, "never too early"
        else:
            assert when > now - TICK, "a tick late at most"


# -- the threads --------------------------------------------------------------------------------------


@pytest.fixture(name="late")
def _late():
    late = LateTurns(3, name="lane-test", clock=monotonic)
    yield late
    late.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("lane-test")] == []


def test_a_turn_and_only_one(late):
    assert late.threads == 0, "nobody came yet"
    worker, other = Noted(), Noted()
    assert late.enter(worker, 0.0)
    assert (worker.turn().name, worker.size) == ("lane-test-0", BUFFER)
    assert late.enter(other, 60.0)
    assert late.enter(worker, 0.0), "it overtakes who waits for longer"
    assert worker.turn().name == "lane-test-0"
    late.leave(other)
    assert (len(late), late.threads, worker.turns.empty(), other.turns.empty()) == (0, 1, True, True)


def test_one_that_is_stuck_holds_up_nobody(late):
    gate = threading.Event()
    stuck, other = Noted(gate), Noted()
    late.enter(stuck, 0.0)
    stuck.turn()
    late.enter(other, 0.0)
    assert other.turn().name != "lane-test-0"
    gate.set()


def test_no_thread_to_be_had(late, monkeypatch):
    def refused(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        assert not late.enter(Noted(), 0.0)
        assert len(late) == 0
    worker = Noted()
    assert late.enter(worker, 0.0), "it is tried again"
    worker.turn()
