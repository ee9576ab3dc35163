"""A disk in memory: fills up, fails on reading back, is slow where a test says so, and remembers closes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from shim.errors import DiskError, DiskFull
from shim.spool.disk import Piece
from shim.spool.space import Space
from shim.timing import finish
from tests.fakes.loops import let_others_run

PLENTY = 1 << 50


class FakeDisk:
    """Where ``FakeFile``s come from.

    Args:
        capacity: Bytes that all files together take before ENOSPC.
        free: What ``check`` and ``space`` tell, in bytes.
        reserve: What ``check`` must leave free.
    """

    def __init__(self, *, capacity: int = PLENTY, free: int = PLENTY, reserve: int = 0) -> None:
        self.directory = Path("/fake")
        self.capacity = capacity
        self.free = free
        self.reserve = reserve
        self.files: list[FakeFile] = []
        self.checked: list[int] = []
        self.create_error: Exception | None = None
        self.read_error: Exception | None = None
        self.close_error: Exception | None = None
        self.seconds: dict[str, float] = {}  # what a call takes
        self.close_can_be_cancelled = False  # the interface does not promise that it cannot
        self._gates: dict[str, asyncio.Event] = {}
        self.waiting: list[str] = []

    @property
    def open_files(self) -> int:
        """Files that nobody has closed."""
        return sum(not file.closed for file in self.files)

    @property
    def written(self) -> int:
        """Bytes on the disk."""
        return sum(len(file.data) for file in self.files if not file.closed)

    def file(self, descriptor: int) -> "FakeFile":
        """The file with this descriptor; it must be open."""
        (found,) = (file for file in self.files if not file.closed and file.fileno() == descriptor)
        return found

    def hold(self, call: str) -> asyncio.Event:
        """Make ``create``, ``check``, ``write``, ``read`` or ``close`` wait until the event is set."""
        self._gates[call] = asyncio.Event()
        return self._gates[call]

    async def until(self, call: str) -> None:
        """Wait until a held call is under way."""
        while call not in self.waiting:
            await let_others_run(1)

    async def pass_gate(self, call: str) -> None:
        """Wait as long as the test says."""
        gate = self._gates.get(call)
        if gate is None:
            await asyncio.sleep(self.seconds.get(call, 0))
            return
        self.waiting.append(call)
        try:
            await gate.wait()
        finally:
            self.waiting.remove(call)

    async def in_thread(self, call: str) -> None:
        """Like a call that uses a descriptor: waited for to the end, though its caller was cancelled."""
        await finish(self.pass_gate(call))

    async def create(self) -> "FakeFile":
        """A new empty file."""
        await self.in_thread("create")
        if self.create_error is not None:
            raise self.create_error
        self.files.append(FakeFile(self))
        return self.files[-1]

    async def check(self, size: int) -> None:
        """Compare ``free`` with the reserve."""
        self.checked.append(size)
        await self.pass_gate("check")
        if self.free - size < self.reserve:
            raise DiskFull("The fake disk is below its reserve.", retry_after=60)

    async def space(self) -> Space:
        """What the test said."""
        return Space(PLENTY, self.free)


class FakeFile:
    """One file; using it after its close is a fault of the test's subject."""

    def __init__(self, disk: FakeDisk) -> None:
        self._disk = disk
        self.data = bytearray()
        self.closes = 0
        self.writes: list[tuple[int, int]] = []
        self.reads: list[tuple[int, int]] = []
        self._calls = 0

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.closes > 0

    def fileno(self) -> int:
        """A number that is nobody's."""
        assert not self.closed
        return 1_000_000 + self._disk.files.index(self)

    async def write(self, offset: int, pieces: Sequence[Piece]) -> None:
        """Write as much as fits; ENOSPC where that is not all."""
        data = b"".join(pieces)
        await self._call("write")
        self._keep(offset, data)

    def _keep(self, offset: int, data: bytes) -> None:
        self.writes.append((offset, len(data)))
        fitting = min(len(data), self._disk.capacity - self._disk.written)
        self.data[offset : offset + fitting] = data[:fitting]
        if fitting < len(data):
            raise DiskFull("The spool could not write: No space left on device.", retry_after=60)

    def write_now(self, offset: int, pieces: Sequence[Piece], granted: int = 0) -> None:
        """Write as much as fits, at once."""
        assert not self.closed, "write on a closed file"
        self._keep(offset, b"".join(pieces))

    def trim_now(self, end: int) -> None:
        """Nothing comes after ``end``."""
        assert not self.closed, "trim of a closed file"
        assert end == len(self.data)

    async def read(self, offset: int, size: int) -> bytes:
        """Read exactly so many bytes."""
        await self._call("read")
        self.reads.append((offset, size))
        if self._disk.read_error is not None:
            raise self._disk.read_error
        if offset + size > len(self.data):
            raise DiskError("The spool could not read a body back: the file ends too early.")
        return bytes(self.data[offset : offset + size])

    async def close(self) -> None:
        """Close; once, and with no call under way."""
        assert self._calls == 0, "closed while a call was under way"
        assert not self.closed, "closed twice"
        if self._disk.close_can_be_cancelled:
            await self._disk.pass_gate("close")
        try:
            await self._disk.in_thread("close")
        finally:
            self.closes += 1
        if self._disk.close_error is not None:
            raise self._disk.close_error

    async def _call(self, name: str) -> None:
        assert not self.closed, f"{name} on a closed file"
        self._calls += 1
        try:
            await self._disk.in_thread(name)
        finally:
            self._calls -= 1
        assert not self.closed, f"closed during a {name}"
