"""The line before slots: Erlang's published values, and what must hold for any of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.capacity.line import line_before, slots_for, waiting_share
from tests.support.series import series

# Of one slot the share that waits is its load; of two a²/(2 + a); the others by the sum itself.
PUBLISHED = [(1, 0.3, 0.3), (1, 0.9, 0.9), (2, 1.0, 1 / 3), (2, 1.5, 2.25 / 3.5), (3, 2.0, 4 / 9)]


def by_the_sum(slots: int, busy: float) -> float:
    last = busy**slots / math.factorial(slots) * slots / (slots - busy)
    return last / (sum(busy**n / math.factorial(n) for n in range(slots)) + last)


@series(("slots", "busy", "share"), PUBLISHED)
def test_known_values(slots: int, busy: float, share: float):
    assert waiting_share(slots, busy) == pytest.approx(share)


@pytest.mark.parametrize(("slots", "busy"), [(5, 4.5), (10, 8.0), (60, 48.0)])
def test_the_recursion_is_the_sum(slots: int, busy: float):
    assert waiting_share(slots, busy) == pytest.approx(by_the_sum(slots, busy))


def test_thousands_of_slots_fit():
    assert 0 < waiting_share(10_050, 10_000) < 1
    assert waiting_share(20_000, 10_000) == pytest.approx(0.0, abs=1e-12)


@given(busy=st.floats(1e-3, 80), waits=st.floats(1e-4, 0.9))
def test_as_many_slots_as_needed_and_no_more(busy: float, waits: float):
    slots = slots_for(busy, waits)
    assert waiting_share(slots, busy) <= waits
    assert slots == 1 or waiting_share(slots - 1, busy) > waits


@pytest.mark.parametrize(
    ("variation", "wait"),
    # One slot, half busy: Pollaczek and Khinchine's formula is exact there.
    [(1.0, 10.0), (0.0, 5.0), (3.0, 20.0)],
)
def test_the_wait_before_one_slot(variation: float, wait: float):
    line = line_before(1, 0.05, 10.0, variation)
    assert (line.busy, line.waits) == pytest.approx((0.5, 0.5))
    assert line.wait == pytest.approx(wait)


def test_too_few_slots_never_end():
    line = line_before(2, 0.2, 10.0, 0.0)
    assert (line.waits, line.wait) == (1.0, math.inf)
