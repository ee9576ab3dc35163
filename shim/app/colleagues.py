"""The workers of one shim as the admin pages see them: whichever is asked asks the others, and adds up.

Each listens on a private socket in the state directory. There is no leader to fail or to elect, and with one
worker there is nobody to ask.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from shim.admission.drain import Drain
from shim.cloud.member import Member
from shim.observe.journal import Journal, Record
from shim.observe.keeping import CounterFiles
from shim.observe.snapshot import Snapshot, add_up, decode_snapshot, encode_snapshot, together
from shim.spool.store import Store
from shim.timing import Seconds, cancel_and_wait
from shim.upstream.group import Upstream

log = logging.getLogger("shim.app")

# One that takes longer is busy or stuck; what it has counted so far is known from its file.
PATIENCE: Seconds = 1.0
# What workers say to each other, in a line; all else is JSON.
_TELL = b"tell"
_DONE = b"done"
# How much of a killed worker's counting is lost where nobody asks.
KEEP_EVERY: Seconds = 5.0

SnapshotMaker = Callable[[], Snapshot]
# Takes an upload's number in its worker, and who wants it ended; whether there was such an upload.
Cancel = Callable[[int, str], bool]


def snapshot_maker(
    drain: Drain,
    store: Store,
    journal: Journal,
    upstreams: Mapping[str, Upstream],
    cloud: Member | None = None,
) -> SnapshotMaker:
    """What gives this worker's snapshot of now."""

    def snapshot() -> Snapshot:
        journal.note()
        return Snapshot(
            life=drain.life.value,
            counters=journal.counters,
            phases=journal.uploads(),
            uploads=live_uploads(journal),
            held=store.held,
            leased=store.leased,
            files=store.files,
            inflight={
                (name, str(server.address)): server.inflight
                for name, upstream in upstreams.items()
                for server in upstream.servers
            },
            drain_rates={
                (name, str(server.address)): server.drain_rate
                for name, upstream in upstreams.items()
                for server in upstream.servers
                if server.drain_rate is not None
            },
            waiting={name: upstream.queue.waiting for name, upstream in upstreams.items()},
            cloud=None if cloud is None else cloud.view(),
        )

    return snapshot


def live_uploads(journal: Journal) -> tuple[dict[str, object], ...]:
    """This worker's requests with a body, oldest first, as ``/uploads`` shows them."""
    return tuple(_describe(record, journal) for record in journal.live() if record.has_body)


