"""One request's place in the line of an upstream: it waits there, or has a slot, or has neither for a while.

Made by ``queue``, which knows the line; here is what a single request has of it.
"""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shim.admission.preference import Prefer, Preference, anywhere
from shim.admission.slots import Waiter
from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.admission.queue import SlotQueue


class Place:
    """One request's place: in line, with a slot, or neither, while it waits for a server to come back."""

    __slots__ = ("_patience", "_queue", "_server", "_waiter")

    def __init__(
        self, queue: "SlotQueue", waiter: Waiter, patience: Seconds, server: int | None = None
    ) -> None:
        """Take the queue, who waits in it, for how many seconds at most, and whose slot it has already."""
        self._queue = queue
        self._waiter = waiter
        self._patience = patience
        self._server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Leave the line, or give the slot back; safe to call twice."""
        self._queue.leave(self._waiter)

    async def take(self, *, on_wait: Callable[[], None], prefer: Prefer | None = None) -> int:
        """Get a slot of a server that has not refused the request, and say which.

        Args:
            on_wait: Called where there is none free, before the wait for it.
            prefer: Which servers are to be had; by default all, and the one that does least.

        Raises:
            QueueFull, QueueTimeout: It got none.
            NowhereToGo: No server will do, or none any more; after ``start_over`` another may.
        """
        prefer = prefer or anywhere(self._queue.servers)
        preference = prefer(self._waiter.avoided)
        # Nearly always there is a slot and nobody waits for it: then there is nothing to wait for.
        server = self._queue.take(self._waiter, preference)
        if server is None:
            server = await self._turn(preference, on_wait, prefer)
        self._server = server
        return server

    async def _turn(self, preference: Preference, on_wait: Callable[[], None], prefer: Prefer) -> int:
        clock = self._queue.clock
        began = clock()
        try:
            return await self._queue.turn(
                self._waiter, self._patience, preference, on_wait=on_wait, prefer=prefer
            )
        finally:
            # All waits of a request together have one limit.
            self._patience = max(0, self._patience - (clock() - began))

    @property
    def server(self) -> int:
        """Whose slot it has."""
        assert self._server is not None
        return self._server

    @property
    def avoided(self) -> int:
        """The servers that have refused the request since it started over, a bit for each."""
        return self._waiter.avoided

    def refuse(self) -> None:
        """Give the slot back, for its server took no connection: not tried again until ``start_over``."""
        assert self._server is not None
        self._queue.leave(self._waiter)
        self._waiter = self._waiter._replace(avoided=self._waiter.avoided | 1 << self._server)
        self._server = None

    def start_over(self) -> None:
        """All servers may be tried again."""
        self._waiter = self._waiter._replace(avoided=0)
