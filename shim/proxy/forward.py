"""Sends a request to its upstream while watching that its client is still there.

A client that has gone is not answered: the upstream call is cancelled, so that it holds no worker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from shim.asgi import Receive
from shim.errors import ClientGone
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.respond import relay_hints
from shim.timing import cancel_and_wait
from shim.upstream.connection import Response
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.wire.forwarding import forwarded_headers
from shim.wire.headers import get_first
from shim.wire.http1 import ResponseHead


@contextlib.asynccontextmanager
async def forward(
    request: ClientRequest,
    message: UpstreamRequest,
    upstream: Upstream,
    *,
    answer: Answer,
    journal: Journal,
    record: Record,
) -> AsyncIterator[Response]:
    """Send ``message``, which the client's request became, and give the upstream's answer.

    Raises:
        UpstreamFault: The upstream did not do its part.
        ClientGone: The client left meanwhile.
    """
    record.upstream = upstream.name

    async def interim(head: ResponseHead) -> None:
        await relay_hints(head, answer)

    def enter(phase: Phase) -> None:
        journal.enter(record, phase)

    async with (
        while_connected(request.receive),
        upstream.exchange(message, interim=interim, enter=enter) as response,
    ):
        journal.enter(record, Phase.RESPOND)
        yield response


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
