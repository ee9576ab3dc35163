"""A connection to a server over TLS, on asyncio's streams.

What goes over the wire is not what is in a file, so that the poller's threads have no part in it.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import SupportsIndex

from shim.spool.disk import Piece
from shim.timing import Seconds, deadline
from shim.upstream.border import send_timeout, transfer_errors


class _CountingReader(asyncio.StreamReader):
    """Knows how much has come, so that what nobody has read is noticed.

    Attributes:
        came: Bytes in all.
    """

    came = 0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Called by the protocol with what it has decrypted."""
        decrypted = bytes(data)
        self.came += len(decrypted)
        super().feed_data(decrypted)


class TlsStream:
    """A TLS connection on asyncio's streams; certificates are checked against the system's."""

    def __init__(self, reader: _CountingReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._taken = 0

    @classmethod
    async def open(cls, host: str, port: int, *, name: str | None = None) -> "TlsStream":
        """Connect and shake hands; the certificate has to be that of ``name``, by default of ``host``."""
        loop = asyncio.get_running_loop()
        reader = _CountingReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        context = ssl.create_default_context()
        transport, _ = await loop.create_connection(
            lambda: protocol, host, port, ssl=context, server_hostname=name or host
        )
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    @property
    def sends_files(self) -> bool:
        """Never: what goes over the wire is not what is in the file."""
        return False

    async def send_file(self, *_bytes_of_a_file: object) -> bool:
        """Cannot be done, for they have to be encrypted first."""
        return False

    async def pour(self, *_to_a_sink: object) -> int | None:
        """Cannot be done, for it has to be decrypted first."""
        return None

    def peer_process(self) -> int:
        """It is not on a unix socket."""
        return 0

    def fileno(self) -> int | None:
        """Never: what is in the socket is encrypted."""
        return None

    def read_now(self, most: int) -> bytes | None:  # noqa: ARG002 - the interface
        """Nothing: asyncio has it, and gives it to whoever waits."""
        return None

    def offer(self, pieces: Sequence[Piece]) -> int:  # noqa: ARG002 - the interface
        """Nothing: what asyncio takes it keeps, and its progress is not known."""
        return 0

    async def read(self, most: int) -> bytes:
        """Receive some bytes."""
        with transfer_errors():
            data = await self._reader.read(most)
        self._taken += len(data)
        return data

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Send all bytes."""
        with transfer_errors():
            self._writer.write(data)
            async with deadline(timeout, lambda: send_timeout(timeout)):
                await self._writer.drain()

    def is_readable(self) -> bool:
        """Whether bytes or the end have come; records of the handshake may wait unseen, and do no harm."""
        return self._reader.came > self._taken or self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        """Close without waiting for the peer's goodbye."""
        transport: asyncio.WriteTransport = self._writer.transport
        transport.abort()
