"""How fast a server takes bodies in, learnt from those that say something of it."""

import pytest

from shim.upstream.drain_rate import LEAST_MEASURED, DrainRate
from tests.support.series import series

MIB = 1 << 20
GIB = 1 << 30


def learnt(*bodies):
    drain = DrainRate()
    for size, seconds in bodies:
        drain.add(size, seconds)
    return drain.value


@series(
    ("bodies", "rate"),
    [
        ([], None),
        # What fits into the kernel's buffers, or took no time, tells nothing.
        ([(LEAST_MEASURED - 1, 1)], None),
        ([(0, 0), (GIB, 0), (GIB, -1)], None),
        ([(LEAST_MEASURED, 1)], LEAST_MEASURED),
        ([(GIB, 10)], GIB / 10),
        ([(100 * MIB, 1), (50 * MIB, 1)], 75 * MIB),
        ([(100 * MIB, 1), (MIB, 0.0001), (50 * MIB, 1)], 75 * MIB),
    ],
)
def test_what_is_learnt(bodies, rate):
    assert learnt(*bodies) == rate


def test_a_server_that_became_slower_is_known_after_a_few_bodies():
    rate = learnt(*[(GIB, 1)] * 20, *[(GIB, 10)] * 5)
    assert rate == pytest.approx(GIB / 10, rel=0.3)


def test_one_odd_body_is_soon_forgotten():
    rate = learnt((GIB, 10), (GIB, 0.1), *[(GIB, 10)] * 9)
    assert rate == pytest.approx(GIB / 10, rel=0.1)
