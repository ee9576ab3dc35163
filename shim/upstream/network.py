"""Byte streams to a server: TCP, unix sockets, TLS; the only place where an upstream's OSErrors are seen.

``NetworkStream`` is small so that a fake can stand in for it. Plain sockets are used without asyncio's
transports: nothing is buffered out of sight, a write's progress is known, and the descriptor can be lent.
"""

import asyncio
import contextlib
import errno
import os
import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from shim.asgi import BodySink
from shim.errors import ConnectTimeout, NoDescriptor, SendTimeout, ShimError, UpstreamClosed, UpstreamRefused
from shim.poller import Poller
from shim.timing import UNLIMITED, Seconds, cancel_and_wait, deadline
from shim.upstream.address import UpstreamAddress
from shim.upstream.dialing import connect_near, connect_tcp, connect_unix, wait_ready
from shim.upstream.pouring import Pouring
from shim.upstream.sending import FileSender

Piece: TypeAlias = bytes | bytearray | memoryview

# Reads of one connection that find bytes there already, before others get their turn.
READS_IN_A_ROW = 4
# struct ucred: process, user, group.
_CREDENTIALS = struct.Struct("iII")


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

    def fileno(self) -> int | None:
        """The socket's descriptor, where it carries the stream's bytes as they are; else None."""
        ...

    def is_readable(self) -> bool:
        """Whether bytes, an end or an error wait to be read: on an idle connection that means it is over."""
        ...

    def close(self) -> None:
        """Close at once; safe to call twice."""
        ...


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
            f"The server behind took no connection within {timeout:g} s.",
            for_operator=f"No connection to {address} within {timeout:g} s.",
        )

    with _connect_errors(address):
        if address.host is not None and address.port is not None and not address.tls:
            near = connect_near(address.host, address.port)
            if near is not None:
                return SocketStream(near, poller)
    async with deadline(timeout, expired):
        with _connect_errors(address):
            if address.socket_path:
                return SocketStream(await connect_unix(address.socket_path), poller)
            assert address.host is not None
            assert address.port is not None
            if address.tls:
                return await TlsStream.open(address.host, address.port, name=address.name)
            return SocketStream(await connect_tcp(address.host, address.port), poller)


