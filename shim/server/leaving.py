"""The ways in which a worker ends: retiring beside its successors, draining with the whole shim, or at once.

Each may follow on a slower one. A retiring worker still answers: the connections that are open are its own,
and a client must not find out that something has changed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine

import uvicorn

from shim.admission.drain import Drain
from shim.server.protocol import ClientConnection
from shim.server.steps import Order
from shim.timing import UNLIMITED, Seconds, cancel_and_wait

log = logging.getLogger("shim.server")

# As often as uvicorn looks at its own end.
_CHECK: Seconds = 0.1
# A loop under load may take so long from accepting a connection to making one of ours of it.
_QUIET_CHECKS = 5


class Listener:
    """One of uvicorn's servers, as far as its end is concerned."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    @property
    def has_connections(self) -> bool:
        """Whether any client is connected."""
        return bool(self._server.server_state.connections)

    def stop_accepting(self) -> None:
        """Take no new connection; who shares the socket gets what is in its queue."""
        if self._server.started:
            for server in self._server.servers:
                server.close()

    def retire_connections(self) -> None:
        """Let each connection end with an answer that says so."""
        for connection in [*self._server.server_state.connections]:
            if isinstance(connection, ClientConnection):
                connection.retire()

    def end(self, *, at_once: bool = False) -> None:
        """Let uvicorn shut it down."""
        self._server.should_exit = True
        self._server.force_exit = self._server.force_exit or at_once


class Leaving:
    """How far a worker's end has come."""

    def __init__(
        self, main: Listener, control: Listener, drain: Drain, patience: Seconds, delay: Seconds
    ) -> None:
        """Take the listeners, and in seconds what requests get to end, and load balancers before that."""
        self._main = main
        self._control = control
        self._drain = drain
        self._patience = patience
        self._delay = delay
        self._order: Order | None = None
        self._work: asyncio.Task[None] | None = None

    def follow(self, order: Order) -> None:
        """Do as the supervisor says."""
        match order:
            case Order.RETIRE:
                self.retire()
            case Order.DRAIN:
                self.drain()
            case Order.NOW:
                self.end_now()

    def retire(self) -> None:
        """Leave new connections to others, and end when those that are open have ended."""
        if self._order is None:
            self._begin(Order.RETIRE, self._retire())

    def drain(self) -> None:
        """Stop being ready, then stop taking requests, then end when those under way have ended."""
        if self._order in (None, Order.RETIRE):
            self._begin(Order.DRAIN, self._drain_all())

    def end_now(self) -> None:
        """Wait for nobody."""
        self._order = Order.NOW
        self._drain.begin()
        self._main.end(at_once=True)

    async def settle(self) -> None:
        """End what was begun, and wait for that; called when the listener has ended, in whatever way."""
        if self._work is not None:
            await cancel_and_wait(self._work)

    def _begin(self, order: Order, work: Coroutine[None, None, None]) -> None:
        before, self._order = self._work, order
        if before is not None:
            before.cancel()
        self._work = asyncio.ensure_future(work)

    async def _retire(self) -> None:
        log.info("Retiring: others take new connections")
        # Readiness is the others' to tell, so the admin listener is theirs at once.
        self._drain.leave()
        self._control.stop_accepting()
        self._main.stop_accepting()
        self._main.retire_connections()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._patience == UNLIMITED else self._patience):
                await self._see_connections_off()
        self._drain.begin()
        self._main.end()

    async def _see_connections_off(self) -> None:
        """Wait until nobody is connected, and for a while nobody was: one may still be on its way in."""
        quiet = 0
        while quiet < _QUIET_CHECKS:
            await asyncio.sleep(_CHECK)
            self._main.retire_connections()
            quiet = 0 if self._main.has_connections else quiet + 1

    async def _drain_all(self) -> None:
        log.info("Draining: not ready any more, requests under way may end")
        self._drain.leave()
        await asyncio.sleep(self._delay)
        self._main.stop_accepting()
        # Whoever has just connected was promised an answer: a moment for its request to come.
        await asyncio.sleep(_CHECK)
        self._drain.begin()
        self._main.end()
