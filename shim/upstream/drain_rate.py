"""How fast a server takes bodies in: learnt from each large one that it took whole.

``proxy/pace`` goes by it when it decides how early the forwarding of a body may begin.
"""

from shim.timing import Seconds

# Less than this, and what is measured is how fast the kernel's buffers fill (up to 6 MiB on loopback).
LEAST_MEASURED = 16 * 1024 * 1024
# What counts of the newest body: three of them show a server that has become slower.
WEIGHT = 0.5


class DrainRate:
    """A moving average in bytes per second.

    Attributes:
        value: None before the first large body.
    """

    def __init__(self) -> None:
        self.value: float | None = None

    def add(self, size: int, seconds: Seconds) -> None:
        """Tell that ``size`` bytes were taken in ``seconds``, times of waiting for the client not counted."""
        if size < LEAST_MEASURED or seconds <= 0:
            return
        rate = size / seconds
        self.value = rate if self.value is None else self.value + WEIGHT * (rate - self.value)
