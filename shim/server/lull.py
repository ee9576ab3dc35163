"""How long to leave a slow client alone between two reads: pure arithmetic on what has come, told the time.

A turn costs the same for one packet as for ten. So what comes slowly is let come for a while: at the price
that the body's end is noticed so much later, which therefore stays a small part of the time that it takes.
"""

from shim.timing import Seconds

# Bytes per second. What comes in the longest lull then fits the smallest buffer that a socket begins with
# (tcp(7): 128 KiB, half of it for data), so that no such client is held up by it.
SLOW = 64 * 1024
# Over so long, else every client that sends packets would seem slow, or fast, from one to the next.
WINDOW: Seconds = 0.25
# A read of so much says that there is more: the client is slow no longer.
MUCH = 32 * 1024
# Of the time that the client was waited for until now.
SHARE = 1 / 20
LONGEST: Seconds = 0.5
# The lane's tick: less is not to be had there.
SHORTEST: Seconds = 0.05


class Lull:
    """One client's pace, and the pause that it allows; time is what the client was waited for, in seconds."""

    def __init__(self) -> None:
        self._is_slow = False
        self._since: Seconds = 0.0
        self._came = 0

    def after(self, size: int, waited: Seconds) -> Seconds:
        """The pause after a read of ``size`` bytes, 0 for none; ``waited`` counts from the beginning."""
        if size >= MUCH:
            self._is_slow, self._since, self._came = False, waited, 0
            return 0.0
        self._came += size
        elapsed = waited - self._since
        if elapsed >= WINDOW:
            self._is_slow = self._came < SLOW * elapsed
            self._since, self._came = waited, 0
        pause = min(LONGEST, waited * SHARE)
        return pause if self._is_slow and pause >= SHORTEST else 0.0
