"""Threads for work that blocks for as long as it likes, in the order in which it was given.

Not ``concurrent.futures``: that joins its threads when the process ends, and a call that never returns
would keep the process alive. These are daemons, and are not waited for.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]
# None tells a thread to end.
_Mailbox = SimpleQueue[Job | None]


class WorkerThreads:
    """Up to ``most`` threads, started when they are first needed; what finds none free waits in line.

    Jobs must not raise. Safe to use from any thread.
    """

    def __init__(self, most: int, name: str, *, on_idle: Job = lambda: None) -> None:
        """Take how many threads there may be, and what they are called in a process list.

        ``on_idle`` is called on a thread that has nothing more to do, once ``load`` has sunk.
        """
        self.most = most
        self._on_idle = on_idle
        self._name = name
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._idle: list[_Mailbox] = []
        self._waiting: deque[Job] = deque()
        self._busy = 0
        self._generation = 0

    def __repr__(self) -> str:
        return f"<WorkerThreads {self._name}: {self._busy} of {self.most} busy, {len(self._waiting)} waiting>"

    @property
    def load(self) -> int:
        """Jobs that are not over: those under way and those waiting."""
        with self._lock:
            return self._busy + len(self._waiting)

    def submit(self, job: Job) -> None:
        """Run ``job`` on a thread as soon as one is free.

        Raises:
            RuntimeError: The system gives no more threads; the job is not run.
        """
        with self._lock:
            if self._idle:
                self._busy += 1
                self._idle.pop().put(job)
                return
            if self._busy == self.most:
                self._waiting.append(job)
                return
            self._busy += 1
        try:
            self._start(job)
        except RuntimeError:
            with self._lock:
                self._busy -= 1
            raise

    def withdraw(self, job: Job) -> bool:
        """Take a job out of the line; whether it was still there, and so will never run."""
        with self._lock:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def close(self) -> None:
        """Let every thread end: idle ones now, the others after their work. Later jobs get new ones."""
        with self._lock:
            self._generation += 1
            while self._idle:
                self._idle.pop().put(None)

    def _start(self, job: Job) -> None:
        threading.Thread(
            target=self._work,
            args=(job, self._generation),
            name=f"{self._name}-{next(self._numbers)}",
            daemon=True,
        ).start()

    def _work(self, job: Job | None, generation: int) -> None:
        mailbox = _Mailbox()
        while job is not None:
            job()
            # An idle thread must not keep alive what its last request held.
            job = None
            job = self._next_job(mailbox, generation)

    def _next_job(self, mailbox: _Mailbox, generation: int) -> Job | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._busy -= 1
            is_kept = generation == self._generation
            if is_kept:
                self._idle.append(mailbox)
        self._on_idle()
        return mailbox.get() if is_kept else None
