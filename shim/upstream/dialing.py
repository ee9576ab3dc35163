"""Plain sockets on their way to a server: connected over TCP or a unix socket, and waited for.

A server on the same machine, named by its address, is connected to without a turn of the loop or a thread:
each body has a connection of its own, and for small ones that was half of what they cost.
"""

import asyncio
import errno
import functools
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from shim.timing import Seconds

# A full listen queue of a unix socket answers EAGAIN at once: try again after so long.
UNIX_QUEUE_PAUSE: Seconds = 0.02
# Bytes that a unix socket shall hold; the kernel grants twice as many, up to twice net.core.wmem_max. TCP's
# buffers grow by themselves, these stay at 208 KiB: a thread woke up for each such piece, 3800 times a GiB.
UNIX_SEND_BUFFER = 1024 * 1024
# More than an operator names.
HOSTS_KEPT = 256


def connect_near(host: str, port: int) -> socket.socket | None:
    """A socket connected to a server on this machine, without a wait and so without a limit to it.

    None where the host is another one, or the server is too busy for that; raises OSError where it refuses.
    """
    if not _is_near(host):
        return None
    connection = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if _connect_at_once(connection, (host, port)):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def connect_unix_now(path: str) -> socket.socket | None:
    """A non-blocking socket connected to ``path``, None where its queue is full; raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNIX_SEND_BUFFER)
        connection.connect(path)
    except BlockingIOError:
        # asyncio takes EAGAIN for "in progress", but here it says: the queue is full.
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_unix(path: str) -> socket.socket:
    """The same, tried again as long as the queue is full."""
    while True:
        connection = connect_unix_now(path)
        if connection is not None:
            return connection
        await asyncio.sleep(UNIX_QUEUE_PAUSE)


async def connect_tcp(host: str, port: int) -> socket.socket:
    """A non-blocking socket connected to the first of a host's addresses that takes it; raises OSError."""
    refused: OSError | None = None
    for family, place in await _places(host, port):
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await _connect(connection, place)
        except OSError as error:
            connection.close()
            refused = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise refused or OSError(f"{host} has no address")


async def _places(host: str, port: int) -> Sequence[tuple[int, Any]]:
    """Where a host is, family and address each; the resolver, which takes a thread, is asked of names."""
    if family := _family(host):
        return [(family, (host, port))]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, place) for family, _, _, _, place in found]


@functools.lru_cache(HOSTS_KEPT)
def _family(host: str) -> int:
    """The family of an address; 0 of a name, and of an address with a zone, which the resolver can read."""
    if "%" in host:
        return 0
    try:
        return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    except ValueError:
        return 0


async def _connect(connection: socket.socket, place: Any) -> None:
    """What the loop's own ``sock_connect`` does, but that a server on this machine is not waited for."""
    if _connect_at_once(connection, place):
        return
    loop = asyncio.get_running_loop()
    await wait_ready(connection.fileno(), loop.add_writer, loop.remove_writer)
    if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))


def _connect_at_once(connection: socket.socket, place: Any) -> bool:
    """Begin to connect; whether that is done already, False while it goes on. Raises OSError.

    A server on this machine is connected to by the time that the call returns, though the call says
    otherwise: asked again, it says how that went (connect(2)).
    """
    result = connection.connect_ex(place)
    if result == errno.EINPROGRESS:
        result = connection.connect_ex(place)
    # Other systems than Linux say EISCONN of what has become of the first call.
    if result not in (0, errno.EALREADY, errno.EISCONN):
        raise OSError(result, os.strerror(result))
    return result != errno.EALREADY


@functools.lru_cache(HOSTS_KEPT)
def _is_near(host: str) -> bool:
    return _family(host) != 0 and ipaddress.ip_address(host).is_loopback


async def wait_ready(descriptor: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    """Wait for a descriptor, by the loop's ``add_reader`` or ``add_writer`` and its counterpart."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(descriptor, _set_once, ready)
    # The registration is taken back on every path: left behind, it would outlive the descriptor and wake
    # whoever gets its number next.
    try:
        await ready
    finally:
        remove(descriptor)


def _set_once(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
