"""Keeps what is known of a server's size up to date: asked before it is needed, then now and again.

An idle shim asks nothing. The request that finds the figure old asks anew, while the others go on by the last
one known; only before the first answer do all wait for it, or a burst would flood the workers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shim.errors import UpstreamFault
from shim.timing import Clock, Seconds, monotonic

log = logging.getLogger("shim.upstream")

# Workers are added and taken away by people, not by the second.
MOST_AGE: Seconds = 30.0
# A server that refuses connections may come back with other settings; but it is not asked each moment.
LEAST_AGE: Seconds = 1.0


class SizeWatch:
    """Asks how many requests the servers of an upstream take at once, and tells it on."""

    def __init__(
        self,
        upstream: str,
        read: Callable[[], Awaitable[int]],
        tell: Callable[[int], None],
        *,
        clock: Clock = monotonic,
    ) -> None:
        """Take whose servers they are, how to ask, and whom to tell."""
        self._upstream = upstream
        self._read = read
        self._tell = tell
        self._clock = clock
        self._size: int | None = None
        self._asked_at: Seconds | None = None
        self._is_doubted = False
        self._is_failing = False
        self._asking = asyncio.Lock()

    @property
    def size(self) -> int | None:
        """What was told last, None before the first answer."""
        return self._size

    @property
    def is_fresh(self) -> bool:
        """Whether ``refresh`` would do nothing."""
        return not self._is_due()

    async def refresh(self) -> None:
        """Ask if it is time to; a failure changes nothing, and is told once."""
        if not self._is_due() or (self._size is not None and self._asking.locked()):
            return
        async with self._asking:
            # Those who waited for the first answer find it there.
            if self._is_due():
                await self._ask()

    def doubt(self) -> None:
        """A server refused a connection: it may be another one when it is back."""
        self._is_doubted = True

    def _is_due(self) -> bool:
        if self._asked_at is None:
            return True
        return self._clock() - self._asked_at >= (LEAST_AGE if self._is_doubted else MOST_AGE)

    async def _ask(self) -> None:
        try:
            size = await self._read()
        except UpstreamFault as fault:
            self._note_failure(fault)
        else:
            self._note(size)
        self._asked_at, self._is_doubted = self._clock(), False

    def _note(self, size: int) -> None:
        if size != self._size or self._is_failing:
            log.info("upstream %s: each server takes %d requests at once", self._upstream, size)
        self._size, self._is_failing = size, False
        self._tell(size)

    def _note_failure(self, fault: UpstreamFault) -> None:
        if not self._is_failing:
            known = "no limit" if self._size is None else f"{self._size}, the last known"
            text = "upstream %s: its stats server does not tell how much it takes; going on with %s: %s"
            log.warning(text, self._upstream, known, fault.for_operator)
        self._is_failing = True
