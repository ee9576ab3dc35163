"""Opens what the operator wrote as listen addresses; the sockets are then uvicorn's."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.server.addresses import InheritedSocket, ListenAddress, TcpAddress, UnixAddress

# Connections that wait to be accepted; uvicorn calls listen(2) once more, and is given the same number.
BACKLOG = 2048


class ListenFailed(Exception):
    """An address cannot be listened on; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """How to listen.

    Attributes:
        socket_mode: Mode of the unix sockets that are made.
        reuse_port: Whether others of the same user may listen on the same address, now or later.
    """

    socket_mode: int = 0o660
    reuse_port: bool = False


def place_of(listener: socket.socket) -> str:
    """Where a listener can be reached, with the port that the kernel chose."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return str(TcpAddress(name[0], name[1]))


@contextlib.contextmanager
def open_listener(address: ListenAddress, options: ListenOptions) -> Iterator[socket.socket]:
    """A listening socket; closed, and a unix socket's path removed, at the end.

    Raises:
        ListenFailed: It cannot be had.
    """
    with contextlib.ExitStack() as stack:
        try:
            match address:
                case TcpAddress():
                    listener = _open_tcp(address, reuse_port=options.reuse_port)
                case UnixAddress():
                    listener = _open_unix(Path(address.path), options)
                    stack.callback(_remove_own, Path(address.path))
                case InheritedSocket():
                    listener = _open_inherited(address.descriptor)
        except OSError as error:
            raise ListenFailed(f"{address}: {error.strerror or error}{_advice(error)}") from error
        except UnicodeError as error:
            # The resolver takes no such name, as one with an empty label.
            raise ListenFailed(f"{address}: {error}") from error
        stack.callback(listener.close)
        listener.setblocking(False)
        yield listener


def _open_tcp(address: TcpAddress, *, reuse_port: bool) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            # The kernel asks for it on both sides, so the first instance has to say so too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _open_unix(path: Path, options: ListenOptions) -> socket.socket:
    # A name of its own first where somebody may listen there: renaming replaces theirs in one step, and
    # they go on with what has reached them already.
    name = path.with_name(f".{path.name}.{os.getpid()}") if options.reuse_port else path
    _remove_stale(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment on: a chmod after bind would leave a gap.
    before = os.umask(0o777 & ~options.socket_mode)
    try:
        listener.bind(str(name))
        listener.listen(BACKLOG)
        if name != path:
            _check_replaceable(path)
            name.rename(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _check_replaceable(path: Path) -> None:
    if path.exists() and not path.is_socket():
        raise OSError(errno.EEXIST, "the path exists and is no socket")


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