class Alone:
    """A shim of one process: itself is all there is."""

    def __init__(self, own: SnapshotMaker, cancel: Cancel = lambda _serial, _who: False) -> None:
        """Take how to look at ourselves, and how to end an upload of ours."""
        self.own = own
        self._cancel = cancel

    async def cancel(self, key: str, who: str) -> bool:
        """End the upload of that key in whatever worker it is; False where it is in none (any more)."""
        return self._cancel(split_key(key)[1], who)

    async def whole(self) -> Snapshot:
        """The whole shim's snapshot."""
        return self.own()

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Be there for others during the block; here there are none."""
        yield


class Colleagues(Alone):
    """One of several workers, or of several generations of them."""

    def __init__(
        self,
        own: SnapshotMaker,
        folder: Path,
        number: int,
        cancel: Cancel = lambda _serial, _who: False,
    ) -> None:
        """Take how to look at ourselves, where the others are, which we are, and how to end uploads."""
        super().__init__(own, cancel)
        self._folder = folder
        self._number = number
        self._files = CounterFiles(folder)
        self._saving = asyncio.Lock()
        # The loop would end them in the middle of a word, and complain of it.
        self._telling: set[asyncio.Task[None]] = set()

    async def whole(self) -> Snapshot:
        """All workers' snapshots as one, and what was counted by those that have died."""
        own = await self._kept()
        numbers = [number for number in self._numbers() if number != self._number]
        answers = await asyncio.gather(*map(self._ask, numbers))
        # After the others were asked: one that has died since is found here.
        files, ended, buried = await asyncio.to_thread(self._files.read)
        alive = {
            number: told
            for number, told in zip(numbers, answers, strict=True)
            if told is not None and number not in buried
        }
        known = {self._number, *alive, *buried}
        silent = [counters for number, counters in files.items() if number not in known]
        past = Snapshot(life=own.life, counters=add_up([ended, *silent]), workers=0)
        return together([own, *alive.values(), past])

    async def cancel(self, key: str, who: str) -> bool:
        """End the upload of that key in whatever worker it is; False where it is in none (any more)."""
        number, serial = split_key(key)
        if number == self._number:
            return self._cancel(serial, who)
        question = json.dumps({"cancel": serial, "who": who}).encode()
        return await self._say(number, question) == _DONE

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Answer the others during the block; at its end our counters are on disk."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self._place(self._number)))
            server = await asyncio.start_unix_server(self._begin_to_tell, sock=listener)
            keeping = asyncio.ensure_future(self._keep_on())
            try:
                yield
            finally:
                await cancel_and_wait(keeping)
                # Before we cannot be asked any more: no moment may come in which our last counts are missing.
                await self._kept()
                server.close()
                self._place(self._number).unlink(missing_ok=True)
                await self._end_telling()

    # -- asking and answering ---------------------------------------------------------------------

    def _numbers(self) -> list[int]:
        return [int(path.stem.partition("-")[2]) for path in self._folder.glob("worker-*.sock")]

    def _place(self, number: int) -> Path:
        return self._folder / f"worker-{number}.sock"

    async def _ask(self, number: int) -> Snapshot | None:
        """Another's snapshot; None where it does not answer, for then it has died or is about to."""
        try:
            return decode_snapshot(await self._say(number, _TELL))
        except ValueError:
            return None

    async def _say(self, number: int, question: bytes) -> bytes:
        """What another answers to a line; nothing where it does not."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(str(self._place(number)))
                try:
                    writer.write(question + b"\n")
                    return await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""

    def _begin_to_tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._tell(reader, writer))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _end_telling(self) -> None:
        if self._telling:
            _, late = await asyncio.wait(self._telling, timeout=PATIENCE)
            for task in late:
                await cancel_and_wait(task)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                question = (await reader.readline()).strip()
            if question:
                writer.write(await self._answer(question))
                await writer.drain()
        writer.close()

    async def _answer(self, question: bytes) -> bytes:
        if question == _TELL:
            return encode_snapshot(await self._kept())
        told = json.loads(question)
        return _DONE if self._cancel(told["cancel"], told["who"]) else b""

    # -- keeping ----------------------------------------------------------------------------------

    async def _kept(self) -> Snapshot:
        """Our snapshot, its counters on disk: what is shown once must not be forgotten with us."""
        async with self._saving:
            own = self.own()
            # A copy, for a thread to write while the loop counts on.
            kept = replace(own, counters=add_up([own.counters]))
            try:
                await asyncio.to_thread(self._files.save, self._number, kept.counters)
            except OSError as error:
                log.warning("Counters cannot be kept in %s: %s", self._folder, error.strerror)
            return kept

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(KEEP_EVERY)
            await self._kept()


def _describe(record: Record, journal: Journal) -> dict[str, object]:
    age = journal.age(record)
    return {
        "key": f"{journal.number}-{record.serial}",
        "id": record.id,
        "method": record.method,
        "path": record.path,
        "project": record.project,
        "image": record.image,
        "bytes": record.received,
        "length": record.length,
        "rate": record.received / age if age else 0.0,
        "phase": record.phase,
        "age": age,
    }


def split_key(key: str) -> tuple[int, int]:
    """An upload's worker, and its number there; raises ValueError where it is no key."""
    worker, dash, serial = key.partition("-")
    if not (dash and worker.isdecimal() and serial.isdecimal()):
        raise ValueError(f"{key!r} is no upload's key.")
    return int(worker), int(serial)
