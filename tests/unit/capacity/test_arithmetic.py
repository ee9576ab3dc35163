"""What a load holds: cases that can be done by hand, and the simulation as the judge of the others."""

import pytest

from shim.capacity.arithmetic import Amount, holding, scale_load
from shim.capacity.load import Load, Way
from shim.capacity.simulation import Outcome, Rules, draw_trace, simulate
from shim.capacity.sizes import ListedSizes
from shim.proxy.pace import MARGIN

MIB = 1 << 20
UPLOADS = 6_000
MANY = 10_000

# 100 MiB at 1 MiB/s in and 10 MiB/s out, one a second: 100 s in, 10 s out.
ALIKE = Load(1.0, ListedSizes((100 * MIB,), (1,)), MIB, 10 * MIB)
LATER = 10 - MARGIN * 10


@pytest.mark.parametrize(("way", "uploads", "busy", "held", "leased"), [
    (Way.STRAIGHT, 100, 100, 0, 0),
    # Rising for 100 s, full for another 10.
    (Way.WHOLE, 110, 10, 50 * 100 + 100 * 10, 110 * 100),
    (Way.CUT_THROUGH, 100 + LATER, 10, 50 * 100 + 100 * LATER, (100 + LATER) * 100),
])  # fmt: skip
def test_uploads_that_are_all_alike(way: Way, uploads: float, busy: float, held: float, leased: float):
    found = holding(ALIKE, way, MANY)
    assert found.uploads.mean == pytest.approx(uploads)
    assert found.line.busy == pytest.approx(busy)
    assert found.held.mean / MIB == pytest.approx(held)
    assert found.leased.mean / MIB == pytest.approx(leased)


@pytest.mark.parametrize("at_once", [0.5, 3, 10_000])
def test_a_load_by_what_is_under_way(at_once: float):
    """Without a line it is what was asked for: 100 s each and some, so one in as many seconds for each."""
    scaled = scale_load(ALIKE, at_once)
    assert scaled.arrivals == pytest.approx(at_once / (100 + LATER))
    assert holding(scaled, Way.CUT_THROUGH, 10 * MANY).uploads.mean == pytest.approx(at_once)


MIXED = ListedSizes((50 * MIB, 200 * MIB, 400 * MIB), (5, 2, 1))
CASES = {
    "slow clients": (Load(0.5, MIXED, 2 * MIB, 40 * MIB, answer=1.0), 4),
    "fast clients": (Load(0.5, MIXED, 80 * MIB, 40 * MIB), 4),
    "half of them unknown": (Load(0.5, MIXED, 5 * MIB, 40 * MIB, known=0.5), 4),
    "a line": (Load(0.5, MIXED, 2 * MIB, 40 * MIB), 2),
}


def played(load: Load, way: Way, slots: int) -> Outcome:
    trace = draw_trace(load, UPLOADS, seed=3)
    begin, end = trace[UPLOADS // 10].time, trace[-1].time
    rules = Rules(way, slots, load.client_rate, load.drain_rate, load.answer)
    return simulate(trace, rules, begin=begin, end=end, step=(end - begin) / 1000)


@pytest.mark.parametrize(
    ("load", "slots"),
    [
        pytest.param(*case, id=name, marks=() if "clients" in name else pytest.mark.more)
        for name, case in CASES.items()
    ],
)
@pytest.mark.parametrize("way", [pytest.param(Way.WHOLE, marks=pytest.mark.more), Way.CUT_THROUGH])
def test_the_simulation_agrees(load: Load, slots: int, way: Way):
    computed, outcome = holding(load, way, slots), played(load, way, slots)
    watch = outcome.watch
    assert watch.mean("slots") == pytest.approx(computed.line.busy, rel=0.05)
    assert watch.mean("uploads") == pytest.approx(computed.uploads.mean, rel=0.06)
    assert watch.mean("held") == pytest.approx(computed.held.mean, rel=0.08)
    assert watch.mean("leased") == pytest.approx(computed.leased.mean, rel=0.08)
    assert outcome.waiting_share == pytest.approx(computed.line.waits, abs=0.05)
    # A peak that is met about as often as it was said to be.
    assert watch.share_above("leased", computed.leased.peak(0.99)) <= 0.02
    assert watch.quantile("held", 0.99) == pytest.approx(computed.held.peak(0.99), rel=0.15)


def test_peaks_rise_with_confidence_and_are_never_below_the_mean():
    amount = Amount(10.0, 400.0)
    peaks = [amount.peak(share) for share in (0.5, 0.9, 0.99, 0.9999)]
    assert peaks == sorted(peaks)
    assert peaks[1] > 10
    assert Amount(0.0, 0.0).peak(0.99) == 0


def test_parts_make_the_whole():
    amount = Amount(12.0, 36.0)
    part = amount.part(3)
    assert part + part + part == amount
    # Alone each of them swings more than its part of the whole's peak.
    assert 3 * part.peak(0.99) > amount.peak(0.99)
