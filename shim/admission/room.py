"""Where requests wait for slots, before anybody asks whose turn it is: how many may, and for how long."""

from dataclasses import dataclass

from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED, Seconds


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How many may wait, and for how long.

    Attributes:
        most: Requests waiting, for all upstreams together (``limits.queue``).
        without_body: Longest wait in seconds (``timeouts.queue``).
        with_body: The same for a request with a body, which has cost its client something
            (``timeouts.queue_body``).
    """

    most: float = 1000
    without_body: Seconds = 60.0
    with_body: Seconds = 3600.0

    def patience(self, length: float | None) -> Seconds:
        """How long a request with so many bytes of body (None: without one) may wait."""
        return self.without_body if length is None else self.with_body


class WaitingRoom:
    """Counts who waits, in all lines of all processes together, against ``limits.queue``."""

    def __init__(self, limit: float = UNLIMITED, ledger: Ledger | None = None) -> None:
        """Take how many may wait, and who counts: by default we alone."""
        self._pool = Pool(ledger or LocalLedger(), Resource.PLACES, Limits(limit))

    @property
    def limit(self) -> float:
        """How many may wait."""
        return self._pool.limits.total

    @property
    def waiting(self) -> int:
        """How many of this process do."""
        return self._pool.taken

    def enter(self) -> bool:
        """Wait here; whether there was a place. Raises LimitReached where the count is not to be had."""
        return self._pool.take(1) is Verdict.FITS

    def leave(self) -> None:
        """Wait no more."""
        self._pool.give_back(1)
