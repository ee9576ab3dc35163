"""The simulation: runs small enough to be followed by hand, and its pace beside the shim's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.capacity.load import Load, Way
from shim.capacity.simulation import Arrival, Rules, asks_after, draw_trace, simulate
from shim.capacity.sizes import ListedSizes
from shim.proxy.pace import Pace
from tests.support.series import series

MIB = 1 << 20
# 10 MiB/s in, 20 MiB/s out, two bodies of 100 MiB at once: received after 10 s, each 5 s in a worker.
TWO = [Arrival(0.0, 100 * MIB), Arrival(0.0, 100 * MIB)]


def rules(way: Way, slots: int, drain_rate: float = 20 * MIB) -> Rules:
    return Rules(way, slots, 10 * MIB, drain_rate)


@series(("way", "slots", "ended", "waits"), [
    (Way.STRAIGHT, 2, 10, [0, 0]),
    # Of one worker the second has it when the first is through, and then sends on what it has.
    (Way.STRAIGHT, 1, 15, [0, 10]),
    (Way.WHOLE, 2, 15, [0, 0]),
    (Way.WHOLE, 1, 20, [0, 5]),
    (Way.CUT_THROUGH, 2, 10.15, [0, 0]),
    (Way.CUT_THROUGH, 1, 15.15, [0, 5]),
])  # fmt: skip
def test_two_uploads(way: Way, slots: int, ended: float, waits: list[float]):
    outcome = simulate(TWO, rules(way, slots), step=1.0)
    assert outcome.ended == pytest.approx(ended)
    assert outcome.waits == pytest.approx(waits)
    assert outcome.waiting_share == sum(wait > 0 for wait in waits) / 2


def test_what_was_held_meanwhile():
    outcome = simulate(TWO[:1], rules(Way.WHOLE, 1), end=20.0, step=5.0)
    watch = outcome.watch
    watch.advance(20.0)
    # Rising to 100 MiB in 10 s, full for 5, then nothing for 5.
    assert watch.mean("held") == pytest.approx((50 * 10 + 100 * 5) / 20 * MIB)
    assert watch.samples["held"] == pytest.approx([0, 50 * MIB, 100 * MIB, 0])
    assert watch.mean("leased") == pytest.approx(100 * 15 / 20 * MIB)
    assert (watch.mean("uploads"), watch.mean("slots")) == pytest.approx((15 / 20, 5 / 20))
    assert (watch.held, watch.leased) == pytest.approx((0, 0))


def test_an_unknown_length_is_leased_as_it_comes():
    unknown = [Arrival(0.0, 100 * MIB, is_known=False)]
    watch = simulate(unknown, rules(Way.CUT_THROUGH, 1), end=15.0, step=1.0).watch
    assert watch.mean("leased") == watch.mean("held") > 0


def test_a_trace_is_the_same_for_the_same_seed():
    load = Load(2.0, ListedSizes((1.0, 5.0), (3, 1)), 1.0, 1.0, known=0.25)
    trace = draw_trace(load, 4000, seed=1)
    assert trace == draw_trace(load, 4000, seed=1) != draw_trace(load, 4000, seed=2)
    assert trace[-1].time == pytest.approx(2000, rel=0.1)
    assert sum(arrival.size == 5 for arrival in trace) == 1000
    assert sum(arrival.is_known for arrival in trace) == pytest.approx(1000, rel=0.1)


@given(
    # Two minutes at most: the shim looks once a second.
    receiving=st.floats(0.01, 120.0),
    client_rate=st.integers(MIB // 4, 200 * MIB),
    drain_rate=st.integers(MIB, 200 * MIB),
)
def test_it_asks_when_the_shim_would(receiving: float, client_rate: int, drain_rate: int):
    size = max(1, int(receiving * client_rate))
    expected = asks_after(Arrival(0.0, size), Rules(Way.CUT_THROUGH, 1, client_rate, drain_rate))
    begun = begins(Pace(size, drain_rate, 0.0), size, client_rate)
    # The shim looks again, after half of what is left or a hundredth of a second, where the simulation knows.
    assert expected - 0.001 <= begun <= expected + 0.03


def begins(pace: Pace, size: int, rate: int) -> float:
    """When the shim's own pace would begin, told the time of a client that sends evenly."""
    now = 0.0
    while now * rate < size and (pause := pace.next_look(now, int(now * rate))):
        now += pause
    return min(now, size / rate)
