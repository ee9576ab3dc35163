"""The fast way out: the poller's threads send a part of a file to a server's socket by ``sendfile``.

The bytes never come into this process, and a disk that has to be read from is not waited for on the
event loop (sendfile costs 0.85-0.91 of reading and sending, measured).
"""

import errno
import os
import select

from shim.errors import DiskError
from shim.job import READY, Job, Ready
from shim.poller import Poller
from shim.upstream.border import broken

# As much as a socket ever takes at once; more would only be asked for in vain.
MOST_AT_ONCE = 4 * 1024 * 1024
# sendfile has one error for two descriptors: these are the socket's, all others the file's.
_OF_THE_SOCKET = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
    }
)


class FileSender(Job[int]):
    """Bytes ``[start, end)`` of a file on their way to a socket.

    Attributes:
        position: Up to where the socket has taken them.
    """

    def __init__(self, poller: Poller, connection: int, file: int, start: int, end: int) -> None:
        """Take the socket, and the file, which must stay open until the sender is closed."""
        super().__init__(poller, connection, select.EPOLLOUT)
        self._file = file
        self._end = end
        self.position = start

    def work(self, buffer: memoryview) -> int | Ready | None:  # noqa: ARG002 - the bytes stay in the kernel
        """Send what the socket takes; the end's position once it has taken all."""
        size = min(MOST_AT_ONCE, self._end - self.position)
        try:
            sent = os.sendfile(self._descriptor, self._file, self.position, size)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _OF_THE_SOCKET:
                raise broken(error) from error
            reason = os.strerror(error.errno or 0)
            raise DiskError(f"The spool could not read a body back: {reason}.") from error
        if sent == 0:
            raise DiskError("The spool could not read a body back: the file ends too early.")
        self.position += sent
        if self.position == self._end:
            return self.position
        return READY if sent == size else None
