"""The fast way for answers: the poller's threads move them from the upstream's socket to the client's.

By ``splice`` and through a pipe, so that the bytes never come into this process, and Python runs once for as
much as the pipe holds. The loop keeps what needs it: both sides' timeouts, the count, the connection's end.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
from typing import TYPE_CHECKING

from shim.asgi import AnswerSource, Moved, Movement
from shim.errors import ClientGone, UpstreamClosed
from shim.job import Job, Wait
from shim.poller import Poller
from shim.timing import Seconds, cancel_and_wait

if TYPE_CHECKING:
    from shim.server.stream import ClientStream

# Below it, two descriptors, a pipe and two threads' turns cost more than they save.
LEAST_RELAYED = 256 * 1024
# A pipe holds so many pages, and a packet from a network fills a part of one: some 400 KiB of packets.
PIPE_SIZE = 1024 * 1024
# A user with many pipes gets tiny ones (pipe(7), pipe-user-pages-soft): then the plain way is cheaper.
LEAST_PIPE = 64 * 1024
# Sockets of all relays together, two each. A relay has four descriptors of its own: so many take a quarter of
# the usual 1024, and their pipes all the memory that an ordinary user's may have. Clients beyond it are slow
# ones, for nobody reads so many answers at once, and lose nothing in the plain way.
MOST_WATCHED = 128
# How often a relay is looked at: a client that has fallen behind is to be noticed, for it holds up a server.
LOOK_ON: Seconds = 0.1


class Relay(Job[int]):
    """``size`` bytes on their way from an upstream's socket to a client's; its result is their number.

    The two sides are waited for by turns: the client as long as the pipe holds something for it, else the
    upstream. So the silence of one is never taken for that of the other.

    Attributes:
        passed_on: Bytes of them that the client's kernel has taken.
    """

    def __init__(self, poller: Poller, upstream: int, client: int, size: int) -> None:
        """Take both sockets, which are duplicated.

        Raises:
            OSError: There is no descriptor left, or no pipe that is worth it.
        """
        super().__init__(poller, upstream, select.EPOLLIN)
        try:
            with contextlib.ExitStack() as opened:
                self._client = os.dup(client)
                opened.callback(os.close, self._client)
                self._pipe_out, self._pipe_in = _open_pipe(opened)
                self._opened = opened.pop_all()
        except OSError:
            super().close()
            raise
        self._flags = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
        self._left = size
        self._held = 0  # bytes in the pipe
        self._broken: UpstreamClosed | None = None
        self._silence: Seconds = 0.0
        self._client_waited: Seconds = 0.0
        self.passed_on = 0

    # -- for the loop -----------------------------------------------------------------------------

    @property
    def silence(self) -> Seconds:
        """Seconds that the upstream was waited for since its last byte."""
        with self._lock:
            return self._silence + (0.0 if self._waits_for_client else self._waiting)

    @property
    def client_waited(self) -> Seconds:
        """Seconds that the client was waited for, in all."""
        with self._lock:
            return self._client_waited + (self._waiting if self._waits_for_client else 0.0)

    def take_held(self) -> bytes:
        """What the client has not taken of what the upstream gave; the relay must not go on after it."""
        held = bytearray()
        while self._held:
            # What is in a pipe is there to be read at once.
            piece = os.read(self._pipe_out, self._held)
            self._held -= len(piece)
            held += piece
        return bytes(held)

    def close(self) -> None:
        """Give up the pipe and the descriptors of our own."""
        super().close()
        self._opened.close()

    # -- for the threads --------------------------------------------------------------------------

    @property
    def _waits_for_client(self) -> bool:
        return self._wait.descriptor == self._client

    def _count_waiting(self, seconds: Seconds) -> None:
        super()._count_waiting(seconds)
        if self._waits_for_client:
            self._client_waited += seconds
        else:
            self._silence += seconds

    def work(self, buffer: memoryview) -> int | Wait:  # noqa: ARG002 - the bytes stay in the kernel
        """Fill the pipe and empty it, as far as both sides go along, on a thread.

        Raises:
            ClientGone: The client's connection broke.
            UpstreamClosed: The upstream's ended; what had come before it was passed on.
        """
        if self._left and self._broken is None:
            self._fill()
        if self._held:
            self._empty()
        if self._held:
            return Wait(self._client, select.EPOLLOUT)
        if self._broken is not None:
            raise self._broken
        return Wait(self._descriptor, select.EPOLLIN) if self._left else self.passed_on

    def _fill(self) -> None:
        try:
            size = os.splice(self._descriptor, self._pipe_in, min(self._left, PIPE_SIZE), flags=self._flags)
        except BlockingIOError:
            # Nothing there, or no page of the pipe free: what it holds says which.
            return
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            self._broken = UpstreamClosed(f"The connection to the upstream broke: {reason}.")
            return
        if size == 0:
            self._broken = UpstreamClosed("The upstream closed the connection in the middle of its answer.")
            return
        self._silence = 0.0
        self._left -= size
        self._held += size

    def _empty(self) -> None:
        try:
            size = os.splice(self._pipe_out, self._client, self._held, flags=self._flags)
        except BlockingIOError:
            return
        except OSError as error:
            raise ClientGone from error
        self._held -= size
        self.passed_on += size


async def relay_answer(
    poller: Poller | None, stream: "ClientStream", source: AnswerSource, moved: Moved
) -> Movement | None:
    """Move the rest of an answer to a client that keeps up; None where it can only go the plain way.

    Raises:
        UpstreamClosed: The answer broke off.
        ResponseTimeout: The upstream was silent for too long.
        ClientGone, ClientTooSlow: The client left, or took too little.
    """
    if poller is None or not stream.is_plain:
        return None
    if source.size < LEAST_RELAYED or poller.active >= MOST_WATCHED:
        return None
    # The transport's bytes come first, and it must not touch the socket's sending side meanwhile.
    if not await _flush(stream, moved) or stream.is_closing:
        return None
    try:
        relay = Relay(poller, source.descriptor, stream.fileno(), source.size)
    except OSError:
        # Out of descriptors or pipe pages: the plain way needs none.
        return None
    with contextlib.closing(relay):
        await _watch(relay, stream, source, moved)
        held = relay.take_held()
        return Movement(relay.passed_on + len(held), held)


async def _flush(stream: "ClientStream", moved: Moved) -> bool:
    """Wait until the kernel has what was written; False where the client falls behind with that."""
    flushing = asyncio.ensure_future(stream.flush())
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while not flushing.done():
            await asyncio.wait({flushing}, timeout=LOOK_ON)
            if not flushing.done() and not moved(0, loop.time() - began):
                return False
    finally:
        await cancel_and_wait(flushing)
    flushing.result()
    return True


async def _watch(relay: Relay, stream: "ClientStream", source: AnswerSource, moved: Moved) -> None:
    """Wait for the relay's end, or until the client falls behind; judge both sides' pace."""
    counted, waited = 0, 0.0
    moving = asyncio.ensure_future(relay.perform())
    try:
        keeps_up = True
        while keeps_up and not moving.done():
            nearest = min(source.idle - relay.silence, stream.floor.next_check, LOOK_ON)
            await asyncio.wait({moving}, timeout=max(0.0, nearest))
            # Read once: a thread may go on before they are read again.
            passed_on, client_waited = relay.passed_on, relay.client_waited
            keeps_up = moved(passed_on, client_waited)
            stream.count_moved(passed_on - counted)
            if not moving.done():
                _check(relay, stream, source, client_waited - waited)
            counted, waited = passed_on, client_waited
    finally:
        # Its threads use the sockets and the pipe until it has really stopped.
        await cancel_and_wait(moving)
        stream.count_moved(relay.passed_on - counted)
        moved(relay.passed_on, relay.client_waited)
    if not moving.cancelled():
        moving.result()


def _check(relay: Relay, stream: "ClientStream", source: AnswerSource, waited: Seconds) -> None:
    if relay.silence >= source.idle:
        raise source.silent
    if waited:
        stream.floor.add(waited, stream.newly_delivered())


def _open_pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe as large as the kernel grants, read end first; closed with ``opened``."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for end in ends:
        opened.callback(os.close, end)
    with contextlib.suppress(OSError):
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    if fcntl.fcntl(ends[0], fcntl.F_GETPIPE_SZ) < LEAST_PIPE:
        raise OSError(errno.ENOSPC, "the kernel grants no pipe of a useful size")
    return ends
