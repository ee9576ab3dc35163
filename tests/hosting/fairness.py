"""Slow and greedy clients beside others, on a real Glance with two uWSGI workers: what others feel of them.

``python -m tests.hosting.fairness`` measures, with one and with three workers of the shim, how long a list of
images takes while nobody else is there, beside slow uploads, slow downloads and both; and how long an upload
waits for a slot while another tenant has a hundred under way. It prints a table, and ends with 1 where a
promise is not kept.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.config.units import parse_size
from shim.demo.environment import ensure_environment
from shim.demo.glance import Glance
from tests.integration.images import Images
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.shim import Shim

MIB = 1 << 20
SERVERS = 2
"""uWSGI's workers."""
PAUSE = 0.05
SLOW_PIECE = 8 * 1024
SLOW_PAUSE = 0.1
"""A slow client moves 80 KiB/s, however much the other side would take."""
GREEDY, MODEST = "127.0.0.1", "127.0.0.2"
"""Two tenants: without a look at the image, a project is its client's address."""
UPLOAD = 2 * MIB
PROMISED = 2.0
"""How many times the idle median the others' may be."""


@dataclass(frozen=True)
class Setting:
    """A shim in front of a Glance, and images for clients.

    Attributes:
        queued: Images without data, one for each upload.
        image: One that has data.
        questions: How many lists of images are asked for in each situation, one after the other.
    """

    shim: Shim
    images: Images
    image: str
    questions: int

    def queued(self, count: int) -> list[str]:
        """So many images without data."""
        return [self.images.create() for _ in range(count)]


@contextlib.asynccontextmanager
async def connection(
    setting: Setting, address: str = GREEDY
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection from an address of loopback, which keeps little for a reader that is slow."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", setting.shim.port, local_addr=(address, 0), limit=SLOW_PIECE
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head(method: str, target: str, *fields: str) -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/1.1", "Host: glance", f"X-Auth-Token: {TOKEN}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


async def status_of(reader: asyncio.StreamReader) -> int:
    """An answer's status, its head read."""
    return int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])


# -- clients ------------------------------------------------------------------------------------------------


async def upload_slowly(setting: Setting, image: str) -> None:
    """A chunked upload that does not come to its end."""
    async with connection(setting) as (_, writer):
        fields = ("Content-Type: application/octet-stream", "Transfer-Encoding: chunked")
        writer.write(head("PUT", f"/v2/images/{image}/file", *fields))
        while True:
            writer.write(b"%x\r\n%b\r\n" % (SLOW_PIECE, bytes(SLOW_PIECE)))
            await asyncio.sleep(SLOW_PAUSE)


async def download_slowly(setting: Setting) -> None:
    """A download of which little is read at a time."""
    async with connection(setting) as (reader, writer):
        writer.write(head("GET", f"/v2/images/{setting.image}/file"))
        assert await status_of(reader) == 200
        while await reader.read(SLOW_PIECE):
            await asyncio.sleep(SLOW_PAUSE)


async def list_images(setting: Setting) -> float:
    """How long one list of images takes, in seconds."""
    began = time.monotonic()
    async with connection(setting, MODEST) as (reader, writer):
        writer.write(head("GET", "/v2/images?limit=1", "Connection: close"))
        assert await status_of(reader) == 200
        await reader.read()
    return time.monotonic() - began


