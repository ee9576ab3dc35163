"""Leases on the budget: what a declared and a growing body take, and that it all comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import BodyTooLarge, ProjectLimit, SpoolFull
from shim.ledger.counts import Verdict
from shim.spool.budget import LARGEST_STEP, Budget
from shim.timing import UNLIMITED
from tests.support.series import series


@series(
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
    lease = budget.lease(97)
    lease.cover(98)
    assert lease.size == 98
    with pytest.raises(BodyTooLarge):
        lease.cover(101)
    lease.cover(100)
    assert budget.leased == 100


def test_a_step_leaves_room_for_others():
    """Doubled, half of the budget would become all of it."""
    budget = Budget(1600)
    large = budget.lease(None)
    large.cover(800)
    large.cover(801)
    assert large.size == 900
    assert budget.lease(700).size == 700


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


def test_a_project_has_a_share_of_its_own():
    budget = Budget(100, 50)
    first, second = budget.lease(30, "a"), budget.lease(None, "a")
    second.cover(20)
    with pytest.raises(ProjectLimit) as refusal:
        second.cover(21)
    assert refusal.value.retry_after == 30
    assert second.size == 20
    other = budget.lease(50, "b")
    # What is there of its share was never the question.
    with pytest.raises(SpoolFull):
        budget.lease(1, "c")
    first.release()
    second.cover(50)
    for lease in (second, other):
        lease.release()
    assert budget.leased == 0


@pytest.mark.parametrize("declared", [51, 100])
def test_what_exceeds_a_share_could_never_fit(declared):
    budget = Budget(100, 50)
    with pytest.raises(BodyTooLarge, match="50 bytes that one project may spool"):
        budget.lease(declared, "a")
    growing = budget.lease(None, "a")
    growing.cover(50)
    with pytest.raises(BodyTooLarge):
        growing.cover(declared)


def test_a_refusal_asks_the_ledger_once_where_steps_do_not_differ():
    """Several processes wait for each other at the ledger: what is refused must not cost twice."""

    class Refusing:
        def __init__(self):
            self.asked = []

        def take(self, _resource, _holder, amount, _limits):
            self.asked.append(amount)
            return Verdict.TOTAL

    ledger = Refusing()
    with pytest.raises(SpoolFull):
        Budget(100, ledger=ledger).lease(40)
    assert ledger.asked == [40]
