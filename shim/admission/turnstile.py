"""Who begins when many want to begin at once: a few in each turn of the loop, in the order of their coming.

The beginning of an upload is milliseconds of work. Five hundred that come in the same moment would stand in
front of everybody else for seconds; one after the other they take as long, but others pass between two.
"""

import asyncio
from collections import deque

EACH_TURN = 1


class Turnstile:
    """Lets a few pass in each turn of the loop; nobody waits for another's work, so none holds it up."""

    def __init__(self, each_turn: int = EACH_TURN) -> None:
        """Take how many pass in one turn."""
        self._each_turn = each_turn
        self._left = each_turn
        self._is_turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Turnstile: {len(self._waiting)} waiting>"

    async def pass_through(self) -> None:
        """Return when it is one's turn: at once, unless others have come in the same turn of the loop."""
        loop = asyncio.get_running_loop()
        self._turn_later(loop)
        if self._left:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        # Cancelled, it stays in line, and is passed over: that is cheaper than to look for it.
        await place

    def _turn_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_turning = False
        self._left = self._each_turn
        while self._left and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        if self._left < self._each_turn:
            self._turn_later(loop)
