"""The budget under any sequence of leases: never negative, never over its limit, and nothing is ever lost."""

import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from shim.errors import BodyTooLarge, SpoolFull
from shim.spool.budget import LARGEST_STEP, Budget, Lease

amounts = st.integers(0, 120) | st.sampled_from([LARGEST_STEP - 1, LARGEST_STEP, LARGEST_STEP + 1])
limits = st.one_of(
    st.integers(0, 100), st.floats(0, 100), st.sampled_from([3 * LARGEST_STEP, math.inf]), st.just(99.5)
)


class Leases(RuleBasedStateMachine):
    """Bodies that come, grow, are refused and end, in any order."""

    leases = Bundle("leases")

    @initialize(limit=limits)
    def begin(self, limit: float) -> None:
        self.budget = Budget(limit)
        self.alive: list[Lease] = []

    @rule(target=leases)
    def lease_unknown(self) -> Lease:
        self.alive.append(self.budget.lease(None))
        assert self.alive[-1].size == 0
        return self.alive[-1]

    @rule(target=leases, declared=amounts)
    def lease_declared(self, declared: int) -> Lease:
        before = self.budget.leased
        try:
            lease = self.budget.lease(declared)
        except (BodyTooLarge, SpoolFull) as refusal:
            self.check_refusal(refusal, declared, declared)
            assert self.budget.leased == before
            return self.budget.lease(None)
        assert lease.size == declared
        assert self.budget.leased == before + declared
        self.alive.append(lease)
        return lease

    @rule(lease=leases, size=amounts)
    def cover(self, lease: Lease, size: int) -> None:
        before, held = self.budget.leased, lease.size
        try:
            lease.cover(size)
        except (BodyTooLarge, SpoolFull) as refusal:
            self.check_refusal(refusal, size, size - held)
            # A refusal takes nothing, and what was held is still held.
            assert (self.budget.leased, lease.size) == (before, held)
            return
        if lease not in self.alive:
            self.alive.append(lease)
        assert lease.size >= max(size, held)
        assert self.budget.leased - before == lease.size - held
        # Not more ahead of what has come than it held, or a step.
        assert lease.size <= max(size, held + min(held, LARGEST_STEP))

    @rule(lease=consumes(leases))
    def release(self, lease: Lease) -> None:
        before, held = self.budget.leased, lease.size
        lease.release()
        lease.release()
        assert lease.size == 0
        assert self.budget.leased == before - held

    def check_refusal(self, refusal: Exception, size: int, needed: int) -> None:
        """Refused only where it must be, and with the right name."""
        assert isinstance(refusal, BodyTooLarge) is (size > self.budget.limit)
        assert self.budget.leased + needed > self.budget.limit

    @invariant()
    def adds_up(self) -> None:
        assert 0 <= self.budget.leased <= self.budget.limit
        assert self.budget.leased == sum(lease.size for lease in self.alive)

    def teardown(self) -> None:
        for lease in getattr(self, "alive", []):
            lease.release()
        assert not hasattr(self, "budget") or self.budget.leased == 0


TestLeases = Leases.TestCase


@given(st.integers(1, 2000), st.lists(st.integers(1, 50), max_size=60))
def test_a_body_alone_may_use_all_of_it(limit, pieces):
    budget = Budget(limit)
    lease, received = budget.lease(None), 0
    for piece in pieces:
        if received + piece > limit:
            break
        received += piece
        lease.cover(received)
        assert received <= lease.size <= limit
    lease.release()
    assert budget.leased == 0
