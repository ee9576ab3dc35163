"""The live views' events (server-sent events): all of the status once, then what has changed, every second.

However many look on, the parts are asked once a second, and a change is encoded once. Who reads too slowly
misses some seconds and then gets all of it again; who does not read at all is let go.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shim.timing import Clock, Seconds, monotonic

EVERY: Seconds = 1.0
MOST_LISTENERS = 32

Look = Callable[[], Awaitable[dict[str, Any]]]
_Uploads = Mapping[str, Mapping[str, Any]]

# What changes from second to second in an upload; its age is the reader's to count on.
_MOVING = ("bytes", "length", "phase")
_COUNTED_ON = frozenset({*_MOVING, "age", "rate"})


@dataclass(frozen=True, slots=True)
class Moment:
    """The status at one moment.

    Attributes:
        number: Counts the moments; 0 stands for none.
        taken: When.
        change: The event that leads here from the moment before.
    """

    number: int
    taken: Seconds
    status: dict[str, Any]
    uploads: _Uploads
    change: bytes

    def whole(self) -> bytes:
        """The event for somebody who knows nothing yet."""
        return encode_event("whole", self.status | {"uploads": list(self.uploads.values())})


_NEVER = Moment(0, -EVERY, {}, {}, b"")


class Feed:
    """Gives each listener its events, from one look a second."""

    def __init__(self, look: Look, *, most: int = MOST_LISTENERS, clock: Clock = monotonic) -> None:
        """Take what gives the status, and how many may listen at once."""
        self._look = look
        self._most = most
        self._clock = clock
        self._moment = _NEVER
        self._looking = asyncio.Lock()
        self._closing = asyncio.Event()
        self._listeners = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody more may listen."""
        return self._listeners >= self._most

    def close(self) -> None:
        """End all events: each listener is told so, and asks somebody else."""
        self._closing.set()

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The events for one listener, until the feed is closed; none where it is full."""
        if self.is_full:
            return
        self._listeners += 1
        try:
            known = 0
            while (moment := await self._next(known)) is not None:
                yield moment.change if known and moment.number == known + 1 else moment.whole()
                known = moment.number
        finally:
            self._listeners -= 1

    async def _next(self, known: int) -> Moment | None:
        """A moment that comes after the one known; None where there will be none."""
        while not self._closing.is_set():
            moment = self._moment
            if moment.number != known and self._clock() < moment.taken + EVERY:
                return moment
            # Whoever comes first looks, and the others find what it saw; should it leave, the next one looks.
            async with self._looking:
                if self._moment is moment and not await self._closed_within(moment.taken + EVERY):
                    await self._take()
        return None

    async def _closed_within(self, until: Seconds) -> bool:
        """Wait until then; whether the feed is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - self._clock()):
                await self._closing.wait()
        return self._closing.is_set()

    async def _take(self) -> None:
        status = dict(await self._look())
        uploads = {upload["key"]: upload for upload in status.pop("uploads")}
        before = self._moment
        change = encode_event("change", status | difference(before.uploads, uploads))
        self._moment = Moment(before.number + 1, self._clock(), status, uploads, change)


def difference(before: _Uploads, after: _Uploads) -> dict[str, Any]:
    """What has changed: ``new`` uploads whole, ``moved`` ones as rows of what moves, and ``gone`` keys."""
    new: list[Mapping[str, Any]] = []
    moved: list[list[Any]] = []
    for key, upload in after.items():
        known = before.get(key)
        if known is None or any(known[name] != upload[name] for name in upload.keys() - _COUNTED_ON):
            new.append(upload)
        elif any(known[name] != upload[name] for name in _MOVING):
            moved.append([key, *(upload[name] for name in _MOVING)])
    return {"new": new, "moved": moved, "gone": [key for key in before if key not in after]}


def encode_event(name: str, data: Mapping[str, Any]) -> bytes:
    """One event in the form of the HTML standard's section 9.2; JSON in one line, so its data is one line."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
