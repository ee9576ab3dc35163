"""Sends one request after the other on a connection: head and body, as far as the body has come.

Small ones go by one call, bodies in files by the poller's threads, and one that is handed off is sent only
where its server does not open the file.
"""

import asyncio

from shim.errors import UpstreamClosed
from shim.spool.disk import Piece
from shim.timing import Clock, Seconds, Stopwatch, cancel_and_wait
from shim.upstream.handoff import Offer
from shim.upstream.message import BodySource
from shim.upstream.network import NetworkStream
from shim.wire.chunked import LAST_CHUNK, encode_chunk

SEND_SIZE = 256 * 1024


class RequestSender:
    """What goes to one server on one connection.

    Attributes:
        all_sent: Whether all of the present request was.
        streamed: Bytes of a body without a length that were sent in chunks.
        drained: Bytes of the body sent last as a whole, and the seconds that the server took to take them.
    """

    def __init__(self, stream: NetworkStream, timeout: Seconds, *, clock: Clock) -> None:
        """Take the stream, and for how many seconds the server may take nothing."""
        self._stream = stream
        self._timeout = timeout
        self._clock = clock
        self.all_sent = False
        self.streamed = 0
        self.drained = (0, 0.0)

    def begin(self) -> None:
        """A new request goes out: nothing of it was sent yet."""
        self.all_sent = False
        self.streamed = 0
        self.drained = (0, 0.0)

    def send_now(self, head: bytes, body: BodySource | None) -> bytes:
        """Send a head, and a body in memory, without a wait; gives what was not taken."""
        rest, left = self.offer_small(head, body)
        assert left is None, "its body is in memory"
        return rest

    def offer_small(self, head: bytes, body: BodySource | None) -> tuple[bytes, BodySource | None]:
        """Send a small request as far as the kernel takes it at once: mostly that is all of it.

        It then needs no tasks that send and read at the same time. Gives what is left of head and body.
        """
        pieces: list[Piece] = [head]
        if body is not None:
            whole = body.in_memory
            if whole is None or len(whole) > SEND_SIZE:
                return head, body
            pieces.append(whole)
        try:
            sent = self._stream.offer(pieces)
        except UpstreamClosed:
            # The answer may be there to be read all the same.
            return b"", None
        self.all_sent = sent == sum(map(len, pieces))
        return b"" if self.all_sent else b"".join(pieces)[sent:], None

    async def send(self, head: bytes, body: BodySource | None, offer: Offer | None) -> None:
        """Send all; a broken pipe is no error here, for the answer may be there to be read."""
        try:
            if offer is not None and body is not None:
                await self._hand_off(head, body, offer)
            else:
                await self._send_all(head, body)
        except UpstreamClosed:
            return
        self.all_sent = True

    async def _send_all(self, head: bytes, body: BodySource | None) -> None:
        if body is None:
            await self._stream.write(head, self._timeout)
        elif body.length is None:
            await self._send_chunks(head, body)
        else:
            await self._send_body(head, body, body.length)

    async def _send_body(self, head: bytes, body: BodySource, length: int) -> None:
        """Send head and body as far as it has come, again and again until its end."""
        stopwatch = Stopwatch(self._clock)
        offset = 0
        while offset < length:
            with stopwatch.stopped():
                await body.wait(offset)
            if self._stream.sends_files and (file := body.fileno()) is not None and body.in_file > offset:
                await self._send_head(head)
                head, end = b"", body.in_file
                if await self._stream.send_file(file, offset, end, self._timeout):
                    offset = end
                    continue
            # Head and first bytes together: one packet for a small request.
            piece = await body.read(offset, SEND_SIZE)
            await self._stream.write(head + piece, self._timeout)
            head, offset = b"", offset + len(piece)
        await self._send_head(head)
        # Where the server waited most of the time it took small pieces at once, into its buffers.
        if stopwatch.paused <= stopwatch.seconds:
            self.drained = (length, stopwatch.seconds)

    async def _send_head(self, head: bytes) -> None:
        """By itself, where it was not sent with other bytes already."""
        if head:
            await self._stream.write(head, self._timeout)

    async def _hand_off(self, head: bytes, body: BodySource, offer: Offer) -> None:
        """Let the server open the body's file; send it where that does not happen, or until it does."""
        await self._stream.write(head, self._timeout)
        if await offer.wait_until_opened():
            return
        sending = asyncio.ensure_future(self._send_all(b"", body))
        taken = asyncio.ensure_future(offer.opened.wait())
        try:
            # A worker that was busy opens it later, and then reads nothing from the connection.
            await asyncio.wait({sending, taken}, return_when=asyncio.FIRST_COMPLETED)
            if not taken.done():
                sending.result()
        finally:
            try:
                await cancel_and_wait(sending)
            finally:
                await cancel_and_wait(taken)

    async def _send_chunks(self, head: bytes, body: BodySource) -> None:
        """Send a body whose end is not known; the last chunk says that it ended as it should."""
        await self._stream.write(head, self._timeout)
        while piece := await body.read(self.streamed, SEND_SIZE):
            await self._stream.write(encode_chunk(piece), self._timeout)
            self.streamed += len(piece)
        await self._stream.write(LAST_CHUNK, self._timeout)
