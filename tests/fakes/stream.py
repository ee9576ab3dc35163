"""A server's end of a connection, as a script: answers early, late or in pieces, resets, takes no more.

``FakeNetwork`` hands such streams out where the pool would connect, or refuses.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from shim.errors import SendTimeout, UpstreamClosed
from shim.spool.disk import Piece
from shim.timing import Seconds, deadline
from shim.upstream.address import UpstreamAddress
from tests.fakes.disk import FakeDisk

EOF = b""


class Sent:
    """A step of the script: wait until so many bytes were sent (None: until a write stalls or breaks)."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size


class Asked:
    """A step of the script: wait until something was sent since the last bytes were given."""


class Whole:
    """A step of the script: wait until a request, HTTP or uwsgi, was sent to the end of its body."""


class Pause:
    """A step of the script: let seconds pass."""

    def __init__(self, seconds: Seconds) -> None:
        self.seconds = seconds


Step: TypeAlias = bytes | Exception | asyncio.Event | Sent | Asked | Whole | Pause


class FakeStream:
    """One connection.

    Args:
        script: What the server does: bytes are what one packet brings, ``EOF`` ends the stream, an error
            is raised; an event, ``Sent``, ``Asked``, ``Whole`` or ``Pause`` is waited for. After the last
            step it is silent.
        breaks_after: Bytes taken before writing fails with EPIPE.
        stalls_after: Bytes taken before nothing more is taken.
        at_once: Bytes taken without waiting, before a write waits for its turn.

    Attributes:
        offers: What was offered to be taken at once.
    """

    def __init__(
        self,
        *script: Step,
        breaks_after: int | None = None,
        stalls_after: int | None = None,
        at_once: int = 0,
    ) -> None:
        self.script = list(script)
        self.sent = b""
        self.writes: list[int] = []
        self.timeouts: list[Seconds] = []
        self.closes = 0
        self.offers: list[bytes] = []
        self._at_once = at_once
        self._breaks_after = breaks_after
        self._stalls_after = stalls_after
        self._stuck = False
        self._sent_before = 0
        self._progress = asyncio.Event()
        self._reading = self._writing = False

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.closes > 0

    @property
    def is_busy(self) -> bool:
        """Whether a read or a write is under way."""
        return self._reading or self._writing

    async def read(self, most: int) -> bytes:
        """The script's next bytes."""
        assert not self._reading, "two reads at a time"
        assert not self.closed, "read on a closed stream"
        self._reading = True
        try:
            await asyncio.sleep(0)
            return await self._next_bytes(most)
        finally:
            self._reading = False

    def offer(self, pieces: Sequence[Piece]) -> int:
        """Take what is taken at once."""
        data = b"".join(pieces)
        assert not self._writing, "two writes at a time"
        assert not self.closed, "write on a closed stream"
        self.offers.append(data)
        taken = data[: self._at_once]
        if self._breaks_after is not None and len(taken) > self._breaks_after:
            self._stuck = True
            self._record(taken[: self._breaks_after])
            raise UpstreamClosed("The connection to the upstream broke: Broken pipe.")
        if taken:
            self._record(taken)
        return len(taken)

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Take the bytes, as far as the script's server takes any."""
        assert not self._writing, "two writes at a time"
        assert not self.closed, "write on a closed stream"
        self._writing = True
        self.timeouts.append(timeout)
        try:
            await self._take(data, timeout)
        finally:
            self._writing = False

    sends_files = False  # the plain way; see FileTakingStream

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Not offered."""
        raise NotImplementedError

    def peer_process(self) -> int:
        """Nobody that the kernel knows."""
        return 0

    def fileno(self) -> None:
        """There is no socket."""

    def is_readable(self) -> bool:
        """Whether the next step is there already."""
        if not self.script:
            return False
        step = self.script[0]
        if isinstance(step, asyncio.Event):
            return step.is_set()
        return isinstance(step, bytes | Exception)

    def close(self) -> None:
        """Close; with a call under way the descriptor would be somebody else's."""
        assert not self.is_busy, "closed while a call was under way"
        self.closes += 1

    async def _next_bytes(self, most: int) -> bytes:
        while self.script:
            step = self.script[0]
            if isinstance(step, bytes):
                return self._split(step, most)
            if isinstance(step, Exception):
                raise step
            await self._wait_for(step)
            self.script.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    def _split(self, step: bytes, most: int) -> bytes:
        self._sent_before = len(self.sent)
        if step == EOF:
            return EOF  # and again, as often as asked
        if len(step) > most:
            self.script[0] = step[most:]
        else:
            self.script.pop(0)
        return step[:most]

    async def _wait_for(self, step: asyncio.Event | Sent | Asked | Whole | Pause) -> None:
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            while not self._has_come(step):
                self._progress.clear()
                await self._progress.wait()

    def _has_come(self, step: Sent | Asked | Whole) -> bool:
        if isinstance(step, Asked):
            return len(self.sent) > self._sent_before
        if isinstance(step, Whole):
            head, body = split_request(self.sent[self._sent_before :])
            return bool(head) and len(body) >= (length_of(head) or 0)
        return self._stuck if step.size is None else len(self.sent) >= step.size

    async def _take(self, data: bytes, timeout: Seconds) -> None:
        await asyncio.sleep(0)
        for limit, stuck in ((self._breaks_after, self._break), (self._stalls_after, self._stall)):
            if limit is not None and len(self.sent) + len(data) > limit:
                self._record(data[: limit - len(self.sent)])
                self._stuck = True
                self._progress.set()
                await stuck(timeout)
        self._record(data)

    def _record(self, data: bytes) -> None:
        self.sent += data
        self.writes.append(len(data))
        self._progress.set()

    async def _break(self, _timeout: Seconds) -> None:
        raise UpstreamClosed("The connection to the upstream broke: Broken pipe.")

    async def _stall(self, timeout: Seconds) -> None:
        async with deadline(timeout, lambda: SendTimeout(f"No byte was taken for {timeout:g} s.")):
            await asyncio.Event().wait()


