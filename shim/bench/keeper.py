"""What a run has made and not yet taken away; nothing else is ever deleted.

A place is entered before it is asked for, so that a run that is interrupted anywhere knows all there may be.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from shim.bench.faults import BenchFault
from shim.bench.service import Place, Service
from shim.timing import Seconds

ATTEMPTS = 4
PAUSE: Seconds = 0.5
"""Before the second attempt, doubled each time: a server lets go of an upload that was cut a moment later."""
LIMIT: Seconds = 120.0
"""For taking everything away."""


class Keeper:
    """Makes places and takes them away again.

    Args:
        sleep: Between attempts.
    """

    def __init__(self, sleep: Callable[[Seconds], Awaitable[None]] = asyncio.sleep) -> None:
        self._made: dict[Place, Service] = {}
        self._unsure: set[Place] = set()
        self._reasons: dict[Place, str] = {}
        self._sleep = sleep
        self._number = 0

    @property
    def left(self) -> dict[str, str]:
        """Keys of what is there, or may be, with the reason why it stays."""
        return {place.key: self._reasons.get(place, "there was no time left") for place in self._made}

    def next_number(self) -> int:
        """Counts what is made, over all targets."""
        self._number += 1
        return self._number

    async def make(self, service: Service, number: int) -> Place:
        """A place for the ``number``-th image.

        Raises:
            BenchFault: There is none.
        """
        place = service.place(number)
        self._made[place] = service
        self._unsure.add(place)
        try:
            await service.create(place, number)
        except BenchFault as fault:
            # What is somebody else's must not be deleted with ours, and what never was need not be.
            if fault.is_certain:
                self._forget(place)
            raise
        self._unsure.discard(place)
        return place

    async def remove_all(self) -> None:
        """Take everything away, with several attempts, within ``LIMIT``; ``left`` has what stayed."""
        # What stayed is tried again at the next time, and told by name at the end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                # One after the other, as a careful person would: on a database that locks (sqlite), deletions
                # at once fail half way, and leave an image that can never be deleted.
                for place in list(self._made):
                    await self._remove(place)

    async def _remove(self, place: Place) -> None:
        if place in self._unsure:
            # Its making was interrupted: the server may be at it still, and find nothing to delete yet.
            await self._sleep(PAUSE)
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(PAUSE * 2 ** (attempt - 1))
            try:
                await self._made[place].remove(place)
            except BenchFault as fault:
                self._reasons[place] = str(fault)
            else:
                self._forget(place)
                return

    def _forget(self, place: Place) -> None:
        del self._made[place]
        self._unsure.discard(place)
