"""The transport of a client connection: flow control both ways, and the ways of ending it.

Ending is where answers get lost: a close with bytes unread becomes a reset, and a reset destroys what the
client has not read yet. So each end is chosen here, once.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from shim.timing import Seconds
from shim.wire.proxy_protocol import ProxyHeader

# Bytes of an answer kept for a client that reads slowly, before its upstream is held back.
WRITE_BUFFER = 256 * 1024


class ClientStream:
    """What can be done with a client's transport.

    Attributes:
        ends: The scope's ``client``, ``server`` and ``scheme``.
    """

    def __init__(
        self, transport: asyncio.Transport, *, send_timeout: Seconds, named: ProxyHeader | None = None
    ) -> None:
        """Take the transport, how long a client may take nothing of an answer, and whom a proxy named."""
        self._transport = transport
        # Asked once and now: a connection that has been reset meanwhile has no ends any more.
        self.ends = _ends(transport, named or ProxyHeader())
        self.send_timeout = send_timeout
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        transport.set_write_buffer_limits(WRITE_BUFFER)

    @property
    def can_half_close(self) -> bool:
        """Whether the sending side can be closed alone; over another server's TLS it cannot."""
        return self._transport.can_write_eof()

    @property
    def is_plain(self) -> bool:
        """Whether what the socket carries is what the client sent; over TLS it is not."""
        return not is_ssl(self._transport)

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def fileno(self) -> int:
        """The socket's descriptor."""
        connection = self._transport.get_extra_info("socket")
        number: int = connection.fileno()
        return number

    # -- flow control -----------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading: what the client sends waits in the kernel, and then with the client."""
        # Transports complain of a second pause, and of one on a closing connection.
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on, where reading was paused."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def hold_writing(self) -> None:
        """The client reads slower than we write."""
        self._writable.clear()

    def release_writing(self) -> None:
        """The client has caught up, or has gone."""
        self._writable.set()

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the transport; ``drain`` afterwards keeps them bounded."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written; cut it off where it takes nothing."""
        # Asked first, for nearly always there is nothing to wait for, and a timeout costs more than a test.
        while not self._writable.is_set():
            left = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self.send_timeout):
                    await self._writable.wait()
            except TimeoutError:
                # A client that takes a little at a time is slow, not gone.
                if self._transport.get_write_buffer_size() >= left:
                    self._transport.abort()
                    return

    async def flush(self) -> None:
        """Wait until the kernel has all of what was written; like ``drain``, but to the last byte."""
        if self.is_closing:
            return
        # Any byte that is left now counts as too many, and none lets us go on.
        self._transport.set_write_buffer_limits(0)
        try:
            await self.drain()
        finally:
            if not self.is_closing:
                self._transport.set_write_buffer_limits(WRITE_BUFFER)

    # -- ends -------------------------------------------------------------------------------------

    def half_close(self) -> None:
        """FIN after what was written; reading goes on."""
        self._transport.write_eof()

    def close(self) -> None:
        """Close after what was written."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was written and not sent is lost."""
        self._transport.abort()

    def reset(self) -> None:
        """Close at once, with a RST (SO_LINGER of zero seconds) that no client takes for a proper end."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _ends(transport: asyncio.Transport, named: ProxyHeader) -> dict[str, Any]:
    return {
        "client": named.client or get_remote_addr(transport),
        "server": named.server or get_local_addr(transport),
        "scheme": "https" if is_ssl(transport) else "http",
    }
