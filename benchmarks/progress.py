"""The line that says how far a run is; on a terminal it stays in place, in a log it comes now and then."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_IN_A_LOG = 20.0
"""Seconds between lines where nobody looks on."""


class Progress:
    """Says which scenario is being run, and what of it.

    Args:
        count: Of scenarios.
        output: Where the lines go.
        clock: Seconds from any point on.
    """

    def __init__(
        self, count: int, output: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._output = output
        self._clock = clock
        self._began = clock()
        self._told = float("-inf")
        self._number = 0
        self._title = ""

    def begin(self, title: str) -> None:
        """A further scenario."""
        self._number += 1
        self._title = title
        self._told = float("-inf")
        self.tell("starting")

    def tell(self, what: str) -> None:
        """What of it is being done."""
        now = self._clock()
        minutes, seconds = divmod(int(now - self._began), 60)
        line = f"[{self._number}/{self._count} {minutes}:{seconds:02}] {self._title}: {what}"
        if self._output.isatty():
            # To the beginning of the line, and erase it (ECMA-48).
            self._output.write(f"\r\x1b[K{line[:110]}")
        elif now - self._told >= _IN_A_LOG:
            self._told = now
            self._output.write(f"{line}\n")
        self._output.flush()

    def clear(self) -> None:
        """Make room for other text."""
        if self._output.isatty():
            self._output.write("\r\x1b[K")
            self._output.flush()
