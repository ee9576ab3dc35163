"""When forwarding begins, and how long a server may then be kept waiting: arithmetic that is told the time.

A body of known length is forwarded while it still comes in (cut-through), but no earlier than just so that
its end goes out as it comes in: the server's worker then never waits for the client.
"""

import enum
from collections import deque

from shim.routes.route import BodyMode
from shim.timing import Seconds

# Before a server has taken its first large body. Glance takes 50-80 MiB/s (measured): to think it faster
# begins later than needed, to think it slower would make its worker wait for the client.
FIRST_GUESS = 256 * 1024 * 1024
# Bytes up to which a body is received whole. That costs less than a tenth of a second, and a body that is
# forwarded as it comes can hold a worker for timeouts.cut_through_stall: a poor bargain for small ones, which
# may take up all slots at once (what counts as an upload begins at 1 MiB).
LEAST_PACED = 4 * 1024 * 1024
# A little later than computed: a client that slows down a little does not show.
MARGIN = 0.97
# The client's rate is the lower one of that since its start and that over so long.
WINDOW: Seconds = 2.0
# How long a client is looked at before anything is believed of it: first come what its buffers held.
FIRST_LOOK: Seconds = 0.02
# Shorter ones took a burst of some megabytes, on a busy machine, for the client's rate (measured).
LEAST_LOOK: Seconds = 0.05
LONGEST_LOOK: Seconds = 0.5
# What the first look takes of the time that the server will need for the body: it delays what is due at once.
LOOK_SHARE = 0.02
# A body that comes in is looked at no more and no less often than this.
LEAST_PAUSE: Seconds = 0.01
LONGEST_PAUSE: Seconds = 1.0
# Of the time in which a server was busy with the body, what it may wait for more of it besides.
EARNED = 0.5


class Begin(enum.Enum):
    """When a body's forwarding begins."""

    WHOLE = "when it is whole"
    PACED = "so that the server never waits"
    AT_ONCE = "at once"


def choose_begin(
    mode: BodyMode, declared: int | None, *, whole_up_to: int, takes_growing: bool, takes_chunked: bool
) -> Begin:
    """When the forwarding of a body begins.

    Args:
        mode: Of its route.
        declared: Its length in bytes, None where it is not known.
        whole_up_to: Bodies of so many bytes are not worth the trouble.
        takes_growing: Whether the upstream can begin with a body that is not whole.
        takes_chunked: Whether it can do so without knowing the length.
    """
    if not takes_growing or mode in (BodyMode.SPOOL, BodyMode.HANDOFF):
        return Begin.WHOLE
    if mode is BodyMode.STREAM:
        return Begin.AT_ONCE if takes_chunked or declared is not None else Begin.WHOLE
    return Begin.WHOLE if declared is None or declared <= whole_up_to else Begin.PACED


class Pace:
    """Watches one body come in, and says when its forwarding is to begin."""

    def __init__(self, length: int, drain_rate: float | None, now: Seconds) -> None:
        """Take the body's length in bytes, and how fast its server takes bodies in, in bytes per second."""
        self._length = length
        self._draining: Seconds = length / (drain_rate or FIRST_GUESS)
        self._look: Seconds = min(LONGEST_LOOK, max(LEAST_LOOK, LOOK_SHARE * self._draining))
        self._marks: deque[tuple[Seconds, int]] = deque()
        self._begun = now
        self._first: tuple[Seconds, int] | None = None

    def next_look(self, now: Seconds, received: int) -> Seconds:
        """How long to wait before asking again; 0: the forwarding begins now."""
        if self._first is None:
            # What came until here, the kernel had kept for us: it says nothing of the client's line.
            if now - self._begun < FIRST_LOOK:
                return FIRST_LOOK
            self._first = (now, received)
            self._marks.append(self._first)
            return self._look
        self._mark(now, received)
        to_wait = max(self._left(now, received) - MARGIN * self._draining, self._first[0] + self._look - now)
        if to_wait <= 0:
            return 0.0
        # Half of it, since the rate may change meanwhile.
        return min(LONGEST_PAUSE, max(LEAST_PAUSE, to_wait / 2))

    def _left(self, now: Seconds, received: int) -> Seconds:
        """How long the rest of the body will take to come in."""
        assert self._first is not None
        rate = min(_rate(self._first, now, received), _rate(self._marks[0], now, received))
        return (self._length - received) / rate if rate > 0 else LONGEST_PAUSE + self._draining

    def _mark(self, now: Seconds, received: int) -> None:
        """Keep what is needed of the past: the newest mark that is a window old, and those after it."""
        self._marks.append((now, received))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:  # noqa: PLR2004 - the start and now
            self._marks.popleft()


class Patience:
    """How long a server may be kept waiting for the client once a body is on its way.

    Silence uses it up, and so do many short silences: a client that drips holds a worker as well as one
    that stalls. The time in which the server had work earns some of it back, so that a client that is
    slightly slower than was thought does not lose a long upload.
    """

    def __init__(self, limit: Seconds) -> None:
        """Take ``timeouts.cut_through_stall``."""
        self._limit = limit
        self.left = limit

    def earn(self, busy: Seconds) -> None:
        """Tell how long the server had work; before it waits again, for it may wait the longer for that."""
        self.left = min(self._limit, self.left + EARNED * busy)

    def spend(self, waited: Seconds) -> None:
        """Tell how long the server waited."""
        self.left -= waited


def _rate(mark: tuple[Seconds, int], now: Seconds, received: int) -> float:
    since, before = mark
    return (received - before) / (now - since) if now > since else 0.0
