"""One answer of a server on a connection: its head is there, and its body comes, or is lent to a mover.

Made by ``connection``; what it may be used for stands in ``exchange.Response``.
"""

import contextlib
from collections.abc import AsyncGenerator

from shim.asgi import BodySink, MoveAnswer, Moved, Movement
from shim.upstream.answer import AnswerReader
from shim.wire.framing import Framing
from shim.wire.http1 import ResponseHead


class ConnectionResponse:
    """An answer whose head is there and whose body comes; ``is_complete`` once it has ended well."""

    def __init__(self, reader: AnswerReader, head: ResponseHead, framing: Framing, *, reusable: bool) -> None:
        self._reader = reader
        self._reusable = reusable
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.framing = framing
        self.is_complete = not framing.has_body

    @property
    def leaves_connection_reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self._reusable and self.is_complete and not self._reader.has_rest

    def take_whole(self) -> bytes | None:
        """The body that came with the head."""
        body = self._reader.take_whole(self.framing)
        self.is_complete = self.is_complete or body is not None
        return body

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """The body; to be run through once."""
        async with contextlib.aclosing(self._reader.read_body(self.framing)) as body:
            async for piece in body:
                yield piece
        self.is_complete = True

    async def lend(self, move: MoveAnswer, moved: Moved) -> Movement | None:
        """Have the rest of the body moved straight from the socket."""
        source = self._reader.source()
        movement = None if source is None else await move(source, moved)
        if source is None or movement is None:
            return None
        self._reader.skip(movement.taken)
        self.is_complete = movement.taken == source.size
        return movement

    async def pour(self, sink: BodySink) -> int | None:
        """Have the rest of the body written to a sink by threads."""
        taken = await self._reader.pour(sink)
        self.is_complete = self._reader.is_over
        return taken
