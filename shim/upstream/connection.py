"""One exchange on one connection: send head and body, and read the answer at the same time.

Servers answer early and close (401, 404, 409 come from the head alone): whoever sends first and reads
later loses that answer to a reset. So both run together, and sending stops once an answer is there.
"""

import asyncio
import contextlib
from collections.abc import Callable

from shim.errors import ResponseTimeout, UpstreamClosed
from shim.observe.journal import Phase
from shim.spool.disk import Piece
from shim.timing import Alarm, Clock, Seconds, Stopwatch, cancel_and_wait, deadline, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.answer import AnswerReader, Interim
from shim.upstream.handoff import Offer
from shim.upstream.message import BodySource, UpstreamRequest, UpstreamTimeouts
from shim.upstream.network import NetworkStream
from shim.upstream.response import Response
from shim.wire.chunked import LAST_CHUNK, encode_chunk
from shim.wire.framing import BodyKind, Framing, response_framing
from shim.wire.headers import connection_options
from shim.wire.http1 import ResponseHead

SEND_SIZE = 256 * 1024

EnterPhase = Callable[[Phase], None]


async def _drop_interim(_head: ResponseHead) -> None:
    """Interim answers have no taker."""


class Connection:
    """A connection to one server, used for one exchange at a time.

    Attributes:
        exchanges: How many there were.
        drained: Bytes of the body sent last as a whole, and the seconds that the server took to take them.
    """

    def __init__(
        self,
        stream: NetworkStream,
        address: UpstreamAddress,
        timeouts: UpstreamTimeouts,
        *,
        clock: Clock = monotonic,
    ) -> None:
        self._stream = stream
        self._address = address
        self._timeouts = timeouts
        self._answer = AnswerReader(stream, address.protocol, idle=timeouts.response_idle)
        self._all_sent = False
        self._clock = clock
        # One answer at a time is waited for, and the timer of the last one does for the next.
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop)
        # Set: the loop calls them when there is something to be read, the second one while it is idle.
        self._on_answer: Callable[[], None] | None = None
        self._on_end: Callable[[Connection], None] | None = None
        self.exchanges = 0
        self.drained = (0, 0.0)

    def __repr__(self) -> str:
        return f"<Connection to {self._address}, {self.exchanges} exchanges>"

    @property
    def heard(self) -> bool:
        """Whether any byte of the present answer has come."""
        return self._answer.heard

    def is_alive(self) -> bool:
        """Whether an idle connection can be used again, as far as can be known."""
        # Of one that is watched the end would have been told.
        return self._on_end is not None or not self._stream.is_readable()

    def close(self) -> None:
        """Close at once."""
        self.unwatch()
        self._alarm.close()
        self._stream.close()

    def send_now(self, head: bytes) -> bool:
        """Send a request without a body; whether all of it was taken at once. Else the connection is over."""
        self._begin()
        with contextlib.suppress(UpstreamClosed):
            self._all_sent = self._stream.offer([head]) == len(head)
        return self._all_sent

    def watch(self, on_answer: Callable[[], None], on_end: "Callable[[Connection], None]") -> None:
        """Call back whenever there is something of the answer to ``send_now``, and when an idle one ends.

        It stays watched while it is idle, until a request goes the ordinary way: two calls of the system and
        two looks are saved for each that does not.
        """
        self._on_answer = on_answer
        if self._on_end is None:
            self._on_end = on_end
            self._loop.add_reader(self._descriptor, self._readable)

    def rest(self) -> None:
        """The answer was taken: what comes now is the end."""
        self._on_answer = None

    def _readable(self) -> None:
        if self._on_answer is not None:
            self._on_answer()
        elif self._on_end is not None:
            self._on_end(self)

    def unwatch(self) -> None:
        """Call back no more."""
        # Before anybody else reads, or closes: the registration would wake whoever gets the number next.
        if self._on_end is not None:
            self._on_answer = self._on_end = None
            self._loop.remove_reader(self._descriptor)

    @property
    def _descriptor(self) -> int:
        descriptor = self._stream.fileno()
        assert descriptor is not None, "over TLS nothing is sent without a wait"
        return descriptor

    def answer_now(self, request: UpstreamRequest, *, keep_alive: bool) -> Response | None:
        """What has come of the answer to a request that ``send_now`` sent; None before its head is whole.

        Raises:
            UpstreamClosed, UpstreamInvalid: The exchange has failed; ``rest_of_answer`` fails with the same.
        """
        answer = self._answer.read_now()
        return None if answer is None else self._response(request, answer, keep_alive=keep_alive)

    async def rest_of_answer(
        self,
        request: UpstreamRequest,
        *,
        keep_alive: bool,
        interim: Interim,
        enter: EnterPhase,
        waited: Seconds,
    ) -> Response:
        """Go on waiting for the answer to a request that ``send_now`` sent so long ago; as ``exchange``."""
        self.unwatch()
        enter(Phase.WAIT)
        async with self._response_deadline(request, waited):
            answer = await self._answer.read_head(interim)
        return self._response(request, answer, keep_alive=keep_alive)

    async def exchange(
        self,
        request: UpstreamRequest,
        head: bytes,
        *,
        keep_alive: bool = False,
        offer: Offer | None = None,
        interim: Interim = _drop_interim,
        enter: EnterPhase = lambda _phase: None,
    ) -> Response:
        """Send the request and read the answer's head.

        Args:
            request: What to send.
            head: Its head in the server's protocol.
            keep_alive: Whether the connection is wanted again afterwards.
            offer: The body's file, which the head names: it is sent only if the server does not open it.
            interim: Takes 1xx answers other than 100.
            enter: Told of the phases ``SEND`` and ``WAIT``.

        Raises:
            UpstreamClosed, UpstreamInvalid, SendTimeout, ResponseTimeout: The exchange failed.
            ShimError: What reading the request's own body failed with.
        """
        self.unwatch()
        self._begin()
        enter(Phase.SEND)
        body = request.body
        if offer is None:
            head, body = self._offer_small(head, body)
        if head or body is not None:
            answer = await self._converse(request, head, body, offer, interim=interim, enter=enter)
        else:
            enter(Phase.WAIT)
            async with self._response_deadline(request):
                answer = await self._answer.read_head(interim)
        return self._response(request, answer, keep_alive=keep_alive)

    def _begin(self) -> None:
        self.exchanges += 1
        self._all_sent = False
        self.drained = (0, 0.0)
        self._answer.begin()

    def _response(self, request: UpstreamRequest, answer: ResponseHead, *, keep_alive: bool) -> Response:
        framing = response_framing(request.method, answer.status, answer.headers)
        reusable = self._is_reusable(answer, framing, keep_alive=keep_alive)
        return Response(self._answer, answer, framing, reusable=reusable)

    def _offer_small(self, head: bytes, body: BodySource | None) -> tuple[bytes, BodySource | None]:
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
        self._all_sent = sent == sum(map(len, pieces))
        return b"" if self._all_sent else b"".join(pieces)[sent:], None

    async def _converse(
        self,
        request: UpstreamRequest,
        head: bytes,
        body: BodySource | None,
        offer: Offer | None,
        *,
        interim: Interim,
        enter: EnterPhase,
    ) -> ResponseHead:
        """Send and read at the same time, until the answer's head is there."""
        sending = asyncio.ensure_future(self._send(head, body, offer))
        reading = asyncio.ensure_future(self._answer.read_head(interim))
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                sending.result()
                enter(Phase.WAIT)
                async with self._response_deadline(request):
                    await asyncio.wait({reading})
            return reading.result()
        finally:
            # Both, also where we are cancelled again meanwhile: a task left behind would go on with a
            # descriptor that is closed, and then somebody else's.
            try:
                await cancel_and_wait(sending)
            finally:
                await cancel_and_wait(reading)

    async def _send(self, head: bytes, body: BodySource | None, offer: Offer | None) -> None:
        """Send all; a broken pipe is no error here, for the answer may be there to be read."""
        try:
            if offer is not None and body is not None:
                await self._hand_off(head, body, offer)
            else:
                await self._send_all(head, body)
        except UpstreamClosed:
            return
        self._all_sent = True

    async def _send_all(self, head: bytes, body: BodySource | None) -> None:
        if body is None:
            await self._stream.write(head, self._timeouts.send)
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
                if await self._stream.send_file(file, offset, end, self._timeouts.send):
                    offset = end
                    continue
            # Head and first bytes together: one packet for a small request.
            piece = await body.read(offset, SEND_SIZE)
            await self._stream.write(head + piece, self._timeouts.send)
            head, offset = b"", offset + len(piece)
        await self._send_head(head)
        # Where the server waited most of the time it took small pieces at once, into its buffers.
        if stopwatch.paused <= stopwatch.seconds:
            self.drained = (length, stopwatch.seconds)

    async def _send_head(self, head: bytes) -> None:
        """By itself, where it was not sent with other bytes already."""
        if head:
            await self._stream.write(head, self._timeouts.send)

    async def _hand_off(self, head: bytes, body: BodySource, offer: Offer) -> None:
        """Let the server open the body's file; send it where that does not happen, or until it does."""
        await self._stream.write(head, self._timeouts.send)
        if await offer.is_taken():
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
        await self._stream.write(head, self._timeouts.send)
        offset = 0
        while piece := await body.read(offset, SEND_SIZE):
            await self._stream.write(encode_chunk(piece), self._timeouts.send)
            offset += len(piece)
        await self._stream.write(LAST_CHUNK, self._timeouts.send)

    def _response_deadline(
        self, request: UpstreamRequest, waited: Seconds = 0.0
    ) -> contextlib.AbstractAsyncContextManager[None]:
        limit = self._timeouts.response_for(request.length)

        def expired() -> ResponseTimeout:
            return ResponseTimeout(
                f"The upstream gave no answer within {limit:g} s after the request was sent."
            )

        return deadline(max(0.0, limit - waited), expired, self._alarm)

    def _is_reusable(self, answer: ResponseHead, framing: Framing, *, keep_alive: bool) -> bool:
        return (
            keep_alive
            and self._all_sent
            and self._address.protocol is Protocol.HTTP
            and answer.http_version == "1.1"
            and framing.kind is not BodyKind.UNTIL_CLOSE
            and b"close" not in connection_options(answer.headers)
        )