async def upload(setting: Setting, image: str, address: str) -> None:
    """A whole upload, as fast as it goes."""
    async with connection(setting, address) as (reader, writer):
        fields = ("Content-Type: application/octet-stream", f"Content-Length: {UPLOAD}")
        writer.write(head("PUT", f"/v2/images/{image}/file", *fields))
        for _ in range(UPLOAD // MIB):
            writer.write(bytes(MIB))
            await writer.drain()
        assert await status_of(reader) == 204


# -- measuring ----------------------------------------------------------------------------------------------


async def median_beside(setting: Setting, uploads: int, downloads: int) -> float:
    """The median of lists of images beside so many slow clients, in seconds."""
    others = [asyncio.ensure_future(upload_slowly(setting, image)) for image in setting.queued(uploads)]
    others += [asyncio.ensure_future(download_slowly(setting)) for _ in range(downloads)]
    try:
        times = []
        for _ in range(setting.questions):
            times.append(await list_images(setting))
            await asyncio.sleep(PAUSE)
        for task in others:
            assert not task.done(), "a slow client has come to an end"
        return statistics.median(times)
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.to_thread(setting.shim.await_rest, 60.0)


async def waits_beside(setting: Setting, count: int) -> tuple[float, float]:
    """How long a tenant's upload waits beside so many of another's, and one of those takes; in seconds."""
    start = setting.shim.log_size()
    greedy = [asyncio.ensure_future(upload(setting, image, GREEDY)) for image in setting.queued(count)]
    (image,) = setting.queued(1)
    while setting.shim.metric("uploads", phase="waiting") < count // 2:
        await asyncio.sleep(PAUSE)
    await upload(setting, image, MODEST)
    assert sum(not task.done() for task in greedy) > count // 4, "the other tenant's uploads were over before"
    await asyncio.gather(*greedy)
    lines = [line for line in setting.shim.log_lines(start) if line.get("method") == "PUT"]
    taken = [
        sum(line["phases"].get(phase, 0) for phase in ("connect", "send", "wait"))
        for line in lines
        if line["client"] == GREEDY
    ]
    (own,) = (line["phases"] for line in lines if line["client"] == MODEST)
    return own.get("queue", 0.0), max(taken)


async def measure(setting: Setting, slow: int, greedy: int) -> tuple[list[str], bool]:
    """A column of the table, and whether all of it is as promised."""
    # Once for nothing: Glance loads things with its first requests.
    await median_beside(setting, 0, 0)
    idle = await median_beside(setting, 0, 0)
    told, is_kept = [_note(f"{idle * 1000:.1f} ms")], True
    for uploads, downloads in ((slow, 0), (0, slow), (slow, slow)):
        median = await median_beside(setting, uploads, downloads)
        told.append(_note(f"{median * 1000:.1f} ms ({median / idle:.2f})"))
        is_kept = is_kept and median <= PROMISED * idle
    waited, taken = await waits_beside(setting, greedy)
    told.append(_note(f"{waited:.2f} s (one takes up to {taken:.2f} s)"))
    return told, is_kept and waited <= taken


def _note(told: str) -> str:
    """Show what was measured at once, for all of it takes minutes."""
    sys.stderr.write(f"{told}\n")
    return told


# -- the command --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it for each number of workers, and print a table; 1 where a promise is not kept."""
    given = _parse(arguments)
    rows = [
        "`GET /v2/images`, idle",
        f"beside {given.slow} slow uploads",
        f"beside {given.slow} slow downloads of {given.size // MIB} MiB",
        "beside both",
        f"an upload's wait beside {given.greedy} of another tenant",
    ]
    columns, is_kept = [], True
    with tempfile.TemporaryDirectory(prefix="fairness-") as folder:
        for workers in given.workers:
            told, kept = _measure(Path(folder) / str(workers), workers, given)
            columns.append(told)
            is_kept = is_kept and kept
    names = [f"{workers} worker{'s' * (workers > 1)}" for workers in given.workers]
    table = [["", *names], ["---"] * (1 + len(names)), *map(list, zip(rows, *columns, strict=True))]
    sys.stdout.writelines("| " + " | ".join(cells) + " |\n" for cells in table)
    return 0 if is_kept else 1


def _measure(folder: Path, workers: int, given: argparse.Namespace) -> tuple[list[str], bool]:
    settings = {
        "upstreams__glance__max_inflight": SERVERS,
        "server__workers": workers,
        # Tenants are told apart by their addresses then.
        "glance__look": False,
    }
    folder.mkdir()
    with (
        Glance.make(folder / "glance", environment=ensure_environment()) as glance,
        glance.serve("uwsgi-unix", workers=SERVERS) as server,
        run_shim(folder, None, upstreams__glance__servers=[server.url], forked=False, **settings) as shim,
    ):
        images = Images(f"http://127.0.0.1:{shim.port}", glance.directory / "images")
        setting = Setting(shim, images, images.create(), given.questions)
        asyncio.run(_fill(setting, given.size))
        return asyncio.run(measure(setting, given.slow, given.greedy))


async def _fill(setting: Setting, size: int) -> None:
    async with connection(setting) as (reader, writer):
        fields = ("Content-Type: application/octet-stream", f"Content-Length: {size}")
        writer.write(head("PUT", f"/v2/images/{setting.image}/file", *fields))
        for _ in range(size // MIB):
            writer.write(bytes(MIB))
            await writer.drain()
        assert await status_of(reader) == 204


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], help="of the shim")
    parser.add_argument("--questions", type=int, default=60, help="lists of images in each situation")
    parser.add_argument("--slow", type=int, default=20, help="slow clients of each kind")
    parser.add_argument("--size", type=parse_size, default="64MiB", help="of the image that they download")
    parser.add_argument("--greedy", type=int, default=100, help="uploads of the greedy tenant")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
