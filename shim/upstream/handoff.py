"""Hand-off: uWSGI on this host opens the spool file itself (UWSGI_POSTFILE), and nothing is sent.

uWSGI does not say whether it could open the file; the kernel does (inotify). Where it was not opened the
body is sent after all, so that a server under another user, or on another host, costs a moment once and
never an upload.
"""

import asyncio
import contextlib
import enum
import fcntl
import logging
import os
import resource
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.errors import UpstreamClosed
from shim.spool.naming import PREFIX, named
from shim.timing import Clock, Seconds, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.network import NetworkStream
from shim.upstream.open_watch import OpenWatch

log = logging.getLogger("shim.upstream")

# A free worker opens the file at once; one that could not waits for the body for its socket-timeout, 4 s
# by default. In between it is time to send it.
PATIENCE: Seconds = 2.0
# A server that could not open files is asked again: it may run as another user by then.
ASKED_AGAIN_AFTER: Seconds = 600.0
# Numbers of descriptors that servers are told; the kernel's table of them has 8 bytes for each, used or not.
MOST_NUMBERS = 128 * 1024


class Way(enum.Enum):
    """How a worker may get at a spool file, in the order they are tried."""

    DESCRIPTOR = "/proc/PID/fd"
    NAME = "a named file"
    SENDING = "sending"


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that a worker is asked to open.

    Attributes:
        path: What UWSGI_POSTFILE names.
        way: How it was made reachable.
        opened: Set when somebody has opened it.
    """

    path: bytes
    way: Way
    opened: asyncio.Event

    async def wait_until_opened(self) -> bool:
        """Whether it is opened within ``PATIENCE``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self.opened.wait()
        return self.opened.is_set()


class Numbers:
    """Gives open files numbers that do not come again soon, nor are those that the process gets otherwise.

    A request that was given up may lie in a busy server's queue, and name its number there. By the usual one
    the server would open what has that next: the body of somebody else, and store it under the wrong image.
    """

    def __init__(self) -> None:
        self._next = 0

    @contextlib.contextmanager
    def lend(self, descriptor: int) -> Iterator[int]:
        """Another number for what ``descriptor`` has open; leads to nothing after the block.

        Raises:
            OSError: There is none left.
        """
        number = self._duplicate(descriptor)
        try:
            yield number
        finally:
            os.close(number)

    def _duplicate(self, descriptor: int) -> int:
        # The upper half: others get the lowest numbers that are free, so none of these.
        end = min(MOST_NUMBERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if not end // 2 <= self._next < end:
            self._next = end // 2
        number: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self._next)
        self._next = number + 1
        return number


# Of the process, as its descriptors are: two servers must not be told the same number either.
_numbers = Numbers()


class HandOff:
    """What is known of one server's ways to a spool file."""

    def __init__(self, address: UpstreamAddress, directory: Path | None, *, clock: Clock = monotonic) -> None:
        """Take the server, and the spool directory, for files that need a name (None: none gets one)."""
        self._address = address
        self._directory = directory
        self._clock = clock
        self._watch = OpenWatch()
        self._way = Way.DESCRIPTOR
        self._asked_again_at: Seconds = 0.0
        self._has_complained = False

    def __repr__(self) -> str:
        return f"<HandOff to {self._address}, by {self._way.value}>"

    @property
    def way(self) -> Way:
        """The way that works, as far as is known."""
        return self._way

    @contextlib.asynccontextmanager
    async def offer(self, descriptor: int, stream: NetworkStream) -> AsyncIterator[Offer | None]:
        """Make a file reachable for the server behind a connection while the block runs.

        None where that cannot be: the body is to be sent.
        """
        way = self._next_way(stream)
        async with contextlib.AsyncExitStack() as stack:
            path = ""
            try:
                if way is Way.DESCRIPTOR:
                    path = f"/proc/{os.getpid()}/fd/{stack.enter_context(_numbers.lend(descriptor))}"
                elif way is Way.NAME:
                    assert self._directory is not None
                    place = self._directory / f"{PREFIX}{uuid.uuid4()}"
                    path = str(await stack.enter_async_context(named(descriptor, place)))
                opened = None if way is Way.SENDING else stack.enter_context(self._watch.on(descriptor))
            except FileNotFoundError:
                # A nameless file takes a name once; this one had its own in an attempt before.
                opened = None
            except OSError as error:
                self._give_up(f"{way.value} could not be offered: {error}")
                opened = None
            if opened is None:
                yield None
                return
            offer = Offer(os.fsencode(path), way, opened)
            try:
                yield offer
            except UpstreamClosed:
                # What could not open the file may have closed for that.
                self._learn(offer)
                raise
            self._learn(offer)

    def close(self) -> None:
        """Give back what the kernel holds for it."""
        self._watch.close()

    def _next_way(self, stream: NetworkStream) -> Way:
        if self._address.protocol is not Protocol.UWSGI:
            self._give_up("it does not speak the uwsgi protocol")
            return Way.SENDING
        if self._way is Way.SENDING and self._clock() >= self._asked_again_at:
            self._way = Way.DESCRIPTOR
        # In another namespace the same path is another process's file: never to be named there.
        if self._way is Way.DESCRIPTOR and not shares_processes(stream.peer_process()):
            self._way = Way.NAME
        if self._way is Way.NAME and self._directory is None:
            self._give_up("its processes are not of this user and this host")
        return self._way

    def _learn(self, offer: Offer) -> None:
        """Remember what came of an offer whose request is over."""
        self._watch.look()
        if offer.opened.is_set():
            self._way = offer.way
        elif offer.way is Way.DESCRIPTOR:
            self._way = Way.NAME
        else:
            self._give_up("it opened neither /proc/PID/fd nor a named file")

    def _give_up(self, reason: str) -> None:
        self._way = Way.SENDING
        self._asked_again_at = self._clock() + ASKED_AGAIN_AFTER
        if not self._has_complained:
            self._has_complained = True
            log.warning(
                "No hand-off to %s: %s. Bodies are sent to it; glance-shim check says what is missing.",
                self._address,
                reason,
            )


def shares_processes(process: int) -> bool:
    """Whether a process sees ours under the same numbers, and may look at its descriptors.

    Args:
        process: Its number as the kernel tells it for a unix socket's other end (SO_PEERCRED); 0: unknown.
    """
    if process <= 0:
        return False
    try:
        theirs = Path(f"/proc/{process}/ns/pid").readlink()
        return theirs == Path("/proc/self/ns/pid").readlink()
    except OSError:
        # Another user's process: it may not look at ours either.
        return False
