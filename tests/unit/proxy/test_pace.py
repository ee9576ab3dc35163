"""When forwarding begins, for clients and servers made of arithmetic, and how long a server may wait."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.proxy.pace import (
    EARNED,
    FIRST_GUESS,
    FIRST_LOOK,
    LEAST_LOOK,
    LEAST_PAUSE,
    LONGEST_PAUSE,
    WINDOW,
    Begin,
    Pace,
    Patience,
    choose_begin,
)
from shim.routes.route import BodyMode
from tests.support.examples import examples
from tests.support.series import series

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
START = 1000.0
# What cut-through may cost over the slower one of client and server: a share of it, and seconds for the
# two looks at the beginning and a pause too many at the end.
SHARE, CONSTANT = 1.08, FIRST_LOOK + LEAST_LOOK + 2 * LEAST_PAUSE

# -- which way a body goes ------------------------------------------------------------------------

LIMIT = 100
LENGTHS = [None, 0, 1, LIMIT, LIMIT + 1, 1 << 40]
WHOLE, PACED, AT_ONCE = Begin.WHOLE, Begin.PACED, Begin.AT_ONCE

TABLE = [
    # mode, takes growing, takes chunked: what becomes of each of LENGTHS
    (BodyMode.AUTO, True, True, [WHOLE, WHOLE, WHOLE, WHOLE, PACED, PACED]),
    (BodyMode.AUTO, True, False, [WHOLE, WHOLE, WHOLE, WHOLE, PACED, PACED]),
    (BodyMode.AUTO, False, False, [WHOLE] * 6),
    (BodyMode.STREAM, True, True, [AT_ONCE] * 6),
    (BodyMode.STREAM, True, False, [WHOLE, AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE]),
    (BodyMode.STREAM, False, False, [WHOLE] * 6),
    (BodyMode.SPOOL, True, True, [WHOLE] * 6),
    (BodyMode.SPOOL, True, False, [WHOLE] * 6),
    (BodyMode.SPOOL, False, False, [WHOLE] * 6),
    (BodyMode.HANDOFF, True, True, [WHOLE] * 6),
    (BodyMode.HANDOFF, True, False, [WHOLE] * 6),
    (BodyMode.HANDOFF, False, False, [WHOLE] * 6),
]


def test_the_table_is_whole():
    # An application that takes no growing body takes no chunked one either.
    servers = [(True, True), (True, False), (False, False)]
    assert {row[:3] for row in TABLE} == {
        (mode, *server) for mode, server in itertools.product(BodyMode, servers)
    }


@series(("mode", "growing", "chunked", "begins"), TABLE)
def test_when_a_body_begins(mode, growing, chunked, begins):
    found = [
        choose_begin(mode, length, whole_up_to=LIMIT, takes_growing=growing, takes_chunked=chunked)
        for length in LENGTHS
    ]
    assert found == begins


# -- when it begins -------------------------------------------------------------------------------


class Steady:
    """A client that has sent ``burst`` bytes when it is first seen, and goes on at an even rate."""

    def __init__(self, size, rate, burst=0):
        self.size = size
        self._rate = rate
        self._burst = min(size, burst)
        self.last = START + (size - self._burst) / rate

    def received(self, now):
        return min(self.size, int(self._burst + self._rate * (now - START)))

    def end(self, begin, drain):
        """When a server that began then, and takes ``drain`` bytes per second, has all of it."""
        return max(begin + self.size / drain, self.last)


class Pieces:
    """A client that sends pieces, each after some seconds."""

    def __init__(self, *pieces):
        times = itertools.accumulate(seconds for seconds, _ in pieces)
        sizes = itertools.accumulate(size for _, size in pieces)
        self._arrivals = [(START + time, size) for time, size in zip(times, sizes, strict=True)]
        self.last, self.size = self._arrivals[-1]

    def received(self, now):
        return max((size for time, size in self._arrivals if time <= now), default=0)

    def end(self, begin, drain):
        now, taken = begin, 0
        for time, size in self._arrivals:
            now = max(now, time) + (size - taken) / drain
            taken = size
        return now


def begin_of(client, drain):
    """When the forwarding begins; at the latest when the body is whole."""
    pace, now = Pace(client.size, drain, START), START
    while now < client.last and (pause := pace.next_look(now, client.received(now))) > 0:
        assert pause <= LONGEST_PAUSE
        now += pause
    return min(now, client.last)


def outcome(client, drain, *, known=None):
    """Begin, end, and how long the server was kept waiting, in seconds after the client's start."""
    begin = begin_of(client, drain if known is None else known)
    end = client.end(begin, drain)
    return begin - START, end - START, end - begin - client.size / drain


