"""What goes wrong during a soak, one after the other: the server behind, the shim's processes, its disk."""

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.soak.backend import Backend
from tests.support.faulty_disk import Calls, FaultyDisk, What
from tests.support.shim import Shim

PAUSE = 12.0
"""Seconds between two of them."""

AFTERMATH = 10.0
"""Seconds after one in which a request may still suffer from it."""


class Troubles:
    """Makes trouble, on the thread that calls ``run``: programs end with the thread that started them.

    Attributes:
        counts: How often each was made.
    """

    def __init__(
        self, shim: Shim, backend: Backend, disk: FaultyDisk | None, only: Sequence[str] | None = None
    ) -> None:
        self._shim = shim
        self._backend = backend
        self._disk = disk
        self._only = only
        self._chance = random.Random(1)
        self._trouble_until = 0.0
        self.counts: dict[str, int] = {}

    def run(self, seconds: float) -> None:
        """All kinds in turn, in an order that changes, for so long."""
        kinds = {name: make for name, make in self._kinds().items() if name in (self._only or [name])}
        self.counts = dict.fromkeys(kinds, 0)
        end = time.monotonic() + seconds
        while True:
            for name in self._chance.sample(sorted(kinds), len(kinds)):
                if time.monotonic() + PAUSE > end:
                    return
                time.sleep(PAUSE)
                with self._in_trouble():
                    kinds[name]()
                self.counts[name] += 1

    def was_quiet_since(self, began: float) -> bool:
        """Whether nothing was wrong from then on till now."""
        return began > self._trouble_until

    @contextmanager
    def _in_trouble(self) -> Iterator[None]:
        self._trouble_until = float("inf")
        try:
            yield
        finally:
            self._trouble_until = time.monotonic() + AFTERMATH

    def _kinds(self) -> Mapping[str, Callable[[], None]]:
        kinds: dict[str, Callable[[], None]] = {
            "uWSGI reloaded": self._backend.reload,
            "uWSGI worker killed": self._backend.kill_worker,
            "uWSGI stopped and started": self._restart,
            "shim worker killed": self._kill_worker,
            "shim reloaded": lambda: self._shim.signal(signal.SIGHUP),
        }
        if self._disk is not None:
            kinds |= {
                "disk full": lambda: self._break_disk(Calls.WRITE, What.FAIL, errno.ENOSPC),
                "disk failing": lambda: self._break_disk(Calls.WRITE | Calls.SEND, What.FAIL, errno.EIO),
                "disk stalled": lambda: self._break_disk(Calls.WRITE, What.STALL, 0),
            }
        return kinds

    def _restart(self) -> None:
        self._backend.stop()
        time.sleep(self._chance.uniform(1, 4))
        self._backend.start()

    def _kill_worker(self) -> None:
        children = Path(f"/proc/{self._shim.pid}/task/{self._shim.pid}/children").read_text().split()
        os.kill(int(self._chance.choice(children)), signal.SIGKILL)

    def _break_disk(self, calls: Calls, what: What, number: int) -> None:
        assert self._disk is not None
        with self._disk.fault(calls, what, number=number, after=self._chance.choice((0, 3_000_000))):
            time.sleep(4)
