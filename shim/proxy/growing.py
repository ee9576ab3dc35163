"""A body that is forwarded while it still comes in: when that begins, and for how long its server waits.

The decisions are ``pace``'s; here are the waits.
"""

import asyncio

from shim.errors import ServerKeptWaiting
from shim.proxy.client_side import ClientSide
from shim.proxy.pace import Pace, Patience
from shim.spool.body import Body
from shim.spool.disk import Piece
from shim.timing import UNLIMITED, Clock, Seconds, cancel_and_wait, deadline, monotonic


async def wait_for_start(body: Body, pace: Pace, client: ClientSide, *, clock: Clock = monotonic) -> None:
    """Wait until the forwarding of a body is to begin; at the latest when it is whole."""
    whole = asyncio.ensure_future(client.wait_until_whole())
    try:
        while not whole.done() and (pause := pace.next_look(clock(), body.received)) > 0:
            await asyncio.wait({whole}, timeout=pause)
    finally:
        await cancel_and_wait(whole)


class GrowingBody:
    """A body as an upstream reads it: waits for what is to come, but not for ever.

    One for each attempt: what the server was kept waiting is counted anew.

    Attributes:
        length: Bytes in all, None where they were not known when the attempt began. It stays so though the
            body may end meanwhile: the head may have said by then how the body is framed.
    """

    def __init__(self, body: Body, stall: Seconds, *, clock: Clock = monotonic) -> None:
        """Take the body, and how long a server may be kept waiting (``timeouts.cut_through_stall``)."""
        self.length = body.length
        self._body = body
        self._stall = stall
        self._patience = Patience(stall)
        self._clock = clock
        self._since = clock()

    @property
    def is_whole(self) -> bool:
        """Whether it has come to its end meanwhile."""
        return self._body.is_whole

    @property
    def in_file(self) -> int:
        """Up to where its file holds what may be sent."""
        return self._body.in_file

    @property
    def in_memory(self) -> Piece | None:
        """All of it, where it has become whole meanwhile; not where the head says chunks."""
        return None if self.length is None else self._body.in_memory

    def fileno(self) -> int | None:
        """Its file's descriptor, None without one."""
        return self._body.fileno()

    async def wait(self, offset: int) -> bool:
        """Wait until bytes from ``offset`` on are there; False where the body ends.

        Raises:
            ServerKeptWaiting: Its client let the server wait for too long.
            ShimError: What the body failed with.
        """
        if self._body.is_whole or self._stall == UNLIMITED:
            return await self._body.wait(offset)
        began = self._clock()
        self._patience.earn(began - self._since)
        try:
            # What is there already is given also where the patience is at its end: nothing is awaited then.
            async with deadline(max(0.0, self._patience.left), self._stalled):
                return await self._body.wait(offset)
        finally:
            self._since = self._clock()
            self._patience.spend(self._since - began)

    async def read(self, offset: int, most: int) -> bytes:
        """Some bytes from ``offset`` on, ``b""`` at the end; waits as ``wait`` does."""
        return await self._body.read(offset, most) if await self.wait(offset) else b""

    def _stalled(self) -> ServerKeptWaiting:
        return ServerKeptWaiting(
            f"The client fell behind while its body was being forwarded, and kept the server waiting for "
            f"{self._stall:g} s."
        )
