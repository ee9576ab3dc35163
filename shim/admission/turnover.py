"""How fast slots come free, and so when somebody who found none had better come again: the Retry-After.

Pure arithmetic, told the time. Only what came free while somebody waited counts: an idle server says
nothing about a busy one.
"""

import math
from collections import deque

from shim.timing import Seconds

SHORTEST_RETRY = 1
# Beyond an hour a figure is no forecast any more; the client is told to look in again.
LONGEST_RETRY = 3600
# Enough to even out long and short requests, few enough to follow a change of load.
MOST_REMEMBERED = 32


class Turnover:
    """The slots of one kind that came free of late."""

    def __init__(self) -> None:
        self._since: Seconds | None = None
        self._freed: deque[Seconds] = deque(maxlen=MOST_REMEMBERED)

    def begin(self, now: Seconds) -> None:
        """Somebody waits, and nobody did before."""
        self._since = now
        self._freed.clear()

    def add(self, now: Seconds) -> None:
        """A slot came free while somebody waited for one."""
        if len(self._freed) == MOST_REMEMBERED:
            self._since = self._freed[0]
        self._freed.append(now)

    def retry_after(self, place: float, now: Seconds) -> int:
        """Whole seconds until the one at ``place`` (1: the next) would have its turn, within bounds.

        Where none has come free yet, the first is assumed to come now: it is late by that much at least.
        """
        if self._since is None:
            return SHORTEST_RETRY
        apart = (now - self._since) / max(len(self._freed), 1)
        return min(max(math.ceil(place * apart), SHORTEST_RETRY), LONGEST_RETRY)