clients = st.tuples(
    st.floats(64 * KIB, 10 * GIB),  # bytes per second
    st.floats(0.001, 300),  # seconds of sending
    st.floats(0, 1),  # of it all, what is there at the start
)
seconds_of_draining = st.floats(0.001, 200)
quickly = examples(40)


@quickly
@given(clients, seconds_of_draining)
@example((100.0 * MIB, 5.12, 0.0), 512 / 150)
@example((10.0 * GIB, 0.001, 1.0), 200.0)
def test_a_steady_client_keeps_nobody_waiting_and_loses_nothing(client, draining):
    rate, seconds, share = client
    size = int(rate * seconds)
    steady, drain = Steady(size, rate, int(share * size)), size / draining
    _, total, waited = outcome(steady, drain)
    assert waited <= 1e-6
    assert total <= max(steady.last - START, draining) * SHARE + CONSTANT


@quickly
@given(clients, st.floats(1, 100))
def test_a_server_slower_than_was_guessed_is_not_kept_waiting(client, factor):
    rate, seconds, share = client
    size = int(rate * seconds)
    draining = factor * size / FIRST_GUESS
    steady = Steady(size, rate, int(share * size))
    _, total, waited = outcome(steady, size / draining, known=FIRST_GUESS)
    assert waited <= 1e-6
    # Never worse than to spool it.
    assert total <= steady.last - START + draining + 1e-6


@quickly
@given(clients, seconds_of_draining, st.floats(1, 20))
def test_a_server_faster_than_was_guessed_waits_for_as_long_as_it_is_faster(client, draining, factor):
    """What takes it ``draining`` was thought to take ``factor`` times as long: so much earlier it begins."""
    rate, seconds, share = client
    size = int(rate * seconds)
    steady, drain = Steady(size, rate, int(share * size)), size / draining
    _, _, waited = outcome(steady, drain, known=drain / factor)
    assert waited <= (factor - 1) * draining + 1e-6


def test_a_burst_at_the_start_is_not_the_clients_rate():
    """6 MiB that the kernels on the way had kept, after the first look at a client of 64 MiB/s."""
    client = Pieces((0.01, MIB), (0.035, 6 * MIB), *[(1 / 64, MIB)] * 57)
    _, _, waited = outcome(client, FIRST_GUESS)
    assert waited <= 0.05


def test_nothing_is_known_of_a_server_at_first():
    client = Steady(GIB, 10 * MIB)
    assert begin_of(client, None) == begin_of(client, FIRST_GUESS)


def test_a_client_faster_than_its_server_is_looked_at_only_shortly():
    begin, _, _ = outcome(Steady(10 * GIB, GIB), 100 * MIB)
    assert FIRST_LOOK < begin < 0.6


def test_a_slow_client_holds_a_worker_only_for_the_draining():
    """10 GiB at 1 MiB/s take hours; the worker has it for the 100 s that it needs anyway."""
    begin, total, _ = outcome(Steady(10 * GIB, MIB), 102.4 * MIB)
    assert total - begin == pytest.approx(100, rel=0.05)


