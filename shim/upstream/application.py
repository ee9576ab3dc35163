"""The WSGI application in this process, as a server of an upstream: no connection, no other program.

It runs on threads, for it blocks as long as it likes; the loop waits for its answer under the same
timeouts as for any server. A call that is given up keeps its thread until the application returns: such
threads are told of, so that nobody is sent to wait for them.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import BinaryIO

from shim.asgi import BodySink, MoveAnswer, Moved
from shim.errors import ResponseTimeout, UpstreamRefused
from shim.observe.journal import Phase
from shim.spool.disk import disk_errors
from shim.timing import deadline
from shim.upstream.address import UpstreamAddress
from shim.upstream.answer import Interim
from shim.upstream.answer_pipe import AnswerHead, AnswerPipe
from shim.upstream.connection import EnterPhase
from shim.upstream.message import BodySource, UpstreamRequest, UpstreamTimeouts
from shim.upstream.workers import WorkerThreads
from shim.upstream.wsgi_call import ApplicationCall, BodyFile
from shim.upstream.wsgi_values import WsgiApplication

# An upload holds a thread for its whole time in Glance, and hashing lets others run: more threads than
# cores, but not many more, for they share one interpreter with the loop.
THREADS = 8
# Glance reads its bodies in pieces of this size: then nothing is copied twice.
_READ_SIZE = 64 * 1024
_PIECE = 256 * 1024


class ApplicationServer:
    """A WSGI application that is called in this process."""

    def __init__(
        self,
        address: UpstreamAddress,
        application: WsgiApplication,
        timeouts: UpstreamTimeouts,
        *,
        threads: int = THREADS,
    ) -> None:
        """Take the application, and how many calls of it there may be at once."""
        self.address = address
        self.application = application
        self._timeouts = timeouts
        self._threads = WorkerThreads(threads, "application", on_idle=self._thread_is_idle)
        self._waited_for = 0
        self._lost = 0
        self._is_recounted = False
        self._tell_lost: Callable[[int], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<ApplicationServer {self.address}, {self.inflight} in flight, {self._threads.most} threads>"

    @property
    def threads(self) -> int:
        """How many calls there may be at once."""
        return self._threads.most

    def tell_lost(self, tell: Callable[[int], None]) -> None:
        """Have ``tell`` called on the loop with the number of threads whose calls nobody waits for any more.

        It is called whenever the number has changed.
        """
        self._tell_lost = tell

    @property
    def inflight(self) -> int:
        """Calls that are not over; also those that nobody waits for any more."""
        return self._threads.load

    @property
    def drain_rate(self) -> float | None:
        """Nothing is sent: it opens the body's own file."""
        return None

    def send_now(self, request: UpstreamRequest) -> None:
        """Nothing: a call takes a thread, and is waited for."""

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        request: UpstreamRequest,
        *,
        interim: Interim,  # noqa: ARG002 - PEP 3333 has no interim answers
        enter: EnterPhase,
        sent: object = None,  # noqa: ARG002 - nothing is sent to it
    ) -> AsyncIterator["ApplicationResponse"]:
        """Call the application with a request whose body is whole, and give its answer.

        Raises:
            UpstreamRefused: There is no thread for it: nothing was delivered.
            UpstreamFault: The application failed, or took too long.
            DiskError: The body cannot be opened again.
        """
        self._loop = asyncio.get_running_loop()
        pipe = AnswerPipe(self._loop)
        call = ApplicationCall(self.application, request, await _open_body(request.body, pipe), pipe)
        enter(Phase.CONNECT)
        try:
            self._threads.submit(call.run)
        except RuntimeError as error:
            call.drop()
            text = "The application has no thread for this request."
            raise UpstreamRefused(text, for_operator=f"{text[:-1]}: {error}.") from error
        self._waited_for += 1
        try:
            await self._await_thread(pipe, request)
            enter(Phase.WAIT)
            head = await self._await_head(pipe, request)
            yield ApplicationResponse(head, pipe, request.timeouts or self._timeouts)
        finally:
            pipe.abandon()
            if self._threads.withdraw(call.run):
                call.drop()
            self._waited_for -= 1
            self._recount()

    async def close(self) -> None:
        """Let the threads end: idle ones now, others when their call is over."""
        self._threads.close()

    # -- threads that are lost for a while ------------------------------------------------------------

    def _recount(self) -> None:
        """Find out how many threads work for nobody."""
        # Set before the look at the load: a thread that ends between the two asks for another count.
        self._is_recounted = True
        lost = max(0, self._threads.load - self._waited_for)
        self._is_recounted = lost > 0
        if lost != self._lost:
            self._lost = lost
            if self._tell_lost is not None:
                self._tell_lost(lost)

    def _thread_is_idle(self) -> None:
        """On the thread: its call is over."""
        if self._is_recounted and self._loop is not None:
            # A loop that is closed has no requests: its process is about to end.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._recount)

    # -- waiting for the application ------------------------------------------------------------------

    async def _await_thread(self, pipe: AnswerPipe, request: UpstreamRequest) -> None:
        limit = (request.timeouts or self._timeouts).response_for(request.length)
        expired = ResponseTimeout(
            f"The application did not begin with the request within {limit:g} s: "
            f"all its {self._threads.most} threads are busy."
        )
        async with deadline(limit, lambda: expired):
            await pipe.begun()

    async def _await_head(self, pipe: AnswerPipe, request: UpstreamRequest) -> AnswerHead:
        limit = (request.timeouts or self._timeouts).response_for(request.length)
        expired = ResponseTimeout(f"The application gave no answer within {limit:g} s.")
        async with deadline(limit, lambda: expired):
            return await pipe.head()


class ApplicationResponse:
    """An answer of the application, whose head is there."""

    def __init__(self, head: AnswerHead, pipe: AnswerPipe, timeouts: UpstreamTimeouts) -> None:
        self._pipe = pipe
        self._idle = timeouts.response_idle
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.framing = head.framing
        self.is_complete = not head.framing.has_body

    def take_whole(self) -> bytes | None:
        """Nothing is known to be here but where there is nothing to come."""
        return b"" if self.is_complete else None

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """The body; to be run through once.

        Raises:
            UpstreamFault: The application failed before its end.
            ResponseTimeout: Nothing came for ``timeouts.response_idle``.
        """
        idle = self._idle
        expired = ResponseTimeout(f"The application gave nothing more of its answer for {idle:g} s.")
        while not self.is_complete:
            # An application that is always ahead would keep the whole loop.
            await asyncio.sleep(0)
            async with deadline(idle, lambda: expired):
                data = await self._pipe.take()
            self.is_complete = not data
            # An application may give all of an image at once; the client's connection takes it in parts.
            view = memoryview(data)
            for start in range(0, len(data), _PIECE):
                yield view[start : start + _PIECE]

    async def lend(self, move: MoveAnswer, moved: Moved) -> None:
        """It comes from a thread, and there is no socket."""

    async def pour(self, sink: BodySink) -> None:
        """Nor can a thread of ours read it."""


async def _open_body(body: BodySource | None, pipe: AnswerPipe) -> BinaryIO:
    """The whole body as a file of its own, read from its start.

    Opened here and not on the thread: by then its request may be over, and the descriptor be another's.
    """
    if body is None:
        return io.BytesIO()
    descriptor = body.fileno()
    if descriptor is not None:
        with disk_errors("open a body for the application"):
            return io.BufferedReader(BodyFile(descriptor, pipe), _READ_SIZE)
    data = bytearray()
    while piece := await body.read(len(data), _PIECE):
        data += piece
    return io.BytesIO(data)
