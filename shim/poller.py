"""A few threads that wait for many sockets and move their bytes, a megabyte at a time.

What is done with a socket is its worker's affair (``Job``). Between two turns nobody holds it but epoll, so a
slow peer costs no thread.
"""

import os
import select

from shim.crew import Crew, Worker
from shim.lane import LateTurns
from shim.timing import Clock, Seconds, monotonic

# 64 KiB cost 1.09 times the CPU of this, 4 MiB 1.12 times (measured).
BUFFER = 1024 * 1024
# Sockets are waited for in the kernel: more threads only help where disks stall, and then they come.
THREADS = 4
MOST_THREADS = 32


class Poller:
    """The threads, and what they wait for; made once for a process."""

    def __init__(
        self,
        threads: int = THREADS,
        *,
        most: int = MOST_THREADS,
        name: str = "pump",
        clock: Clock = monotonic,
    ) -> None:
        """Take how many sockets are served at the same moment, and how many while disks stall.

        The threads start when the first socket comes.
        """
        self.clock = clock
        self._name = name
        self._crew = Crew(self._run, threads, most, name=name, clock=clock)
        self._epoll: select.epoll | None = None
        self._closing = -1
        self._workers: dict[int, Worker] = {}
        self._late = LateTurns(most, name=f"{name}-late", clock=clock)

    def __repr__(self) -> str:
        return f"<Poller {self._name}: {len(self._crew)} threads, {len(self._workers)} sockets>"

    @property
    def active(self) -> int:
        """Sockets that are waited for or served."""
        return len(self._workers)

    @property
    def has_free_thread(self) -> bool:
        """Whether a thread waits for work at this moment."""
        return self._crew.has_free

    @property
    def stuck(self) -> Seconds:
        """Seconds in all in which no event could be taken, for all threads were stuck at disks."""
        return self._crew.stuck

    @property
    def stuck_late(self) -> Seconds:
        """The same of the threads that give turns after a delay."""
        return self._late.stuck

    def watch(self, worker: Worker, descriptor: int, events: int) -> None:
        """Wait for ``events`` (EPOLLIN, EPOLLOUT) once; the worker gets a turn as soon as one comes.

        Raises:
            OSError, RuntimeError: The kernel watches no more, or gives no thread; nothing is waited for.
        """
        epoll = self._started()
        # One-shot: while a thread serves a socket no other one is told of it.
        events |= select.EPOLLONESHOT
        if descriptor in self._workers:
            epoll.modify(descriptor, events)
            return
        self._workers[descriptor] = worker
        try:
            epoll.register(descriptor, events)
        except OSError:
            del self._workers[descriptor]
            raise

    def forget(self, descriptor: int) -> None:
        """End the registration; before the descriptor is closed, for epoll keeps what is open elsewhere."""
        assert self._epoll is not None
        self._epoll.unregister(descriptor)
        del self._workers[descriptor]

    def delay(self, worker: Worker, seconds: Seconds) -> bool:
        """Give a turn after so many seconds, whatever the sockets do; False where no thread is to be had."""
        return self._late.enter(worker, seconds)

    def cancel_delay(self, worker: Worker) -> None:
        """Give no such turn any more; without effect where none is to come."""
        self._late.leave(worker)

    def close(self) -> None:
        """End the threads; no job may be active."""
        assert not self._workers, "sockets are still being served"
        if self._epoll is None:
            return
        self._late.close()
        os.eventfd_write(self._closing, 1)
        self._crew.join()
        self._end()

    def _started(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            try:
                self._closing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                # Not one-shot: it is to wake all threads, one after the other.
                self._epoll.register(self._closing, select.EPOLLIN)
                self._crew.start()
            except BaseException:
                self._end()
                raise
        return self._epoll

    def _end(self) -> None:
        assert self._epoll is not None
        self._epoll.close()
        if self._closing >= 0:
            os.close(self._closing)
        self._epoll, self._closing = None, -1

    def _run(self) -> None:
        assert self._epoll is not None
        buffer = memoryview(bytearray(BUFFER))
        stays = True
        while stays:
            # One at a time: what another thread could take meanwhile must not wait behind a slow disk.
            for descriptor, _ in self._epoll.poll(maxevents=1):
                if descriptor == self._closing:
                    return
                # Gone, or another one's by now: then the turn finds nothing to do, and that is all.
                worker = self._workers.get(descriptor)
                if worker is not None:
                    self._crew.begin_turn()
                    worker.step(buffer)
                    stays = self._crew.end_turn()
