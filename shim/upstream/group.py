"""An upstream: one or more servers, tried in turn until one takes the connection.

Only what provably delivered nothing is tried again here: a refused or unanswered connection. Whether
a request that may have been delivered can be sent anew is for the service room to say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from shim.errors import ConnectTimeout, UpstreamFault, UpstreamRefused
from shim.timing import Clock, Seconds, monotonic
from shim.upstream.address import Protocol
from shim.upstream.answer import Interim
from shim.upstream.connection import EnterPhase
from shim.upstream.exchange import Response, UpstreamServer
from shim.upstream.message import UpstreamRequest

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
        clock: Clock = monotonic,
    ) -> None:
        """Take the servers in the order in which they are tried.

        Args:
            name: Its name in the configuration.
            servers: At least one.
            mount: SCRIPT_NAME of the application.
            connect_retry: How long refused connections are tried again, in seconds.
            clock: Tells the time.
        """
        self.name = name
        self.servers = tuple(servers)
        self.mount = mount
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
        """Send a request to the first server that takes it and give its answer.

        Raises:
            UpstreamRefused, ConnectTimeout: No server took a connection while it was tried.
            UpstreamFault: The server that took it failed.
        """
        async with contextlib.AsyncExitStack() as stack:
            yield await self._first_answer(stack, request, interim, enter)

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
        request: UpstreamRequest,
        interim: Interim,
        enter: EnterPhase,
    ) -> Response:
        give_up = self._clock() + self._connect_retry
        pause = FIRST_PAUSE
        while True:
            failure: UpstreamFault | None = None
            for server in self.servers:
                try:
                    return await stack.enter_async_context(
                        server.exchange(request, interim=interim, enter=enter)
                    )
                except (UpstreamRefused, ConnectTimeout) as error:
                    failure = error
            assert failure is not None
            if self._clock() + pause > give_up:
                raise failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
