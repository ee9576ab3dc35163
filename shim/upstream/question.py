"""A small request of the shim's own and its whole answer in memory: what the service rooms ask servers.

It goes the way of any other request, so it speaks uwsgi and unix sockets too; an answer that does not end
in time, or is too long to be one to such a question, fails like a server that broke.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from shim.asgi import BodySink, MoveAnswer, Moved
from shim.errors import ResponseTimeout, UpstreamInvalid
from shim.timing import Seconds, deadline
from shim.upstream.answer import no_interim
from shim.upstream.exchange import Response
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.wire.framing import Framing
from shim.wire.headers import Headers

# An image's JSON is a few KiB; with hundreds of properties and locations it stays below this.
MOST_BYTES = 1024 * 1024


@dataclass(slots=True)
class Reply:
    """A whole answer; it can be relayed like one that is still coming."""

    status: int
    headers: Headers
    framing: Framing
    body: bytes
    reason: bytes = b""
    is_complete: bool = True

    def take_whole(self) -> bytes | None:
        """The body."""
        return self.body

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """The body, in one piece."""
        if self.body:
            yield self.body

    async def lend(self, move: MoveAnswer, moved: Moved) -> None:
        """Nothing is left to be moved."""

    async def pour(self, sink: BodySink) -> None:
        """Nor to be poured."""


async def ask(
    upstream: Upstream, request: UpstreamRequest, *, patience: Seconds, most: int = MOST_BYTES
) -> Reply:
    """Send a request and read its whole answer.

    Args:
        upstream: Where to; refused connections are tried again there as for any request.
        request: What to ask.
        patience: For all of it, in seconds.
        most: Bytes that an answer may have.

    Raises:
        UpstreamFault: The server did not answer, not in time, or with more than ``most``.
    """
    expired = ResponseTimeout(f"The upstream did not answer a question of the shim within {patience:g} s.")
    async with (
        deadline(patience, lambda: expired),
        upstream.exchange(request, interim=no_interim, enter=lambda _phase: None) as response,
    ):
        return await gather(response, most=most)


async def gather(response: Response, *, most: int = MOST_BYTES) -> Reply:
    """Read the rest of an answer into memory.

    Raises:
        UpstreamFault: It broke off, or has more than ``most`` bytes.
    """
    body = bytearray()
    async with contextlib.aclosing(response.pieces()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > most:
                raise UpstreamInvalid(f"The upstream answered {response.status} with more than {most} bytes.")
    return Reply(response.status, response.headers, response.framing, bytes(body), response.reason)
