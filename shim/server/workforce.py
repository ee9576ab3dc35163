"""The worker processes themselves: forked, talked to, and buried when they have ended.

Forked, not started anew: sockets, table and the configuration that was found good are simply there, the code
is shared memory, and a replacement is ready in milliseconds (docs/decisions/0015).
"""

import atexit
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from shim.server.channel import Beat, Mouthpiece, Post, make_line
from shim.server.steps import Order
from shim.server.wakeups import forget_signals
from shim.timing import Clock, Seconds

log = logging.getLogger("shim.server")


@dataclass(slots=True)
class Process:
    """A worker's process, as its supervisor knows it; ``beaten`` is when it last gave a sign of life."""

    pid: int
    mouthpiece: Mouthpiece
    beaten: Seconds
    last: Beat = field(default_factory=Beat)


class Workforce:
    """All worker processes of one supervisor, by number."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._processes: dict[int, Process] = {}

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def lines(self) -> list[socket.socket]:
        """Where workers can still be heard."""
        # One at its end always has something to tell poll, and its process may live on for long.
        mouthpieces = [process.mouthpiece for process in self._processes.values()]
        return [mouthpiece.line for mouthpiece in mouthpieces if not mouthpiece.has_ended]

    @property
    def load(self) -> Beat:
        """What all workers together have under way."""
        last = [process.last for process in self._processes.values()]
        return Beat(sum(beat.uploads for beat in last), sum(beat.held for beat in last))

    def start(self, number: int, work: Callable[[Post], int]) -> None:
        """Fork a worker that does ``work`` and ends with the status that it gives.

        Raises:
            OSError: There is no room for another process; none was begun.
        """
        ours, theirs = make_line()
        try:
            # What waits in a buffer would be written by both.
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            self._be_worker(number, lambda: work(Post(theirs)))
        theirs.close()
        self._processes[number] = Process(pid, Mouthpiece(ours), self._clock())

    def tell(self, number: int, order: Order) -> None:
        """Give a worker an order."""
        self._processes[number].mouthpiece.tell(order)

    def kill(self, number: int) -> None:
        """End a worker that does not listen."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._processes[number].pid, signal.SIGKILL)

    def heard(self) -> Iterator[int]:
        """The numbers of workers that have given a sign of life meanwhile."""
        for number, process in [*self._processes.items()]:
            for beat in process.mouthpiece.heard():
                process.last, process.beaten = beat, self._clock()
                yield number

    def silent_since(self, number: int) -> Seconds:
        """When a worker last gave a sign of life, or was started."""
        return self._processes[number].beaten

    def reap(self) -> Iterator[tuple[int, int]]:
        """Numbers and statuses (negative: a signal's) of workers that have ended meanwhile."""
        # As the first process of a container we are left orphans to bury, which were never ours.
        while (ended := _next_ended()) is not None:
            pid, status = ended
            for number, process in [*self._processes.items()]:
                if process.pid == pid:
                    del self._processes[number]
                    process.mouthpiece.close()
                    yield number, status

    def _be_worker(self, number: int, work: Callable[[], int]) -> NoReturn:
        """The life of a worker; never returns, for all that lies further up is the supervisor's."""
        status = 1
        try:
            forget_signals()
            # A line is over when its last descriptor is: the others' would keep them from seeing it.
            for process in self._processes.values():
                process.mouthpiece.close()
            status = work()
        except BaseException:
            log.exception("Worker %d failed", number)
        finally:
            _end_process(status)


def _end_process(status: int) -> NoReturn:
    """End as an interpreter does, but for the frames further up, which are the supervisor's.

    An application in this process may have threads that are to end their work, and functions to be called.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter itself calls
        atexit._run_exitfuncs()  # noqa: SLF001 - the same
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _next_ended() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None
