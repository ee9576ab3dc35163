"""The bytes that all bodies together may hold: leases on one budget, decided without waiting.

A declared length is leased at once, an unknown one in growing steps, so that a body that will not fit
fails early; nothing ever waits for another body's lease, so no two bodies can block each other.
"""

from shim.errors import BodyTooLarge, SpoolFull

LARGEST_STEP = 64 * 1024 * 1024
RETRY_AFTER = 30


class Budget:
    """Counts leased bytes against ``limit`` (bytes, or ``UNLIMITED``)."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._leased = 0

    @property
    def leased(self) -> int:
        """Bytes promised to bodies under way."""
        return self._leased

    def lease(self, declared: int | None) -> "Lease":
        """A new lease: all of a declared length, nothing yet of an unknown one.

        Raises:
            BodyTooLarge: The declared length could never fit.
            SpoolFull: It does not fit beside the others now.
        """
        lease = Lease(self)
        if declared is not None:
            lease.cover(declared)
        return lease

    def take(self, size: int) -> bool:
        """Lease ``size`` bytes more; False, and nothing taken, where they do not fit."""
        if self._leased + size > self.limit:
            return False
        self._leased += size
        return True

    def give_back(self, size: int) -> None:
        """End the lease of ``size`` bytes."""
        self._leased -= size


class Lease:
    """One body's share of the budget; it only grows, until it is given back whole."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def cover(self, size: int) -> None:
        """Make the lease at least ``size`` bytes, in steps that double; a step that does not fit shrinks.

        Raises:
            BodyTooLarge: ``size`` exceeds the whole budget: it could never fit.
            SpoolFull: It does not fit beside the others now.
        """
        if size <= self.size:
            return
        if size > self._budget.limit:
            raise BodyTooLarge(
                f"The body exceeds the spool's whole budget of {self._budget.limit:.0f} bytes."
            )
        needed = size - self.size
        step = max(needed, min(self.size, LARGEST_STEP))
        for ask in (step, needed):
            if self._budget.take(ask):
                self.size += ask
                return
        raise SpoolFull("The spool is full: other uploads hold its space.", retry_after=RETRY_AFTER)

    def release(self) -> None:
        """Give everything back; a second call gives nothing."""
        size, self.size = self.size, 0
        self._budget.give_back(size)
