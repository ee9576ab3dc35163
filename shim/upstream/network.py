"""Byte streams to a server: TCP, unix sockets, TLS.

``NetworkStream`` is small so that a fake can stand in for it.
"""

from collections.abc import Sequence
from typing import Protocol

from shim.asgi import BodySink
from shim.errors import ConnectTimeout
from shim.poller import Poller
from shim.spool.disk import Piece
from shim.timing import Seconds, deadline
from shim.upstream.address import UpstreamAddress
from shim.upstream.border import connect_errors
from shim.upstream.dialing import connect_near, connect_tcp, connect_unix, connect_unix_now
from shim.upstream.plain_stream import SocketStream
from shim.upstream.tls_stream import TlsStream


class NetworkStream(Protocol):
    """One connection; reads and writes may run at the same time, one of each."""

    async def read(self, most: int) -> bytes:
        """Some bytes, or ``b""`` at the end; raises UpstreamClosed on a reset."""
        ...

    def offer(self, pieces: Sequence[Piece]) -> int:
        """Send what is taken at once; gives how many bytes. Raises UpstreamClosed as ``write`` does."""
        ...

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Send all; SendTimeout after ``timeout`` without progress, UpstreamClosed on EPIPE or reset."""
        ...

    @property
    def sends_files(self) -> bool:
        """Whether ``send_file`` is offered here."""
        ...

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Send bytes ``[start, end)`` of a file; like ``write``, and DiskError where they cannot be read.

        Returns:
            False where that cannot be done just now: nothing was sent.
        """
        ...

    async def pour(self, sink: BodySink, size: int, idle: Seconds, silent: Exception) -> int | None:
        """Receive up to ``size`` bytes into a sink, until it is full; how many came, None: not possible now.

        Offered where ``send_file`` is. Raises ``silent`` where nothing comes for ``idle`` seconds,
        UpstreamClosed where the connection ends, and what the sink raises.
        """
        ...

    def peer_process(self) -> int:
        """The process at the other end of a unix socket, as the kernel numbers it for us; 0: not known."""
        ...

    def read_now(self, most: int) -> bytes | None:
        """What ``read`` would give at once, None where it would wait. Offered where there is a ``fileno``."""
        ...

    def fileno(self) -> int | None:
        """The socket's descriptor, where it carries the stream's bytes as they are; else None."""
        ...

    def is_readable(self) -> bool:
        """Whether bytes, an end or an error wait to be read: on an idle connection that means it is over."""
        ...

    def close(self) -> None:
        """Close at once; safe to call twice."""
        ...


def connect_now(address: UpstreamAddress, *, poller: Poller | None = None) -> NetworkStream | None:
    """Open a connection to a server on this machine, where that takes no wait; None where it would, or fails.

    Why it fails is for ``connect`` to find out, which tries it again.
    """
    try:
        if address.socket_path:
            near = connect_unix_now(address.socket_path)
        elif address.host is None or address.port is None or address.tls:
            return None
        else:
            near = connect_near(address.host, address.port)
    except OSError:
        return None
    return None if near is None else SocketStream(near, poller)


async def connect(
    address: UpstreamAddress, timeout: Seconds, *, poller: Poller | None = None
) -> NetworkStream:
    """Open a connection within ``timeout`` seconds; with a ``poller`` it sends files by its threads.

    Raises:
        UpstreamRefused: Nobody listens there, or the name or the certificate is wrong.
        ConnectTimeout: No answer in time.
    """

    def expired() -> ConnectTimeout:
        return ConnectTimeout(
            f"The upstream server took no connection within {timeout:g} s.",
            for_operator=f"No connection to {address} within {timeout:g} s.",
        )

    with connect_errors(address):
        if address.host is not None and address.port is not None and not address.tls:
            near = connect_near(address.host, address.port)
            if near is not None:
                return SocketStream(near, poller)
    async with deadline(timeout, expired):
        with connect_errors(address):
            if address.socket_path:
                return SocketStream(await connect_unix(address.socket_path), poller)
            assert address.host is not None
            assert address.port is not None
            if address.tls:
                return await TlsStream.open(address.host, address.port, name=address.name)
            return SocketStream(await connect_tcp(address.host, address.port), poller)
