"""One exchange on one connection: send head and body, and read the answer at the same time.

Servers answer early and close (401, 404, 409 come from the head alone): whoever sends first and reads
later loses that answer to a reset. So both run together, and sending stops once an answer is there.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable

from shim.errors import ResponseTimeout
from shim.observe.journal import Phase
from shim.timing import Alarm, Clock, Seconds, cancel_and_wait, deadline, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.answer import AnswerReader, Interim, no_interim
from shim.upstream.descriptor_watch import DescriptorWatch
from shim.upstream.handoff import Offer
from shim.upstream.message import BodySource, UpstreamRequest, UpstreamTimeouts
from shim.upstream.network import NetworkStream
from shim.upstream.request_sender import RequestSender
from shim.upstream.response import ConnectionResponse
from shim.wire.framing import BodyKind, Framing, belies_its_status, response_framing
from shim.wire.headers import connection_options
from shim.wire.http1 import ResponseHead

EnterPhase = Callable[[Phase], None]


class Connection:
    """A connection to one server, used for one exchange at a time.

    Attributes:
        exchanges: How many there were.
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
        self._sender = RequestSender(stream, timeouts.send, clock=clock)
        loop = asyncio.get_running_loop()
        # One answer at a time is waited for, and the timer of the last one does for the next.
        self._alarm = Alarm(loop)
        self._watch = DescriptorWatch(loop)
        self.exchanges = 0

    def __repr__(self) -> str:
        return f"<Connection to {self._address}, {self.exchanges} exchanges>"

    @property
    def heard(self) -> bool:
        """Whether any byte of the present answer has come."""
        return self._answer.heard

    @property
    def drained(self) -> tuple[int, Seconds]:
        """Bytes of the body sent last as a whole, and the seconds that the server took to take them."""
        return self._sender.drained

    @property
    def tells_its_end(self) -> bool:
        """Whether somebody hears of it where an idle connection ends."""
        return self._watch.is_on

    def is_alive(self) -> bool:
        """Whether an idle connection can be used again, as far as can be known."""
        # Also of one that is watched: what came in this turn of the loop is not told yet, and would be taken
        # for the answer to what is sent now.
        return not self._stream.is_readable()

    def close(self) -> None:
        """Close at once."""
        self.unwatch()
        self._alarm.close()
        self._stream.close()

    def send_now(self, head: bytes, body: BodySource | None = None) -> bytes:
        """Send a request whose body is in memory, as far as it is taken at once; gives what is left of it."""
        self._begin()
        return self._sender.send_now(head, body)

    def watch(self, on_answer: Callable[[], None], on_end: "Callable[[Connection], None]") -> None:
        """Call back whenever there is something of the answer to ``send_now``, and when an idle one ends."""
        if not self._watch.is_on:
            descriptor = self._stream.fileno()
            assert descriptor is not None, "over TLS nothing is sent without a wait"
            self._watch.start(descriptor, functools.partial(on_end, self))
        self._watch.wait(on_answer)

    def rest(self) -> None:
        """The answer to ``send_now`` was taken: what comes now is the end."""
        self._watch.rest()

    def unwatch(self) -> None:
        """Call back no more."""
        self._watch.stop()

    def answer_now(self, request: UpstreamRequest, *, keep_alive: bool) -> ConnectionResponse | None:
        """What has come of the answer to a request that ``send_now`` sent; None before its head is whole.

        Raises:
            UpstreamClosed, UpstreamInvalid: The exchange has failed; ``rest_of_answer`` fails with the same.
        """
        answer = self._answer.read_now()
        return None if answer is None else self._response(request, answer, keep_alive=keep_alive)

    async def rest_of_answer(
        self,
        request: UpstreamRequest,
        rest: bytes,
        *,
        keep_alive: bool,
        interim: Interim,
        enter: EnterPhase,
        waited: Seconds,
    ) -> ConnectionResponse:
        """Send what ``send_now`` left ``waited`` seconds ago, and wait for the answer; as ``exchange``."""
        self.unwatch()
        if rest:
            enter(Phase.SEND)
            answer = await self._converse(request, rest, None, None, interim=interim, enter=enter)
        else:
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
        interim: Interim = no_interim,
        enter: EnterPhase = lambda _phase: None,
    ) -> ConnectionResponse:
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
            head, body = self._sender.offer_small(head, body)
        if head or body is not None:
            answer = await self._converse(request, head, body, offer, interim=interim, enter=enter)
        else:
            enter(Phase.WAIT)
            async with self._response_deadline(request):
                answer = await self._answer.read_head(interim)
        return self._response(request, answer, keep_alive=keep_alive)

    def _begin(self) -> None:
        self.exchanges += 1
        self._sender.begin()
        self._answer.begin()

    def _response(
        self, request: UpstreamRequest, answer: ResponseHead, *, keep_alive: bool
    ) -> ConnectionResponse:
        framing = response_framing(request.method, answer.status, answer.headers)
        reusable = self._is_reusable(answer, framing, keep_alive=keep_alive)
        return ConnectionResponse(self._answer, answer, framing, reusable=reusable)

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
        sending = asyncio.ensure_future(self._sender.send(head, body, offer))
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

    def _response_deadline(
        self, request: UpstreamRequest, waited: Seconds = 0.0
    ) -> contextlib.AbstractAsyncContextManager[None]:
        # Of a body without a length it is known by now.
        length = self._sender.streamed if request.length is None else request.length
        limit = self._timeouts.response_for(length)

        def expired() -> ResponseTimeout:
            return ResponseTimeout(
                f"The upstream gave no answer within {limit:g} s after the request was sent."
            )

        return deadline(max(0.0, limit - waited), expired, self._alarm)

    def _is_reusable(self, answer: ResponseHead, framing: Framing, *, keep_alive: bool) -> bool:
        return (
            keep_alive
            and self._sender.all_sent
            and self._address.protocol is Protocol.HTTP
            and answer.http_version == "1.1"
            and framing.kind is not BodyKind.UNTIL_CLOSE
            and b"close" not in connection_options(answer.headers)
            and not belies_its_status(answer.status, answer.headers)
        )
