"""Who is at the other end of a unix socket, as the kernel tells it: nobody can pretend to be another there.

An operator's name for the admin pages, the process that a body's file is handed to, the uWSGI that ``check``
looks at: all are asked for here.
"""

import socket
import struct
from dataclasses import dataclass

# struct ucred: pid_t, uid_t and gid_t (unix(7)).
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """A process that has connected, or that listened when we did; ``pid`` is 0 in another namespace."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"uid {self.uid} (pid {self.pid})"


def read_local_peer(connection: socket.socket) -> LocalPeer | None:
    """The peer of a connected socket; None where it is no unix socket, or this is not Linux.

    Raises:
        OSError: The socket is closed.
    """
    if connection.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return LocalPeer(pid, uid)
