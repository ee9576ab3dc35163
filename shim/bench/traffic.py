"""What clients do: upload, download, send slowly, ask for something small. Each tells how long it took.

Chunks are exactly as long as asked for: httpx makes one of each piece that it is given. Times are those of
the client, from the request's begin (with the connection) to the answer's last byte.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from shim.bench.faults import BenchFault, in_words, refusal
from shim.bench.payload import PIECE, Filling, Payload
from shim.bench.plan import Case
from shim.bench.service import ASKED, Place
from shim.bench.target import CONNECT
from shim.timing import Clock, Seconds

Result = TypeVar("Result")
Advance = Callable[[int], None]
"""Told of bytes as they pass, for a person who waits."""

SLOW_LIMIT: Seconds = 30.0
"""How long a slow client sends at most: where slow ones hold all workers, the round would never end else."""
SLOW_PIECE = 4096
ASK_PAUSE: Seconds = 0.1


@dataclass(frozen=True, slots=True)
class UploadTiming:
    """How an upload went.

    Attributes:
        seconds: All of it.
        after: From the last piece handed to the connection to the answer.
    """

    seconds: Seconds
    after: Seconds


async def upload(
    client: httpx.AsyncClient,
    place: Place,
    payload: Payload,
    case: Case,
    *,
    declare: bool,
    clock: Clock,
    advance: Advance,
) -> UploadTiming:
    """Send an image's data.

    Raises:
        BenchFault: It was not taken.
    """
    handed = began = clock()

    async def body() -> AsyncIterator[bytes | memoryview]:
        nonlocal handed
        for piece in payload.pieces(case.chunk or PIECE):
            yield piece
            advance(len(piece))
        handed = clock()

    headers = dict(place.headers)
    if case.chunk is None:
        headers["Content-Length"] = str(payload.size)
    elif declare:
        headers["X-Openstack-Image-Size"] = str(payload.size)
    await _put(client, place, body(), headers, "uploading")
    ended = clock()
    return UploadTiming(ended - began, ended - handed)


async def download(
    client: httpx.AsyncClient, place: Place, payload: Payload, *, clock: Clock, advance: Advance
) -> Seconds:
    """Get an image's data, compared byte for byte with what was sent.

    Raises:
        BenchFault: It did not come, or it is other data.
    """
    began, offset = clock(), 0
    with in_words("downloading", CONNECT):
        async with client.stream("GET", place.file, headers={"Accept-Encoding": "identity"}) as response:
            if response.status_code != httpx.codes.OK:
                raise await refusal("downloading", response)
            async for piece in response.aiter_raw():
                # Compared, not hashed: a tenth of a sha512's cost, and it says where (decision 27).
                if (at := payload.difference(offset, piece)) is not None:
                    raise BenchFault("differs", f"the download differs from what was sent, from byte {at} on")
                offset += len(piece)
                advance(len(piece))
    if offset != payload.size:
        raise BenchFault("differs", f"the download has {offset} bytes of {payload.size}")
    return clock() - began


async def drip(
    client: httpx.AsyncClient,
    place: Place,
    filling: Filling,
    *,
    rate: int,
    stop: asyncio.Event,
    clock: Clock,
) -> None:
    """Send slowly, in chunks, until ``stop`` or for ``SLOW_LIMIT`` seconds; then end the body as it should.

    Raises:
        BenchFault: It was not taken.
    """

    async def body() -> AsyncIterator[memoryview]:
        began, sent = clock(), 0
        while not stop.is_set() and clock() - began < SLOW_LIMIT:
            yield filling.piece(sent, SLOW_PIECE)
            sent += SLOW_PIECE
            # By the clock, not a pause each: a pause that is late is made up for.
            await _wait(stop, began + sent / rate - clock())

    await _put(client, place, body(), dict(place.headers), "a slow client's upload")


async def ask(
    client: httpx.AsyncClient, path: str, taken: list[Seconds], *, stop: asyncio.Event, clock: Clock
) -> None:
    """Ask for something small again and again until ``stop``; how long each took goes into ``taken``.

    Raises:
        BenchFault: It was refused.
    """
    due = clock()
    while not stop.is_set():
        with in_words("a small request", CONNECT):
            response = await client.get(path, timeout=httpx.Timeout(ASKED, connect=CONNECT))
        if not response.is_success:
            raise await refusal("a small request", response)
        taken += with_those_unasked(clock() - due)
        due = max(due + ASK_PAUSE, clock())
        await _wait(stop, due - clock())


def with_those_unasked(seconds: Seconds) -> list[Seconds]:
    """How long a request took, and those that were due meanwhile and would have had to wait with it.

    Else a server that answers nothing for two seconds had one slow answer, and not twenty: "coordinated
    omission", corrected as HdrHistogram does it.
    """
    unasked = int(seconds / ASK_PAUSE)
    return [seconds - ASK_PAUSE * number for number in range(max(unasked, 1))]


async def together(works: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All at once; the first fault ends the others, and is raised as it is.

    Raises:
        BenchFault: One of them failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


async def _put(
    client: httpx.AsyncClient,
    place: Place,
    body: AsyncIterator[bytes | memoryview],
    headers: dict[str, str],
    what: str,
) -> None:
    with in_words(what, CONNECT):
        # httpx takes whatever pieces there are, though its types say bytes.
        content: Any = body
        async with client.stream("PUT", place.file, content=content, headers=headers) as response:
            if not response.is_success:
                raise await refusal(what, response)
            await response.aread()


async def _wait(stop: asyncio.Event, seconds: Seconds) -> None:
    """Until ``stop``, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(seconds, 0))
