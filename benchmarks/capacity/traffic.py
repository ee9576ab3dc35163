"""Clients and a server that keep to a pace, so that a shim between them is never short of CPU.

Both look at the clock before each piece and catch up what they are late: over an upload the pace holds, also
on a machine that does other work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from shim.capacity.simulation import Arrival
from shim.timing import Seconds

# Small against the uploads, large against what Python spends on each.
PIECE = 128 * 1024
# What the kernel may keep for a server that takes its time: with its default, megabytes would seem taken.
BUFFER = 64 * 1024
LIMIT: Seconds = 600.0
_ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class UploadFailed(Exception):
    """The shim answered something else than 204; the figures would be of other things."""


class Pace:
    """Says how long to wait until so many bytes may be through."""

    def __init__(self, rate: float) -> None:
        """Take bytes per second; it begins with the first piece."""
        self._rate = rate
        self._begun: Seconds | None = None

    async def keep(self, moved: int) -> None:
        """Wait until ``moved`` bytes in all are due."""
        now = asyncio.get_running_loop().time()
        if self._begun is None:
            self._begun = now
        await asyncio.sleep(max(0.0, self._begun + moved / self._rate - now))


async def upload(port: int, arrival: Arrival, rate: float) -> None:
    """Send one body to the shim at ``rate`` bytes per second, and wait for its answer.

    Raises:
        UploadFailed: It was not taken.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(LIMIT):
        size = int(arrival.size)
        framing = f"Content-Length: {size}" if arrival.is_known else "Transfer-Encoding: chunked"
        writer.write(f"PUT /upload HTTP/1.1\r\nHost: shim\r\n{framing}\r\n\r\n".encode())
        pace = Pace(rate)
        for sent in range(0, size, PIECE):
            piece = bytes(min(PIECE, size - sent))
            await pace.keep(sent + len(piece))
            writer.write(piece if arrival.is_known else b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if not arrival.is_known:
            writer.write(b"0\r\n\r\n")
        status = await reader.readline()
        writer.close()
    if not status.startswith(b"HTTP/1.1 204"):
        raise UploadFailed(status.decode("latin-1").strip())


@contextlib.asynccontextmanager
async def server(rate: float) -> AsyncIterator[str]:
    """A server whose workers take ``rate`` bytes per second each; its URL. As many workers as connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            await _take(reader, _length(head), rate)
            writer.write(_ANSWER)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=BUFFER)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def _take(reader: asyncio.StreamReader, length: int, rate: float) -> None:
    pace, taken = Pace(rate), 0
    while taken < length:
        piece = await reader.read(min(PIECE, length - taken))
        if not piece:
            raise ConnectionError
        taken += len(piece)
        await pace.keep(taken)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
