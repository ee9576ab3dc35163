"""Leases on the budget: what a declared and a growing body take, and that it all comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import BodyTooLarge, SpoolFull
from shim.spool.budget import LARGEST_STEP, Budget
from shim.timing import UNLIMITED


@pytest.mark.parametrize(
    ("limit", "held", "declared", "error"),
    [
        (100, 0, 100, None),
        (100, 0, 101, BodyTooLarge),
        (100, 1, 99, None),
        (100, 1, 100, SpoolFull),
        (100, 100, 1, SpoolFull),
        (100, 100, 0, None),
        (100, 100, None, None),
        (0, 0, 0, None),
        (0, 0, 1, BodyTooLarge),
        (UNLIMITED, 1 << 60, 1 << 60, None),
    ],
)
def test_a_declared_length(limit, held, declared, error):
    budget = Budget(limit)
    first = budget.lease(held)
    if error is None:
        lease = budget.lease(declared)
        assert lease.size == (declared or 0)
        lease.release()
    else:
        with pytest.raises(error) as fault:
            budget.lease(declared)
        assert (fault.value.retry_after is None) == (error is BodyTooLarge)
    assert budget.leased == held
    first.release()
    assert budget.leased == 0


def test_steps_double_up_to_the_largest():
    budget = Budget(UNLIMITED)
    lease = budget.lease(None)
    sizes = []
    while lease.size < 4 * LARGEST_STEP:
        lease.cover(lease.size + 1)
        sizes.append(lease.size)
    assert sizes[:4] == [1, 2, 4, 8]
    assert sizes[-2] - sizes[-3] == LARGEST_STEP
    assert budget.leased == lease.size


def test_a_step_that_does_not_fit_shrinks():
    budget = Budget(100)
    lease = budget.lease(60)
    lease.cover(61)
    assert lease.size == 61
    with pytest.raises(BodyTooLarge):
        lease.cover(101)
    lease.cover(100)
    assert budget.leased == 100


def test_a_lease_never_shrinks():
    lease = Budget(100).lease(50)
    lease.cover(10)
    assert lease.size == 50


def test_two_bodies_jointly_over_it():
    budget = Budget(100)
    first, second = budget.lease(60), budget.lease(None)
    second.cover(40)
    with pytest.raises(SpoolFull):
        second.cover(41)
    assert second.size == 40
    first.release()
    second.cover(41)
    second.release()
    assert budget.leased == 0


def test_a_second_release_gives_nothing():
    budget = Budget(100)
    lease, other = budget.lease(30), budget.lease(20)
    lease.release()
    lease.release()
    assert budget.leased == 20
    other.release()


@given(
    limit=st.integers(0, 300),
    wishes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400) | st.none()), max_size=30),
)
def test_it_is_never_overdrawn(limit, wishes):
    budget = Budget(limit)
    leases = [budget.lease(None) for _ in range(4)]
    for which, size in wishes:
        if size is None:
            leases[which].release()
            continue
        before = leases[which].size
        try:
            leases[which].cover(size)
        except (SpoolFull, BodyTooLarge):
            assert leases[which].size == before
        else:
            assert leases[which].size >= max(size, before)
        assert budget.leased == sum(lease.size for lease in leases) <= limit
    for lease in leases:
        lease.release()
    assert budget.leased == 0
