"""How far a body may come in ahead of a server that takes it more slowly: arithmetic, and one wait.

Received at its client's full speed, a body that is being forwarded takes the processor from the very server
that everybody waits for. Nobody is served earlier by that, so its client is held back while the rest is sure
to come in time all the same.
"""

import asyncio
import contextlib

from shim.timing import UNLIMITED, Clock, Seconds, monotonic

# What is received, and what is sent, before the other side's progress is looked at: 0.2 s and 0.1 s of a
# Glance at work. Each look costs a turn of the loop.
STEP = 32 * 1024 * 1024
SENT_AT_ONCE = 16 * 1024 * 1024
# So much always waits for the server, whatever its rate: it must never wait for a client that is held back.
LEAST_AHEAD = 2 * STEP
# Of the time that the server still needs, what the client's rest may take: either may change its pace yet.
SURE = 0.5
# For a step, whatever the server does: a client whose line falls silent for longer may give up.
LONGEST_HOLD: Seconds = 1.0


class Lead:
    """What one body has ahead of its server; ``take`` and ``end`` are the sender's, the rest the receiver's.

    Attributes:
        taken: Up to where the server has taken it.
    """

    def __init__(self, length: int, guess: float, *, clock: Clock = monotonic) -> None:
        """Take the body's length in bytes, and what is known of the server's rate, in bytes per second."""
        self._length = length
        self._guess = guess
        self._clock = clock
        self.taken = 0
        # When the server was sent its first byte, None while none is: then nobody is waited for.
        self._since: Seconds | None = None
        self._progress = asyncio.Event()
        self._step: tuple[Seconds, int] | None = None

    def take(self, position: int) -> None:
        """The server has taken the body up to there; the first time, it is about to get its beginning."""
        if self._since is None:
            self._since = self._clock()
        self.taken = position
        self._progress.set()

    def end(self) -> None:
        """The server gets no more of it: what is left comes in as fast as it can."""
        self._since = None
        self._progress.set()

    async def hold_back(self, received: int) -> int:
        """Wait until more is wanted than was received; gives how many bytes the next step has."""
        rate, until = self._rate_of_step(received), self._clock() + LONGEST_HOLD
        while self.is_enough(received, rate) and (left := until - self._clock()) > 0:
            self._progress.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._progress.wait()
        self._step = self._clock(), received
        return STEP

    def is_enough(self, received: int, rate: float) -> bool:
        """Whether the rest can wait, if its client sends so many bytes per second."""
        if self._since is None or received - self.taken < LEAST_AHEAD:
            return False
        elapsed = self._clock() - self._since
        # Its first megabytes only fill buffers.
        drain = self.taken / elapsed if self.taken >= STEP and elapsed > 0 else self._guess
        return (self._length - received) * drain <= SURE * (self._length - self.taken) * rate

    def _rate_of_step(self, received: int) -> float:
        """How fast the client sent in the last step, in which nobody held it back; 0 before one is over."""
        if self._step is None:
            return 0.0
        began, before = self._step
        elapsed = self._clock() - began
        return (received - before) / elapsed if elapsed > 0 else UNLIMITED
