"""Looks at a pump at work again and again: its client's limits are judged while a thread reads.

By a timer of the loop: with five hundred clients a task's turns for each look cost more than the pump.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from shim.timing import Seconds

# Whether the body has ended, and what came beyond the sink's room.
Filled: TypeAlias = tuple[bool, bytes]


class Look:
    """The looks at one filling, which the first fault that they find ends."""

    def __init__(self, judge: Callable[[], Seconds], filling: asyncio.Future[Filled]) -> None:
        """Take what judges, and says when to look again; what it raises ends ``filling``."""
        self._judge = judge
        self._filling = filling
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fault: Exception | None = None

    def again_in(self, seconds: Seconds) -> None:
        """Look in so many seconds."""
        self._timer = self._loop.call_later(seconds, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def outcome(self) -> Filled:
        """What the pump gave; raises what it, or the look, found fault with."""
        if self._fault is not None:
            raise self._fault
        return self._filling.result()

    def _look(self) -> None:
        if self._filling.done():
            return
        try:
            self.again_in(self._judge())
        except Exception as fault:  # noqa: BLE001 - ``outcome`` raises it; a timer has nobody to tell
            # A bug too: else nobody would look any more, and the client could take for ever.
            self._fault = fault
            self._filling.cancel()
