"""The workers of one shim as the admin pages see them: whichever is asked asks the others, and adds up.

Each listens on a private socket in the state directory. There is no leader to fail or to elect, and with one
worker there is nobody to ask.
"""

import asyncio
import contextlib
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
# How much of a killed worker's counting is lost where nobody asks.
KEEP_EVERY: Seconds = 5.0

# What one worker asks another for: its snapshot, after a look at what has changed for all of them.
_TELL, _LOOK = b"tell\n", b"look\n"

SnapshotMaker = Callable[[], Snapshot]
Look = Callable[[], None]
"""Sees what another worker has changed for all of them; quick, and never fails."""


def snapshot_maker(
    drain: Drain,
    store: Store,
    journal: Journal,
    upstreams: Mapping[str, Upstream],
    cloud: Member | None = None,
) -> SnapshotMaker:
    """What gives this worker's snapshot of now."""

    def snapshot() -> Snapshot:
        return Snapshot(
            life=drain.life.value,
            counters=journal.counters,
            phases=journal.uploads(),
            uploads=live_uploads(journal),
            held=store.held,
            files=store.files,
            inflight={
                (name, str(server.address)): server.inflight
                for name, upstream in upstreams.items()
                for server in upstream.servers
            },
            states={
                (name, member.name, member.state(upstream.clock())): 1
                for name, upstream in upstreams.items()
                for member in upstream.roster
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

    def __init__(self, own: SnapshotMaker) -> None:
        self.own = own

    async def whole(self) -> Snapshot:
        """The whole shim's snapshot."""
        return self.own()

    async def announce(self) -> int:
        """Have all others look at what has changed; how many did not answer."""
        return 0

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Be there for others during the block; here there are none."""
        yield


class Colleagues(Alone):
    """One of several workers, or of several generations of them."""

    def __init__(self, own: SnapshotMaker, folder: Path, number: int, *, look: Look = lambda: None) -> None:
        """Take how to look at us, where the others are, who we are, and how to see what they change."""
        super().__init__(own)
        self._look = look
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

    async def announce(self) -> int:
        """Have all others look; one that does not answer looks by itself, a little later."""
        numbers = [number for number in self._numbers() if number != self._number]
        answers = await asyncio.gather(*(self._ask(number, _LOOK) for number in numbers))
        return answers.count(None)

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Answer the others during the block; at its end our counters are on disk."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # Before anybody can ask us to: what was changed until now is in the file.
            self._look()
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

    async def _ask(self, number: int, question: bytes = _TELL) -> Snapshot | None:
        """Another's snapshot; None where it does not answer, for then it has died or is about to."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(str(self._place(number)))
                try:
                    writer.write(question)
                    return decode_snapshot(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return None

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
                question = await reader.read(len(_LOOK))
            if question == _LOOK:
                self._look()
            writer.write(encode_snapshot(await self._kept()))
            await writer.drain()
        writer.close()

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
            self._look()
            await self._kept()


def _describe(record: Record, journal: Journal) -> dict[str, object]:
    age = journal.age(record)
    return {
        "id": record.id,
        "method": record.method,
        "path": record.path,
        "project": record.project,
        "image": record.image,
        "server": record.server,
        "bytes": record.received,
        "length": record.length,
        "rate": record.received / age if age else 0.0,
        "phase": record.phase,
        "age": age,
    }
