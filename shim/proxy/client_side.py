"""The client's side of a request under way: its body may still come in, and its leaving is noticed.

It runs as a task beside the block that serves the request. Where the client fails or leaves, the block is
cancelled, so that nobody's worker is held by a request that has nobody left to answer.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from shim.asgi import Receive, WatchClient
from shim.errors import ClientGone
from shim.proxy.receive import BodyReceiver
from shim.timing import cancel_and_wait


class ClientSide:
    """An ``async with`` block that runs only as long as the client does its part.

    Raises:
        ClientFault, LimitReached: The body failed; the block was cancelled.
        ClientGone: The client left; the block was cancelled.
    """

    _block: asyncio.Task[Any]  # of ``__aenter__``

    def __init__(
        self,
        receive: Receive,
        receiver: BodyReceiver | None = None,
        *,
        watch_client: WatchClient | None = None,
    ) -> None:
        """Take ASGI's ``receive``, and who takes the body: first of all, where it is not whole already.

        A server that tells of the client's leaving by itself (``watch_client``) spares the task for that.
        """
        self._receive = receive
        self._receiver = receiver
        self._watch_client = watch_client
        self._watch: asyncio.Future[None] | None = None
        self._whole = asyncio.Event()
        self._is_dismissed = False
        self._is_over = False
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._block = task
        # A fast path is an offer: without one a task asks ``receive``.
        if self._watch_client is not None and self.is_body_whole:
            self._watch_client(self._client_left)
        else:
            self._watch = self._start(self._take_body())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        try:
            await self._end_watch()
        except asyncio.CancelledError as cancellation:
            error = cancellation
        if isinstance(error, asyncio.CancelledError):
            # It is ours only if nobody else asked for one too.
            if self._error is None or self._block.uncancel() > 0:
                raise error
            raise self._error from None

    async def _end_watch(self) -> None:
        if self._watch is not None:
            await cancel_and_wait(self._watch)
            return
        assert self._watch_client is not None
        self._watch_client(None)
        if self._error is not None:
            # The cancellation comes with the next step: where the block took none it must come here.
            await asyncio.sleep(0)

    @property
    def is_body_whole(self) -> bool:
        """Whether the body has come to its end, as it should."""
        return self._receiver is None or self._receiver.body.is_whole

    async def wait_until_whole(self) -> None:
        """Wait until the body has come to its end; where it fails the block is cancelled."""
        if not self.is_body_whole:
            await self._whole.wait()

    async def dismiss(self) -> None:
        """Stop taking the body, for there is an answer already: what still comes of it is dropped.

        Dropped and not left unread: a client that reads only when it has sent all would never read the
        answer, and one that leaves would not be noticed.
        """
        self._is_dismissed = True
        assert self._watch is not None, "there was a body to come"
        await cancel_and_wait(self._watch)
        self._watch = self._start(self._notice_leaving())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        watch = asyncio.ensure_future(work)
        watch.add_done_callback(self._watch_ended)
        return watch

    async def _take_body(self) -> None:
        if self._receiver is not None and not self.is_body_whole:
            await self._receiver.fill()
            self._whole.set()
        await self._notice_leaving()

    async def _notice_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise ClientGone

    def _watch_ended(self, watch: asyncio.Future[None]) -> None:
        # Only while the block runs: a cancellation asked for after it would hit what follows. And a
        # receive() that fails once the body is there, or not wanted, says nothing of the client's leaving.
        if self._is_over or watch.cancelled():
            return
        error = watch.exception()
        assert isinstance(error, Exception)
        if isinstance(error, ClientGone) or not (self.is_body_whole or self._is_dismissed):
            self._error = error
            self._block.cancel()

    def _client_left(self) -> None:
        if not self._is_over and self._error is None:
            self._error = ClientGone()
            self._block.cancel()
