"""An answer without an end, for live views: ended when the listener goes, and cut when it reads no more."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Send

from shim.timing import Seconds

# A page in the background, a sleeping laptop: it connects again when somebody looks.
READ_WITHIN: Seconds = 20.0

Abort = Callable[[], None]

_HEADERS = {
    "Cache-Control": "no-store",
    # nginx in front would otherwise keep the events until its buffer is full.
    "X-Accel-Buffering": "no",
}


class EventStream(StreamingResponse):
    """Server-sent events."""

    def __init__(
        self, events: AsyncGenerator[bytes, None], abort: Abort, *, within: Seconds = READ_WITHIN
    ) -> None:
        """Take the events, what gives the connection up, and how long a listener may take for one."""
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._events = events
        self._abort = abort
        self._within = within

    async def stream_response(self, send: Send) -> None:
        """Send events until there are no more; a listener that does not read is given up.

        Starlette runs it beside a task that waits for the listener's leaving, and ends it then.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # Closed here and now: until then it counts as a listener.
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                try:
                    async with asyncio.timeout(self._within):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
                except TimeoutError:
                    # Not closed: that waits for the listener to read, and keeps socket and buffer until then.
                    self._abort()
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