class SocketStream:
    """A connected non-blocking socket."""

    def __init__(self, connection: socket.socket, poller: Poller | None = None) -> None:
        self._socket = connection
        self._poller = poller
        self._loop = asyncio.get_running_loop()
        self._read_in_a_row = 0
        self._look: select.poll | None = None

    async def read(self, most: int) -> bytes:
        """Receive some bytes; others get their turn now and then, also where bytes are there already.

        A server that is always ahead would keep the whole loop, and hide that its client has gone.
        """
        if self._read_in_a_row >= READS_IN_A_ROW:
            self._read_in_a_row = 0
            await asyncio.sleep(0)
        while True:
            try:
                data = self._socket.recv(most)
            except BlockingIOError:
                with _transfer_errors():
                    await self._ready(self._loop.add_reader, self._loop.remove_reader)
                self._read_in_a_row = 0
            except OSError as error:
                raise _broken(error) from error
            else:
                self._read_in_a_row += 1
                return data

    def offer(self, pieces: Sequence[Piece]) -> int:
        """Send what the kernel takes, all pieces by one call and without joining them."""
        try:
            return self._socket.sendmsg(pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _broken(error) from error

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Send all bytes, each step within ``timeout``."""
        view = memoryview(data)
        with _transfer_errors():
            while view:
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    async with deadline(timeout, lambda: _send_timeout(timeout)):
                        await self._ready(self._loop.add_writer, self._loop.remove_writer)

    @property
    def sends_files(self) -> bool:
        """With a poller."""
        return self._poller is not None

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Send a part of a file by the poller's threads; they need a descriptor of their own for that."""
        assert self._poller is not None
        try:
            made = FileSender(self._poller, self._socket.fileno(), file, start, end)
        except OSError:
            return False
        with contextlib.closing(made) as sender:
            sending = asyncio.ensure_future(sender.perform())
            try:
                await _while_progressing(sender, sending, timeout)
            finally:
                # Also where it failed or was cancelled: the descriptor is closed next.
                await cancel_and_wait(sending)
            sending.result()
        return True

    async def pour(self, sink: BodySink, size: int, idle: Seconds, silent: Exception) -> int | None:
        """Receive by the poller's threads."""
        assert self._poller is not None
        try:
            pouring = Pouring(self._poller, self._socket.fileno(), size, sink)
        except OSError:
            # The process has no descriptor left; the plain way needs none.
            return None
        with contextlib.closing(pouring):
            return await _while_heard(pouring, idle, silent)

    def peer_process(self) -> int:
        """Who listened on the unix socket (SO_PEERCRED)."""
        if self._socket.family != socket.AF_UNIX:
            return 0
        process, _, _ = _CREDENTIALS.unpack(
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return int(process)

    def fileno(self) -> int | None:
        """The socket's."""
        return self._socket.fileno()

    def is_readable(self) -> bool:
        """Look without taking."""
        if self._look is None:
            self._look = select.poll()
            self._look.register(self._socket, select.POLLIN)
        return bool(self._look.poll(0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise UpstreamClosed("The connection was closed.")
        await wait_ready(descriptor, add, remove)


class TlsStream:
    """A TLS connection on asyncio's streams; certificates are checked against the system's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, *, name: str | None = None) -> "TlsStream":
        """Connect and shake hands; the certificate has to be that of ``name``, by default of ``host``."""
        context = ssl.create_default_context()
        return cls(*await asyncio.open_connection(host, port, ssl=context, server_hostname=name or host))

    @property
    def sends_files(self) -> bool:
        """Never: what goes over the wire is not what is in the file."""
        return False

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Not offered."""
        raise NotImplementedError

    async def pour(self, sink: BodySink, size: int, idle: Seconds, silent: Exception) -> int | None:
        """Not offered."""
        raise NotImplementedError

    def peer_process(self) -> int:
        """It is not on a unix socket."""
        return 0

    def fileno(self) -> int | None:
        """Never: what is in the socket is encrypted."""
        return None

    def offer(self, pieces: Sequence[Piece]) -> int:  # noqa: ARG002 - the interface
        """Nothing: what asyncio takes it keeps, and its progress is not known."""
        return 0

    async def read(self, most: int) -> bytes:
        """Receive some bytes."""
        with _transfer_errors():
            return await self._reader.read(most)

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Send all bytes."""
        with _transfer_errors():
            self._writer.write(data)
            async with deadline(timeout, lambda: _send_timeout(timeout)):
                await self._writer.drain()

    def is_readable(self) -> bool:
        """Whether the end has come; TLS records of the handshake may wait unseen, and do no harm."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        """Close without waiting for the peer's goodbye."""
        transport: asyncio.WriteTransport = self._writer.transport
        transport.abort()


async def _while_heard(pouring: Pouring, idle: Seconds, silent: Exception) -> int:
    """Wait for the end of receiving; ``silent`` where the server sent nothing for ``idle`` seconds."""
    receiving = asyncio.ensure_future(pouring.perform())
    try:
        while not receiving.done():
            left = idle - pouring.silence
            await asyncio.wait({receiving}, timeout=None if left == UNLIMITED else max(0.0, left))
            if not receiving.done() and pouring.silence >= idle:
                raise silent
    finally:
        # Its thread writes to the sink until it has really stopped.
        await cancel_and_wait(receiving)
    return receiving.result()


async def _while_progressing(sender: FileSender, sending: asyncio.Future[int], timeout: Seconds) -> None:
    """Wait for the end of sending; SendTimeout where the server took no byte for ``timeout``."""
    position = sender.position
    while not sending.done():
        await asyncio.wait({sending}, timeout=None if timeout == UNLIMITED else timeout)
        if not sending.done() and sender.position == position:
            raise _send_timeout(timeout)
        position = sender.position


@contextlib.contextmanager
def _connect_errors(address: UpstreamAddress) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        # The kernel's own ETIMEDOUT; our deadline is further out, and passes here as a cancellation.
        raise ConnectTimeout(
            "The server behind took no connection.", for_operator=f"No connection to {address}: timed out."
        ) from error
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            # Refused by our own side: the server may be well.
            raise NoDescriptor(
                "The proxy has no descriptor left for a connection to the server behind.",
                for_operator=f"No connection to {address}: raise the limit of open files.",
            ) from error
        # UnicodeError: the resolver takes no such name, as one with an empty label.
        reason = _reason(error)
        raise UpstreamRefused(
            f"The server behind takes no connections: {reason}.",
            for_operator=f"No connection to {address}: {reason}.",
        ) from error


@contextlib.contextmanager
def _transfer_errors() -> Iterator[None]:
    # The kernel's ETIMEDOUT, a peer that has vanished, is among them: Python's TimeoutError is an OSError.
    try:
        yield
    except OSError as error:
        raise _broken(error) from error


def _broken(error: OSError) -> UpstreamClosed:
    return UpstreamClosed(f"The connection to the upstream broke: {_reason(error)}.")


def _reason(error: OSError | UnicodeError) -> str:
    # asyncio puts the address into strerror; a failed look-up or handshake has numbers of its own.
    if isinstance(error, UnicodeError):
        return str(error)
    known = error.errno is not None and error.errno in errno.errorcode
    if known and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno or 0)
    return error.strerror or str(error)


def _send_timeout(timeout: Seconds) -> ShimError:
    return SendTimeout(f"The upstream took no byte of the request for {timeout:g} s.")
