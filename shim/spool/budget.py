"""The bytes that all bodies together may hold: leases on one budget, decided without waiting.

A declared length is leased at once, an unknown one in growing steps, so that a body that will not fit
fails early; nothing ever waits for another body's lease, so no two bodies can block each other. The bytes
are counted by a ledger, which may count for several processes.
"""

from shim.errors import BodyTooLarge, LimitReached, ProjectLimit, SpoolFull
from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED

LARGEST_STEP = 64 * 1024 * 1024
# Of the whole budget, what one step may take beyond what is needed: a body must not lease what it may never
# have, and others need now.
LARGEST_SHARE = 16
RETRY_AFTER = 30


class Budget:
    """Leases bytes up to ``limit``, and up to ``share`` for one project (bytes, or ``UNLIMITED``)."""

    def __init__(self, limit: float, share: float = UNLIMITED, ledger: Ledger | None = None) -> None:
        """Take the limits, and who counts; by default nobody outside of this budget is counted."""
        self._pool = Pool(ledger or LocalLedger(), Resource.BYTES, Limits(limit, share))

    @property
    def limit(self) -> float:
        """The bytes that all bodies together may hold."""
        return self._pool.limits.total

    @property
    def leased(self) -> int:
        """Bytes promised to this process's bodies under way."""
        return self._pool.taken

    def lease(self, declared: int | None, project: str = "") -> "Lease":
        """A new lease: all of a declared length, nothing yet of an unknown one.

        Raises:
            BodyTooLarge: The declared length could never fit.
            ProjectLimit: It does not fit beside the project's others now.
            SpoolFull: It does not fit beside all others now.
        """
        lease = Lease(self._pool, project)
        if declared is not None:
            lease.cover(declared)
        return lease


class Lease:
    """One body's share of the budget; it only grows, until it is given back whole."""

    def __init__(self, pool: Pool, project: str) -> None:
        self._pool = pool
        self._project = project
        self.size = 0

    def cover(self, size: int) -> None:
        """Make the lease at least ``size`` bytes, in steps that double; a step that does not fit shrinks.

        Raises:
            BodyTooLarge: ``size`` exceeds the whole budget, or a project's: it could never fit.
            ProjectLimit: It does not fit beside the project's others now.
            SpoolFull: It does not fit beside all others now.
        """
        if size <= self.size:
            return
        self._check_possible(size)
        needed = size - self.size
        # Doubled, so that one that will not fit is refused early, and a long one asks seldom (decision 6).
        step = int(max(needed, min(self.size, LARGEST_STEP, self._pool.limits.total / LARGEST_SHARE)))
        # Two attempts only where they differ: a refused body shall not ask twice.
        for ask in dict.fromkeys((step, needed)):
            verdict = self._pool.take(ask, self._project)
            if verdict is Verdict.FITS:
                self.size += ask
                return
        raise _refusal(verdict)

    def release(self) -> None:
        """Give everything back; a second call gives nothing."""
        size, self.size = self.size, 0
        if size:
            self._pool.give_back(size, self._project)

    def _check_possible(self, size: int) -> None:
        limits = self._pool.limits
        if size > limits.total:
            raise BodyTooLarge(f"The body exceeds the spool's whole budget of {limits.total:.0f} bytes.")
        if size > limits.share:
            raise BodyTooLarge(f"The body exceeds the {limits.share:.0f} bytes that one project may spool.")


def _refusal(verdict: Verdict) -> LimitReached:
    if verdict is Verdict.SHARE:
        return ProjectLimit("The project's other uploads hold all it may spool.", retry_after=RETRY_AFTER)
    return SpoolFull("The spool is full: other uploads hold its space.", retry_after=RETRY_AFTER)
