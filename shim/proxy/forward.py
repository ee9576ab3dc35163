"""Sends a request to its upstream while watching that its client is still there.

A client that has gone is not answered: the upstream call is cancelled, so that it holds no worker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shim.asgi import Receive
from shim.errors import ClientGone, UpstreamFault
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.respond import relay, relay_hints
from shim.service.generic import Failure, Handling, Remedy
from shim.timing import cancel_and_wait
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.upstream.question import gather
from shim.wire.forwarding import forwarded_headers
from shim.wire.headers import get_first
from shim.wire.http1 import ResponseHead


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request on its way to its upstream, as often as that makes sense.

    Attributes:
        message: What the client's request became, with its body.
        handling: Says which answers are doubtful, and what to do about a failed attempt.
    """

    message: UpstreamRequest
    upstream: Upstream
    handling: Handling
    answer: Answer
    journal: Journal
    record: Record

    async def run(self, receive: Receive) -> None:
        """Send the request and relay the answer, only as long as the client is there to get it.

        Raises:
            UpstreamFault: The upstream did not do its part.
            ClientGone: The client left meanwhile.
        """
        self.record.upstream = self.upstream.name
        async with while_connected(receive):
            while (failure := await self._attempt()) is not None:
                if await self.handling.recover(failure) is Remedy.GIVE_UP:
                    await self._give_up(failure)
                    return

    async def _attempt(self) -> Failure | None:
        """Send the request once; None where an answer was relayed."""
        try:
            async with self.upstream.exchange(
                self.message, interim=self._pass_hints, enter=self._enter
            ) as response:
                if self.handling.is_doubtful(response):
                    return await gather(response)
                self._enter(Phase.RESPOND)
                await relay(response, self.answer, self.record)
                return None
        except UpstreamFault as fault:
            # What the client has the beginning of cannot be begun anew.
            if self.answer.has_begun:
                raise
            return fault

    async def _give_up(self, failure: Failure) -> None:
        if isinstance(failure, UpstreamFault):
            raise failure
        self._enter(Phase.RESPOND)
        await relay(failure, self.answer, self.record)

    async def _pass_hints(self, head: ResponseHead) -> None:
        await relay_hints(head, self.answer)

    def _enter(self, phase: Phase) -> None:
        self.journal.enter(self.record, phase)


@contextlib.asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Run the block only as long as the client is there.

    Raises:
        ClientGone: It left; the block was cancelled.
    """
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.ensure_future(_wait_for_disconnect(receive))
    over = left = False

    def leave(_watch: asyncio.Future[None]) -> None:
        nonlocal left
        # Only while the block runs: a cancellation asked for after it would hit what follows.
        if not over and not watch.cancelled() and watch.exception() is None:
            left = True
            task.cancel()

    watch.add_done_callback(leave)
    try:
        try:
            yield
        finally:
            over = True
            await cancel_and_wait(watch)
    except asyncio.CancelledError:
        # It is ours only if nobody else asked for one too.
        if not left or task.uncancel() > 0:
            raise
        raise ClientGone("The client closed the connection while its request was under way.") from None


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def upstream_request(request: ClientRequest, mount: str) -> UpstreamRequest:
    """The request as its upstream shall see it; the body is added once it is there."""
    headers = forwarded_headers(request.headers, request.peer, identity=request.id, prefix=mount)
    if get_first(headers, b"host") is None:
        # HTTP/1.0 may leave it out, HTTP/1.1 goes up: the place that was asked is the best name there is.
        headers.insert(0, (b"host", request.server[0].encode("ascii", "replace")))
    return UpstreamRequest(
        method=request.method,
        target=request.target,
        headers=headers,
        http_version=request.http_version,
        mount=mount,
        scheme=request.peer.scheme,
        remote=request.peer.address,
        server=request.server,
    )
