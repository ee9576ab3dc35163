"""A few threads that wait for many sockets and move their bytes, a megabyte at a time.

The event loop hands a socket over as a ``Job`` and gets it back when the job is done, has failed, or was
called back; what a job does with its socket is its own affair. Between two turns nobody holds the socket
but epoll, so a slow peer costs no thread.
"""

import abc
import asyncio
import enum
import os
import select
import threading
from typing import Generic, Protocol, TypeVar

from shim.timing import Clock, Seconds, finish, monotonic

# 64 KiB cost 1.09 times the CPU of this, 4 MiB 1.12 times (measured).
BUFFER = 1024 * 1024
# Sockets and disks are waited for in the kernel; more threads only help where disks stall.
THREADS = 4

Result = TypeVar("Result")


class Worker(Protocol):
    """What a thread calls when a socket is ready."""

    def step(self, buffer: memoryview) -> None:
        """Take one turn; ``buffer`` is the thread's own, and free again afterwards."""
        ...


class Poller:
    """The threads, and what they wait for; made once for a process."""

    def __init__(self, threads: int = THREADS, *, name: str = "pump", clock: Clock = monotonic) -> None:
        """Take how many sockets are served at the same moment; threads start when the first one comes."""
        self.clock = clock
        self._count = threads
        self._name = name
        self._threads: list[threading.Thread] = []
        self._epoll: select.epoll | None = None
        self._closing = -1
        self._workers: dict[int, Worker] = {}

    def __repr__(self) -> str:
        return f"<Poller {self._name}: {len(self._threads)} threads, {len(self._workers)} sockets>"

    @property
    def active(self) -> int:
        """Sockets that are waited for or served."""
        return len(self._workers)

    def watch(self, worker: Worker, descriptor: int, events: int) -> None:
        """Begin to wait for ``events`` (EPOLLIN, EPOLLOUT); the worker gets a turn as soon as one comes."""
        epoll = self._started()
        self._workers[descriptor] = worker
        # One-shot: while a thread serves a socket no other one is told of it.
        epoll.register(descriptor, events | select.EPOLLONESHOT)

    def watch_again(self, descriptor: int, events: int) -> None:
        """Wait for more; a one-shot registration has slept since its event."""
        assert self._epoll is not None
        self._epoll.modify(descriptor, events | select.EPOLLONESHOT)

    def forget(self, descriptor: int) -> None:
        """End the registration; before the descriptor is closed, for epoll keeps what is open elsewhere."""
        assert self._epoll is not None
        self._epoll.unregister(descriptor)
        del self._workers[descriptor]

    def close(self) -> None:
        """End the threads; no job may be active."""
        assert not self._workers, "sockets are still being served"
        if self._epoll is None:
            return
        os.eventfd_write(self._closing, 1)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._epoll.close()
        os.close(self._closing)
        self._epoll = None

    def _started(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._closing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            # Not one-shot: it is to wake all threads, one after the other.
            self._epoll.register(self._closing, select.EPOLLIN)
            for number in range(self._count):
                name = f"{self._name}-{number}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
        return self._epoll

    def _run(self) -> None:
        assert self._epoll is not None
        buffer = memoryview(bytearray(BUFFER))
        while True:
            # One at a time: what another thread could take meanwhile must not wait behind a slow disk.
            for descriptor, _ in self._epoll.poll(maxevents=1):
                if descriptor == self._closing:
                    return
                # Gone, or another one's by now: then the turn finds nothing to do, and that is all.
                worker = self._workers.get(descriptor)
                if worker is not None:
                    worker.step(buffer)


class Holder(enum.Enum):
    """Who may touch a job's socket and state."""

    LOOP = "loop"
    EPOLL = "epoll"  # nobody, until the peer does something
    THREAD = "thread"


class Job(abc.ABC, Generic[Result]):
    """One socket in the hands of the poller, as often as ``run`` is called.

    The socket is used through a descriptor of our own, so that nothing its owner does can let the number
    become somebody else's while a thread works.
    """

    def __init__(self, poller: Poller, descriptor: int, events: int) -> None:
        """Take the socket, which is duplicated, and what to wait for."""
        self._poller = poller
        self._descriptor = os.dup(descriptor)
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._holder = Holder.LOOP
        self._is_called_back = False
        self._result: Result | None = None
        self._error: Exception | None = None
        self._returned = asyncio.Event()
        self._since: Seconds = 0.0
        self._waited: Seconds = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._descriptor}, with the {self._holder.value}>"

    # -- for the loop -----------------------------------------------------------------------------

    @property
    def waited(self) -> Seconds:
        """Seconds that the peer was waited for, in all; what a disk took does not count."""
        return self._waited + self.waiting

    @property
    def waiting(self) -> Seconds:
        """Seconds that the peer has been waited for since the last turn."""
        return self._poller.clock() - self._since if self._holder is Holder.EPOLL else 0.0

    async def perform(self) -> Result:
        """Work until there is a result; cancelled, it returns when no thread works any more.

        Raises:
            Exception: What ``work`` raised.
        """
        self._hand_over()
        try:
            await self._returned.wait()
        except asyncio.CancelledError:
            if not self._call_back():
                await finish(self._returned.wait())
            raise
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _hand_over(self) -> None:
        self._returned.clear()
        self._result = self._error = None
        self._since = self._poller.clock()
        self._holder = Holder.EPOLL
        self._poller.watch(self, self._descriptor, self._events)

    def close(self) -> None:
        """Give up the descriptor of our own; the loop must hold the job."""
        assert self._holder is Holder.LOOP, "a thread still works"
        os.close(self._descriptor)

    def _call_back(self) -> bool:
        """Take the socket back; False where a thread works with it just now, and will return it."""
        with self._lock:
            self._is_called_back = True
            if self._holder is Holder.EPOLL:
                self._poller.forget(self._descriptor)
                self._holder = Holder.LOOP
            return self._holder is Holder.LOOP

    # -- for the threads --------------------------------------------------------------------------

    @abc.abstractmethod
    def work(self, buffer: memoryview) -> Result | None:
        """One turn, without waiting for the peer; None where there is more to do."""

    def step(self, buffer: memoryview) -> None:
        """Take a turn, and wait for the peer again or return to the loop."""
        if not self._take_hold():
            return
        try:
            self._result = self.work(buffer)
        except Exception as error:  # noqa: BLE001 - the loop raises it; a thread has nobody to tell
            self._error = error
        with self._lock:
            if self._result is None and self._error is None and not self._is_called_back:
                self._since = self._poller.clock()
                self._holder = Holder.EPOLL
                # With the lock held: an event may come at once, and its thread waits for us to be done.
                self._poller.watch_again(self._descriptor, self._events)
                return
            self._poller.forget(self._descriptor)
            self._holder = Holder.LOOP
        self._loop.call_soon_threadsafe(self._returned.set)

    def _take_hold(self) -> bool:
        with self._lock:
            if self._holder is not Holder.EPOLL:
                return False
            self._waited += self._poller.clock() - self._since
            self._holder = Holder.THREAD
            return True
