"""An upstream: one or more servers; a request waits for a free slot, and is tried until one takes it.

It holds its slot from before the connection until its answer is read to the end: a worker is busy that
long. Only what provably delivered nothing is tried again here: a refused or unanswered connection. Whether
a request that may have been delivered can be sent anew is for the service room to say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from shim.admission.queue import Place, SlotQueue
from shim.errors import ConnectTimeout, UpstreamRefused
from shim.observe.journal import Phase
from shim.timing import UNLIMITED, Clock, Seconds, monotonic
from shim.upstream.address import Protocol
from shim.upstream.answer import Interim
from shim.upstream.connection import EnterPhase
from shim.upstream.exchange import Response, UpstreamServer
from shim.upstream.message import UpstreamRequest
from shim.upstream.watch import SizeWatch

FIRST_PAUSE: Seconds = 0.05
LONGEST_PAUSE: Seconds = 1.0


class Upstream:
    """A named group of servers."""

    def __init__(
        self,
        name: str,
        servers: Sequence[UpstreamServer],
        *,
        mount: str = "",
        connect_retry: Seconds = 10.0,
        queue: SlotQueue | None = None,
        watch: SizeWatch | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take the servers in the order in which they are tried, where all do the same.

        Args:
            name: Its name in the configuration.
            servers: At least one.
            mount: SCRIPT_NAME of the application.
            connect_retry: How long refused connections are tried again, in seconds.
            queue: The slots of the servers; by default there is no limit to them.
            watch: Finds out how many there are, where a server can be asked.
            clock: Tells the time.
        """
        self.name = name
        self.servers = tuple(servers)
        self.mount = mount
        self.queue = queue or SlotQueue(len(self.servers), clock=clock)
        self._watch = watch
        self._connect_retry = connect_retry
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Upstream {self.name}: {', '.join(map(repr, self.servers))}>"

    @property
    def takes_growing(self) -> bool:
        """Whether its servers begin with a body that still comes in; an application gets a whole file."""
        return all(server.address.protocol is not Protocol.WSGI for server in self.servers)

    @property
    def takes_chunked(self) -> bool:
        """Whether its servers take a body whose length is not known."""
        return all(server.address.protocol is Protocol.HTTP for server in self.servers)

    @property
    def drain_rate(self) -> float | None:
        """How fast its servers take bodies in, in bytes per second: the fastest, for it may be the one."""
        return max((rate for server in self.servers if (rate := server.drain_rate) is not None), default=None)

    @contextlib.asynccontextmanager
    async def exchange(
        self, request: UpstreamRequest, *, interim: Interim, enter: EnterPhase
    ) -> AsyncIterator[Response]:
        """Send a request to a server that has a slot for it, and give its answer.

        Raises:
            QueueFull, QueueTimeout: No slot came free; nothing was delivered.
            UpstreamRefused, ConnectTimeout: No server took a connection while it was tried.
            UpstreamFault: The server that took it failed.
        """
        if self._watch is not None:
            await self._watch.refresh()
        async with contextlib.AsyncExitStack() as stack:
            # What has no length yet may become large.
            length = UNLIMITED if request.is_chunked else request.length
            place = stack.enter_context(self.queue.place(request.project, length))
            yield await self._first_answer(stack, place, request, interim, enter)

    def check_head(self, request: UpstreamRequest, length: int | None) -> None:
        """Raise HeadTooLarge where the head fits no server; asked before a byte of the body is taken."""
        for protocol in {server.address.protocol for server in self.servers}:
            request.check_head(protocol, length)

    async def close(self) -> None:
        """Close all idle connections."""
        for server in self.servers:
            await server.close()

    async def _first_answer(
        self,
        stack: contextlib.AsyncExitStack,
        place: Place,
        request: UpstreamRequest,
        interim: Interim,
        enter: EnterPhase,
    ) -> Response:
        give_up: Seconds | None = None
        pause = FIRST_PAUSE
        while True:
            server = self.servers[await place.take(on_wait=lambda: enter(Phase.QUEUE))]
            # From the first attempt on: the time in line has a limit of its own.
            give_up = give_up or self._clock() + self._connect_retry
            try:
                return await stack.enter_async_context(server.exchange(request, interim=interim, enter=enter))
            except (UpstreamRefused, ConnectTimeout) as error:
                failure = error
            if self._watch is not None:
                self._watch.doubt()
            if place.refuse():
                continue
            if self._clock() + pause > give_up:
                raise failure
            # Without a slot: others may find the server back meanwhile.
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            place.start_over()
