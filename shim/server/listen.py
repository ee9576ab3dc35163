"""Opens what the operator wrote as listen addresses; the sockets are then uvicorn's."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from shim.server.addresses import InheritedSocket, ListenAddress, TcpAddress, UnixAddress

BACKLOG = 2048


class ListenFailed(Exception):
    """An address cannot be listened on; the text says which, why and what to do."""


@contextlib.contextmanager
def open_listeners(addresses: Sequence[ListenAddress], socket_mode: int) -> Iterator[list[socket.socket]]:
    """Listening sockets for all addresses; closed, and unix sockets removed, at the end.

    Raises:
        ListenFailed: One of them cannot be had; the others are given back.
    """
    with contextlib.ExitStack() as stack:
        listeners = []
        for address in addresses:
            listener = stack.enter_context(_open(address, socket_mode))
            listener.setblocking(False)
            listeners.append(listener)
        yield listeners


def place_of(listener: socket.socket) -> str:
    """Where a listener can be reached, with the port that the kernel chose."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return str(TcpAddress(name[0], name[1]))


@contextlib.contextmanager
def _open(address: ListenAddress, socket_mode: int) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        try:
            match address:
                case TcpAddress():
                    listener = _open_tcp(address)
                case UnixAddress():
                    listener = _open_unix(Path(address.path), socket_mode)
                    stack.callback(_remove_own, Path(address.path))
                case InheritedSocket():
                    listener = _open_inherited(address.descriptor)
        except OSError as error:
            raise ListenFailed(f"{address}: {error.strerror or error}{_advice(error)}") from error
        except UnicodeError as error:
            # The resolver takes no such name, as one with an empty label.
            raise ListenFailed(f"{address}: {error}") from error
        stack.callback(listener.close)
        yield listener


def _open_tcp(address: TcpAddress) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _open_unix(path: Path, mode: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment on: a chmod after bind would leave a gap.
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more: one left by a crash would block the start."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(errno.EEXIST, "the path exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Whoever listens may be too busy to accept: a full queue answers at once, if it is not waited for.
        probe.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _remove_own(path: Path) -> None:
    """Remove the socket that we made, unless somebody listens there: after a long drain, our successor."""
    with contextlib.suppress(OSError):
        _remove_stale(path)


def _open_inherited(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _advice(error: OSError) -> str:
    advice = {
        errno.EADDRINUSE: "; another process listens there: stop it, or choose another address",
        errno.EACCES: "; this user may not listen there: choose a port above 1023, or another folder",
        errno.EADDRNOTAVAIL: "; this machine does not have that address",
        errno.EBADF: "; no descriptor of that number was passed to this process",
        errno.ENOENT: "; its folder does not exist",
    }
    return advice.get(error.errno or 0, "")
