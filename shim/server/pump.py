"""The fast way in: the poller's threads read bodies from client sockets and write them to spool files.

A megabyte at a time is received into one buffer, decoded in place and written from there, so that Python
runs once a megabyte and not once a chunk, and no disk is ever waited for on the event loop. The loop
keeps what needs it: limits, leases, time, and the request's end.
"""

import enum
import os
import select
from collections.abc import Sequence
from dataclasses import dataclass

from shim.asgi import BodySink
from shim.job import READY, Delay, Job, Ready
from shim.poller import BUFFER, Poller
from shim.server.lull import Lull
from shim.timing import Seconds
from shim.wire.chunked import BodyDecoder

LEAST_READ = 64 * 1024
# A body of tiny chunks makes a slice of each: with fewer bytes at a time they stay few.
MANY_PIECES = 1024
# What may be read beyond a sink's room: the end of a chunked body that fills it exactly must be seen.
SLACK = 4096


class Ended(enum.Enum):
    """Why a pump has stopped."""

    WHOLE = "whole"  # the body has ended as it should
    FULL = "full"  # the sink has no room for more
    GONE = "gone"  # the client has closed its connection
    OWING = "owing"  # the loop has something to send before more is read


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a pump came.

    Attributes:
        overflow: Bytes of the body that the sink had no room for.
        rest: Bytes that came after the body's end.
    """

    ended: Ended
    overflow: bytes = b""
    rest: bytes = b""


class Intake(Job[Outcome]):
    """One body on its way from a client's socket to a sink."""

    _most_read = BUFFER

    def __init__(self, poller: Poller, descriptor: int, decoder: BodyDecoder) -> None:
        """Take the socket, and the decoder in the state that it is in."""
        super().__init__(poller, descriptor, select.EPOLLIN)
        self._decoder = decoder
        self._sink: BodySink | None = None
        self._read_size = 2 * LEAST_READ
        self._last_byte: Seconds = 0.0
        self._lull = Lull()

    @property
    def quiet(self) -> Seconds:
        """Seconds that the client was waited for since its last byte of the body."""
        return self.waited - self._last_byte

    async def run(self, sink: BodySink) -> Outcome:
        """Read until the body ends or the sink is full; cancelled, it returns when no thread reads any more.

        Raises:
            BadFraming: The body is malformed.
            DiskFull, DiskError: It could not be written.
        """
        self._sink = sink
        return await self.perform()

    def work(self, buffer: memoryview) -> Outcome | Delay | Ready | None:
        """Read once and write it, on a thread."""
        sink = self._sink
        assert sink is not None
        left = sink.room - sink.written
        most = min(self._read_size, left + SLACK)
        try:
            taken, size = self._read(buffer, most)
        except BlockingIOError:
            return None
        except OSError:
            # A reset, or a network that is gone: whatever it is, the client's line has broken.
            return Outcome(Ended.GONE)
        if size == 0:
            return Outcome(Ended.GONE)
        decoded = self._decoder.decode(buffer[:size])
        self._adapt(taken, len(decoded.payload))
        # Nearly always all of it fits, and nobody has to add up the pieces.
        fitting, overflow = (decoded.payload, b"") if size <= left else _split(decoded.payload, left)
        # Asked before the write, which tells the reader and forgets that it waited.
        is_awaited = sink.is_awaited
        if fitting:
            self._last_byte = self._waited
            sink.write(fitting)
        if decoded.ended:
            sink.finish()
            return Outcome(Ended.WHOLE, overflow, bytes(buffer[decoded.used : size]))
        if overflow or sink.written == sink.room:
            return Outcome(Ended.FULL, overflow)
        return self._go_on(taken, most, is_awaited=is_awaited)

    def _go_on(self, taken: int, most: int, *, is_awaited: bool) -> Delay | Ready | None:
        """At once where there is more; a slow client is left alone for a while, unless a reader waits."""
        pause = self._lull.after(taken, self._waited)
        if taken == most:
            return READY
        return Delay(pause) if pause and not is_awaited else None

    def _read(self, buffer: memoryview, most: int) -> tuple[int, int]:
        """Take up to ``most`` bytes from the socket; gives how many, and how many of the buffer they fill.

        Raises:
            BlockingIOError: There is none yet.
            OSError: The connection broke.
        """
        size = os.readv(self._descriptor, [buffer[:most]])
        return size, size

    def _adapt(self, size: int, pieces: int) -> None:
        """Read as much at a time as the client sends, but few pieces."""
        if pieces > MANY_PIECES:
            self._read_size = LEAST_READ
        elif size == self._read_size:
            self._read_size = min(2 * self._read_size, self._most_read)


def _split(pieces: Sequence[memoryview], room: int) -> tuple[Sequence[memoryview], bytes]:
    """The pieces that fit into ``room`` bytes, and the bytes that do not."""
    for index, piece in enumerate(pieces):
        if len(piece) > room:
            overflow = b"".join([piece[room:], *pieces[index + 1 :]])
            return [*pieces[:index], piece[:room]], overflow
        room -= len(piece)
    return pieces, b""
