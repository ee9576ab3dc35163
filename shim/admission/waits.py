"""The waits in an upstream's line: whether one may begin, that it ends, and when to come again after it.

The line itself (``queue``) knows whose turn it is, and nothing of time; here is all that waiting costs, so
that who finds a slot free has nothing to do with it.
"""

import asyncio
from collections.abc import Callable

from shim.admission.room import WaitingRoom
from shim.admission.slots import Kind, Waiter
from shim.admission.table import SlotTable
from shim.admission.turnover import Turnover
from shim.errors import QueueFull, QueueTimeout
from shim.timing import Clock, Seconds, deadline


class Waits:
    """Those for the slots of one upstream."""

    def __init__(self, room: WaitingRoom, table: SlotTable, clock: Clock) -> None:
        """Take who counts all who wait, who knows their places, and what tells the time."""
        self._room = room
        self._table = table
        self._clock = clock
        # Uploads hold a slot for long and small requests do not: one says nothing of the other's turn.
        self._turnover = {kind: Turnover() for kind in Kind}

    async def stand(
        self,
        waiter: Waiter,
        turn: asyncio.Future[int],
        patience: Seconds,
        *,
        on_wait: Callable[[], None],
    ) -> None:
        """Wait until ``turn`` has come; ``on_wait`` is called before.

        Raises:
            QueueFull: As many wait as may.
            QueueTimeout: It did not come within ``patience``.
        """
        if not self._room.enter():
            raise QueueFull(
                f"{self._room.limit:.0f} requests are already waiting for the upstream servers.",
                retry_after=self._retry_after(waiter),
            )
        try:
            if self._table.waiting(waiter.kind) == 1:
                self._turnover[waiter.kind].begin(self._clock())
            on_wait()
            async with deadline(patience, lambda: self._expired(waiter)):
                await turn
            self._turnover[waiter.kind].add(self._clock())
        finally:
            self._room.leave()

    def _expired(self, waiter: Waiter) -> QueueTimeout:
        return QueueTimeout(
            "The upstream server was busy for as long as this request may wait.",
            retry_after=self._retry_after(waiter),
        )

    def _retry_after(self, waiter: Waiter) -> int:
        return self._turnover[waiter.kind].retry_after(self._table.place(waiter), self._clock())
