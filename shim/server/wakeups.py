"""How the supervisor waits: for signals, for lines and for a time at once, without a loop of asyncio's."""

import contextlib
import select
import signal
import socket
from collections.abc import Sequence
from typing import Self

from shim.timing import UNLIMITED, Seconds

ENDING = (signal.SIGTERM, signal.SIGINT)
_HEEDED = (*ENDING, signal.SIGHUP, signal.SIGCHLD)


class Wakeups:
    """The signals of a process, noted in the order they came; each writes to a socket that is polled.

    Attributes:
        signals: What came and was not taken yet.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        for number in _HEEDED:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        # The end is certain now; another signal must not turn its exit status into a failure.
        for number in (*ENDING, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self.close()

    def close(self) -> None:
        """Give up the sockets; in a forked worker this is all that is to be done."""
        self._near.close()
        self._far.close()

    def hurry(self) -> None:
        """Let the next ``wait`` end at once: something has happened already."""
        # Full is as good: the wait ends at once as well.
        with contextlib.suppress(BlockingIOError):
            self._far.send(b"\0")

    def wait(self, lines: Sequence[socket.socket], timeout: Seconds | None) -> None:
        """Wait for a signal, for a line with something to hear, or for a time in seconds.

        None and ``UNLIMITED`` are no time at all: then only what happens ends it.
        """
        # Poll keeps nothing in the kernel that a forked worker would share.
        poll = select.poll()
        for line in (self._near, *lines):
            poll.register(line, select.POLLIN)
        # A millisecond more, for it is cut to whole ones: waking too early would be for nothing.
        poll.poll(None if timeout in (None, UNLIMITED) else int(timeout * 1000) + 1)
        with contextlib.suppress(BlockingIOError):
            while self._near.recv(4096):
                pass

    def _note(self, number: int, _frame: object) -> None:
        self.signals.append(number)


def forget_signals() -> None:
    """In a new worker: what the supervisor does about signals is not its affair.

    A terminal sends Ctrl-C to all processes, and the supervisor passes it on; SIGTERM a worker takes itself
    once it runs, for somebody may mean it alone.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
