"""The workers of one shim as the admin pages see them: whichever is asked asks the others, and adds up.

Each listens on a private socket in the state directory. There is no leader to fail or to elect, and with one
worker there is nobody to ask.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from shim.app.looking import SnapshotMaker
from shim.observe.keeping import CounterFiles
from shim.observe.snapshot import Snapshot, add_up, decode_snapshot, encode_snapshot, together
from shim.timing import Seconds, cancel_and_wait

log = logging.getLogger("shim.app")

# One that takes longer is busy or stuck; what it has counted so far is known from its file.
PATIENCE: Seconds = 1.0
# How much of a killed worker's counting is lost where nobody asks.
KEEP_EVERY: Seconds = 5.0

# What one worker asks another for, in a line: its snapshot, or first a look at what has changed for all of
# them; all else is JSON, answered by whether there was such an upload.
_TELL, _LOOK, _DONE, _UNKNOWN = b"tell", b"look", b"done", b"none"

# Takes an upload's number in its worker, and who wants it ended; whether there was such an upload.
Cancel = Callable[[int, str], bool]
Look = Callable[[], None]
"""Sees what another worker has changed for all of them; quick, and never fails."""


class WorkerSilent(Exception):
    """A worker was asked to do something, and it is not known whether it did or will."""


class SoleWorker:
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

    async def announce(self) -> int:
        """Have all others look at what has changed; how many did not answer."""
        return 0

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Be there for others during the block; here there are none."""
        yield


class Colleagues(SoleWorker):
    """One of several workers, or of several generations of them."""

    def __init__(
        self,
        own: SnapshotMaker,
        folder: Path,
        number: int,
        cancel: Cancel = lambda _serial, _who: False,
        *,
        look: Look = lambda: None,
    ) -> None:
        """Take how to look at us, where the others are, who we are, and what others may have us do."""
        super().__init__(own, cancel)
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

    async def cancel(self, key: str, who: str) -> bool:
        """End the upload of that key in whatever worker it is; False where it is in none (any more).

        Raises:
            WorkerSilent: Its worker did not answer in time, and may still end it.
        """
        number, serial = split_key(key)
        if number == self._number:
            return self._cancel(serial, who)
        question = json.dumps({"cancel": serial, "who": who}).encode()
        answer = await self._say(number, question)
        if answer not in (_DONE, _UNKNOWN, None):
            raise WorkerSilent(f"Worker {number} did not answer.")
        return answer == _DONE

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
            return decode_snapshot(await self._say(number, question) or b"")
        except ValueError:
            return None

    async def _say(self, number: int, question: bytes) -> bytes | None:
        """What another answers to a line; ``b""`` where it does not in time, None where it is no more."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(str(self._place(number)))
                try:
                    writer.write(question + b"\n")
                    return await reader.read(-1)
                finally:
                    writer.close()
        except (FileNotFoundError, ConnectionRefusedError):
            return None
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
        if question in (_TELL, _LOOK):
            if question == _LOOK:
                self._look()
            return encode_snapshot(await self._kept())
        told = json.loads(question)
        return _DONE if self._cancel(told["cancel"], told["who"]) else _UNKNOWN

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


def split_key(key: str) -> tuple[int, int]:
    """An upload's worker, and its number there; raises ValueError where it is no key."""
    worker, dash, serial = key.partition("-")
    if not (dash and worker.isdecimal() and serial.isdecimal()):
        raise ValueError(f"{key!r} is no upload's key.")
    return int(worker), int(serial)
