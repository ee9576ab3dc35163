"""The transport of a client connection: flow control both ways, and the ways of ending it.

Ending is where answers get lost: a close with bytes unread becomes a reset, and a reset destroys what the
client has not read yet. So each end is chosen here, once.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from typing import Any

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from shim.admission.limits import AnswerFloor, AnswerPace
from shim.errors import ClientTooSlow
from shim.server.tls import TlsTransport
from shim.timing import UNLIMITED, Seconds
from shim.wire.proxy_protocol import ProxyHeader

# Bytes of an answer kept for a client that reads slowly, before its upstream is held back.
WRITE_BUFFER = 256 * 1024
_NO_COUNT = bytes(4)


class ClientStream:
    """What can be done with a client's transport.

    Attributes:
        ends: The scope's ``client``, ``server`` and ``scheme``.
    """

    def __init__(
        self, transport: asyncio.Transport, pace: AnswerPace, *, proxy_header: ProxyHeader | None = None
    ) -> None:
        """Take the transport, how slow a client may be with its answers, and whom a proxy named."""
        self._transport = transport
        self.floor = AnswerFloor(pace)
        self._written = 0
        self._delivered = 0
        # Asked once and now: a connection that has been reset meanwhile has no ends any more.
        self.ends = _ends(transport, proxy_header or ProxyHeader())
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
        """Whether the socket carries what the client sent, byte for byte; over TLS it does not."""
        return not is_ssl(self._transport)

    @property
    def tls(self) -> TlsTransport | None:
        """What can be lent together with the socket, where it carries TLS of our own."""
        return self._transport if isinstance(self._transport, TlsTransport) else None

    def settle(self) -> bool:
        """Deliver what has been read; whether another may read on from the socket, and misses nothing."""
        return self.is_plain if self.tls is None else self.tls.settle()

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def fileno(self) -> int:
        """The socket's descriptor."""
        connection = self._transport.get_extra_info("socket")
        number: int = connection.fileno()
        return number

    def read_now(self, most: int) -> bytes:
        """What is in the socket, ``b""`` where that is nothing, or not what the client sent (TLS).

        An end or an error is left to the transport: it finds them with its own next read.
        """
        connection = self._transport.get_extra_info("socket")
        if connection is None or self.is_closing or not self.is_plain:
            return b""
        try:
            return os.read(connection.fileno(), most)
        except OSError:
            return b""

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
        """The client reads slower than we write: ``drain`` waits from now on."""
        self._writable.clear()

    def release_writing(self) -> None:
        """The client has caught up, or has gone."""
        self._writable.set()

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the transport; ``drain`` afterwards keeps them bounded."""
        self._written += len(data)
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written.

        Raises:
            ClientTooSlow: It takes nothing, or too little.
        """
        # Asked first, for nearly always there is nothing to wait for, and a timeout costs more than a test.
        if self._writable.is_set():
            return
        clock = asyncio.get_running_loop().time
        # What it took before it was waited for says nothing of its pace now.
        self.newly_delivered()
        while not self._writable.is_set():
            began = clock()
            with contextlib.suppress(TimeoutError):
                limit = self.floor.next_check
                async with asyncio.timeout(None if limit == UNLIMITED else limit):
                    await self._writable.wait()
            self.floor.add(clock() - began, self.newly_delivered())

    @property
    def is_writable(self) -> bool:
        """Whether the client has taken enough of what was written, so that ``drain`` would not wait."""
        return self._writable.is_set()

    @property
    def has_unsent(self) -> bool:
        """Whether the kernel has not taken yet all that was written."""
        return bool(self._transport.get_write_buffer_size())

    def cut_if_slow(self, waited: Seconds) -> bool:
        """Cut off a client that took too little in ``waited`` seconds; whether it is still to be waited for.

        It is not where it has taken all. It is where the transport closes already: that waits for the client
        too, and nobody else ends the wait.
        """
        if not self.has_unsent:
            return False
        try:
            self.floor.add(waited, self.newly_delivered())
        except ClientTooSlow:
            # Not by a FIN: an answer whose end is the connection's would look whole.
            self.reset()
            return False
        return True

    def count_moved(self, size: int) -> None:
        """So many bytes were given to the socket by somebody else."""
        self._written += size

    def newly_delivered(self) -> int:
        """Bytes that the client's side has taken since this was last asked.

        By what the kernel still has to send, not by what it takes from us: that it does in steps of
        megabytes, and a slow client would look like one that is silent.
        """
        waiting = self._transport.get_write_buffer_size() + self._unsent()
        delivered = self._written - waiting
        newly = max(0, delivered - self._delivered)
        self._delivered += newly
        return newly

    def _unsent(self) -> int:
        """Bytes in the socket that the other side has not acknowledged (tcp(7), SIOCOUTQ)."""
        connection = self._transport.get_extra_info("socket")
        if connection is None or self.is_closing:
            return 0
        try:
            answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, _NO_COUNT)
        except (OSError, ValueError):
            # No socket that knows it, or none any more; then what the kernel took counts.
            return 0
        return int.from_bytes(answer, sys.byteorder)

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
        """FIN after what was written; reading goes on, but for a client that has gone."""
        try:
            self._transport.write_eof()
        except OSError:
            # asyncio's own loop shuts down at once, where the answer was met by a reset: nobody would tell of
            # its end where reading is paused.
            self._transport.abort()

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


def _ends(transport: asyncio.Transport, proxy_header: ProxyHeader) -> dict[str, Any]:
    return {
        "client": proxy_header.client or get_remote_addr(transport),
        "server": proxy_header.server or get_local_addr(transport),
        "scheme": "https" if is_ssl(transport) else "http",
    }
