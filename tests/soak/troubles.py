"""What goes wrong during a soak, one after the other: the server behind, the shim's processes, its disk."""

import errno
import os
import random
import signal
import threading
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


class Troubles(threading.Thread):
    """Makes trouble until it is told to stop.

    Attributes:
        counts: How often each was made.
    """

    def __init__(
        self, shim: Shim, backend: Backend, disk: FaultyDisk | None, only: Sequence[str] | None = None
    ) -> None:
        super().__init__(name="troubles")
        self._shim = shim
        self._backend = backend
        self._disk = disk
        self._only = only
        self._chance = random.Random(1)
        self._over = threading.Event()
        self._trouble_until = 0.0
        self.failure: BaseException | None = None
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """All kinds in turn, in an order that changes."""
        kinds = {name: make for name, make in self._kinds().items() if name in (self._only or [name])}
        self.counts = dict.fromkeys(kinds, 0)
        try:
            while True:
                for name in self._chance.sample(sorted(kinds), len(kinds)):
                    if self._over.wait(PAUSE):
                        return
                    with self._in_trouble():
                        kinds[name]()
                    self.counts[name] += 1
        except BaseException as failure:  # noqa: BLE001 - told by whoever waits for this thread
            self.failure = failure

    def stop(self) -> None:
        """End after the one that is under way."""
        self._over.set()
        self.join()
        if self.failure is not None:
            raise self.failure

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