class FileTakingStream(FakeStream):
    """A connection that sends files of a fake disk, and whose server takes its time.

    Attributes:
        parts: What was sent of files, as pairs of start and end.
    """

    sends_files = True

    def __init__(self, disk: FakeDisk, *script: Step, seconds: Seconds = 0.0, **options: Any) -> None:
        """Take where the files are, and the seconds in which a write or a part of a file is taken."""
        super().__init__(*script, **options)
        self.parts: list[tuple[int, int]] = []
        self.refuses = False
        self.asked = 0
        self._disk = disk
        self._seconds = seconds

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Send a part of a file, which must be there; not every second time, where ``refuses`` is set."""
        self.asked += 1
        if self.refuses and self.asked % 2:
            return False
        data = bytes(self._disk.file(file).data[start:end])
        assert len(data) == end - start > 0, "sent beyond the file's end"
        self.parts.append((start, end))
        await self.write(data, timeout)
        return True

    async def _take(self, data: bytes, timeout: Seconds) -> None:
        await asyncio.sleep(self._seconds)
        await super()._take(data, timeout)


class FakeNetwork:
    """Connects to scripts: each attempt gets the next outcome, a stream or an error.

    Args:
        outcomes: In order, for all addresses; or by address through ``at``.
    """

    def __init__(self, *outcomes: FakeStream | Exception) -> None:
        self._outcomes = list(outcomes)
        self._at: dict[UpstreamAddress, list[FakeStream | Exception]] = {}
        self.attempts: list[tuple[UpstreamAddress, Seconds]] = []
        self.streams: list[FakeStream] = []

    def at(self, address: UpstreamAddress, *outcomes: FakeStream | Exception) -> None:
        """Set the outcomes of one address; its last one stays."""
        self._at[address] = list(outcomes)

    def add(self, outcomes: Iterable[FakeStream | Exception]) -> None:
        """Append outcomes for all addresses."""
        self._outcomes += outcomes

    def forget(self) -> None:
        """Drop what was not asked for, and what was made so far."""
        self._outcomes.clear()
        self.streams.clear()

    async def connect(self, address: UpstreamAddress, timeout: Seconds) -> FakeStream:
        """The next outcome."""
        self.attempts.append((address, timeout))
        await asyncio.sleep(0)
        outcome = self._next(address)
        if isinstance(outcome, Exception):
            raise outcome
        self.streams.append(outcome)
        return outcome

    def _next(self, address: UpstreamAddress) -> FakeStream | Exception:
        own = self._at.get(address)
        if own:
            return own.pop(0) if len(own) > 1 else own[0]
        assert self._outcomes, f"an attempt too many at {address}"
        return self._outcomes.pop(0)


def split_request(sent: bytes) -> tuple[bytes, bytes]:
    """The head of the HTTP or uwsgi request, ``b""`` where it is not whole, and what came of its body."""
    if sent.startswith(b"\x00"):
        end = 4 + int.from_bytes(sent[1:3], "little")
        return (sent[:end], sent[end:]) if len(sent) >= max(end, 4) else (b"", b"")
    head, separator, body = sent.partition(b"\r\n\r\n")
    return (head + separator, body) if separator else (b"", b"")


def length_of(head: bytes) -> int | None:
    """The length of the body that a head announces, None where it announces none."""
    if head.startswith(b"\x00"):
        _, found, rest = head.partition(b"\x0e\x00CONTENT_LENGTH")
        return int(rest[2 : 2 + int.from_bytes(rest[:2], "little")]) if found else None
    found = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
    assert len(found) <= 1
    return int(found[0][16:]) if found else None


def answer(status: int = 200, body: bytes = b"ok", *fields: bytes, framing: bytes | None = None) -> bytes:
    """An answer's bytes, with its length unless ``framing`` says otherwise."""
    length = b"Content-Length: %d" % len(body) if framing is None else framing
    lines = [b"HTTP/1.1 %d Stub" % status, *([length] if length else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
