"""What a tree of processes used while something ran: CPU seconds, peak memory, over a ``with`` block.

Memory is sampled by a thread; CPU is read at rest, after the block.
"""

import threading
from collections.abc import Callable
from typing import Self

from benchmarks.engine.tree import Cpu, cpu_at_rest, reset_high_water, tree_cpu, tree_high_water, tree_pss

SAMPLE_PAUSE = 0.2
"""Seconds between samples of the memory: reading smaps_rollup holds the lock of the memory map it reads."""


class PssWatch:
    """Samples the PSS of a process and all its descendants for the time of a ``with`` block.

    Attributes:
        before: Bytes at the first sample.
        peak: Bytes at the largest.
        samples: How many were taken.
    """

    def __init__(self, pid: int, pause: float = 0.05, read: Callable[[int], int] = tree_pss) -> None:
        self._pid = pid
        self._pause = pause
        self._read = read
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.before = self.peak = self.samples = 0

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self._sample()

    def _sample(self) -> None:
        size = self._read(self._pid)
        self.before = self.before or size
        self.peak = max(self.peak, size)
        self.samples += 1


class Watch:
    """CPU and memory of a tree for the time of a ``with`` block.

    Attributes:
        cpu: What was used from the block's beginning until the tree had come to rest.
        peak: Of the PSS, in bytes.
        high_water: Sum of VmHWM, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._memory = PssWatch(pid, SAMPLE_PAUSE)
        self._before = Cpu(0, 0)
        self.cpu = Cpu(0, 0)
        self.peak = self.high_water = 0

    def __enter__(self) -> Self:
        reset_high_water(self._pid)
        self._before = tree_cpu(self._pid)
        self._memory.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.__exit__()
        self.cpu = cpu_at_rest(self._pid).since(self._before)
        self.peak = self._memory.peak
        self.high_water = tree_high_water(self._pid)

    def values(self) -> dict[str, float]:
        """As metrics of a sample."""
        return {
            "cpu": self.cpu.total,
            "cpu_user": self.cpu.user,
            "cpu_system": self.cpu.system,
            "memory": float(self.peak),
            "high_water": float(self.high_water),
        }