@series("stops_at", [0.1, 0.5, 0.9, 0.999])
@series("silence", [10, 1000])
def test_a_client_that_falls_silent_does_not_begin(stops_at, silence):
    """However little is missing: whoever is silent may stay so. It was to begin long after that."""
    size = 100 * MIB
    pieces = [(0.1, int(size * stops_at / 100))] * 100
    rest = size - sum(piece for _, piece in pieces)
    client = Pieces(*pieces, (silence, rest))
    begin, _, waited = outcome(client, 10 * GIB)
    assert begin == pytest.approx(10 + silence)
    assert waited <= 1e-6


def test_a_client_that_slows_down_in_time_keeps_nobody_waiting():
    """Its rate of the last seconds counts, where that is the lower one."""
    client = Pieces(*[(0.1, MIB)] * 100, *[(1, MIB)] * 30)
    _, total, waited = outcome(client, client.size / 2)
    assert waited <= 1
    assert total <= 40 * SHARE + 1


def test_a_client_that_speeds_up_is_never_worse_off_than_with_a_spool():
    client = Pieces(*[(1, MIB)] * 10, *[(0.01, MIB)] * 100)
    _, total, waited = outcome(client, 110 * MIB / 4)
    assert waited <= 1e-6
    assert total <= 11 + 4 + 1e-6


@quickly
@given(
    period=st.floats(0.01, WINDOW / 2),
    count=st.integers(3, 200),
    draining=seconds_of_draining,
)
def test_a_client_in_bursts_keeps_its_server_waiting_no_longer_than_its_window(period, count, draining):
    """Between two bursts nobody can know of the next; within the window they are a rate like any other."""
    client = Pieces(*[(period, MIB)] * count)
    _, total, waited = outcome(client, client.size / draining)
    assert waited <= WINDOW
    assert total <= max(client.last - START, draining) * SHARE + 2 * period + LONGEST_PAUSE


def test_a_length_that_is_a_lie_changes_only_when_it_begins():
    """One that declares far more than it sends has not begun when it stops."""
    pace, now = Pace(1 << 40, 100 * MIB, START), START
    for _ in range(50):
        pause = pace.next_look(now, min(MIB, int(now - START) * MIB))
        assert pause > 0
        now += pause


# -- how long it may wait -------------------------------------------------------------------------

STALL = 30.0


def after(*spells):
    """What is left of the patience after spells of waiting, each with the work before it."""
    patience = Patience(STALL)
    for waited, busy in spells:
        patience.earn(busy)
        patience.spend(waited)
    return patience.left


@series(
    ("spells", "left"),
    [
        ([], STALL),
        ([(0, 0)], STALL),
        ([(10, 0)], 20),
        ([(30, 0)], 0),
        ([(31, 0)], -1),
        ([(0.1, 0)] * 300, 0),  # a drip holds the worker as well
        ([(0.1, 0.01)] * 300, 1.495),
        ([(0.1, 1)] * 10_000, STALL - 0.1),  # slightly slower than was thought
        ([(1, 2)] * 10_000, STALL - 1),  # by half: no more is forgiven
        ([(1.5, 2)] * 50, 4),
        ([(10, 0), (10, 1000)], 20),  # earned back, but never more than it was
        ([(0, 1_000_000), (30, 0)], 0),  # and never saved up
    ],
)
def test_patience(spells, left):
    assert after(*spells) == pytest.approx(left, abs=1e-6)


def test_what_was_earned_counts_for_the_next_wait():
    patience = Patience(STALL)
    patience.spend(STALL)
    patience.earn(20)
    assert patience.left == 20 * EARNED


@quickly
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 1000))))
def test_whoever_is_still_waited_for_has_not_wasted_more_than_allowed(spells):
    """Whatever the client does: what it wasted is bounded by the limit and the work that it brought."""
    patience = Patience(STALL)
    wasted = worked = 0.0
    for seconds, busy in spells:
        patience.earn(busy)
        # The wait is cut off where the patience ends, and that is then its end.
        waited = min(seconds, patience.left)
        patience.spend(waited)
        wasted, worked = wasted + waited, worked + busy
        assert 0 <= patience.left <= STALL
        if waited < seconds:
            break
    assert wasted <= STALL + EARNED * worked + 1e-6
