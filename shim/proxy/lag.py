"""Whether a client keeps up with its answer: arithmetic that is told how much it took and how long that took.

A server is held for as long as its answer is taken from it, so a client that is slower than servers are gets
the answer by way of the spool.
"""

from shim.timing import Seconds

# Bytes per second. As slow as Glance itself is when it works hard (it stores 50 to 80 MiB/s, measured), and a
# quarter of a line of a gigabit: who takes this holds a worker no longer than an upload of the same size
# does.
KEEPING_UP = 32 * 1024 * 1024
# For so long a client is waited for before anything is believed of it; and so often it is looked at.
LOOK: Seconds = 0.1


class Lag:
    """Watches one client while it takes one answer.

    Only the time for which the client was waited for counts: a slow server makes no client slow. What the
    kernels on the way take at once counts for it, so that a short answer never has to be spooled.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._waited: Seconds = 0.0

    def begin(self, taken: int, waited: Seconds) -> None:
        """Look on from here, with so much taken and waited for until now."""
        self._taken, self._waited = taken, waited

    def is_behind(self, taken: int, waited: Seconds) -> bool:
        """Whether it fell behind, having taken so many bytes and been waited for so many seconds, in all."""
        elapsed = waited - self._waited
        if elapsed < LOOK:
            return False
        if taken - self._taken < KEEPING_UP * elapsed:
            return True
        self.begin(taken, waited)
        return False
