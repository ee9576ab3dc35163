"""The spool: gives requests and slow answers their bodies under a lease, and takes both back on every path.

What the spool holds is counted here, by asking the bodies alive.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import TracebackType

from shim.errors import BodyTooLarge, DiskError, DiskFull, LimitReached
from shim.spool.body import Body
from shim.spool.budget import Budget, Lease
from shim.spool.disk import Disk, name_disk
from shim.spool.overflow import LINKS, STEP, Overflow
from shim.spool.space import Space
from shim.timing import UNLIMITED, finish


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """Limits of one body, in bytes.

    Attributes:
        memory_limit: A body up to this stays in memory (``spool.memory_limit``).
        max_body: The longest body taken (``spool.max_body``).
        max_response: What one answer may spool (``spool.max_response``).
    """

    memory_limit: int = 256 * 1024
    max_body: float = UNLIMITED
    max_response: float = 1024 * 1024 * 1024


# What an answer of unknown length gets; and the least that is worth the trouble.
UNKNOWN_RESPONSE = 64 * 1024 * 1024
LEAST_RESPONSE = LINKS * STEP


class Store:
    """Bodies alive, on one disk, under one budget."""

    def __init__(self, disk: Disk, budget: Budget, options: SpoolOptions) -> None:
        self._disk = disk
        self._budget = budget
        self._options = options
        self._bodies: set[Body] = set()
        self._kept_elsewhere = 0

    def __repr__(self) -> str:
        return f"<Store {len(self._bodies)} bodies, {self.held} of {self.limit:.0f} bytes>"

    @property
    def memory_limit(self) -> int:
        """Bodies up to so many bytes stay in memory."""
        return self._options.memory_limit

    @property
    def held(self) -> int:
        """Bytes that bodies hold now, in memory or on disk; leases promise more."""
        return self._kept_elsewhere + sum(body.received for body in self._bodies)

    @property
    def files(self) -> int:
        """Bodies that have a file."""
        return sum(body.is_in_file for body in self._bodies)

    @property
    def leased(self) -> int:
        """Bytes that are promised to them."""
        return self._budget.leased

    @property
    def limit(self) -> float:
        """The budget of all bodies together, in bytes."""
        return self._budget.limit

    async def space(self) -> Space:
        """What the file system has; raises DiskError."""
        return await self._disk.space()

    async def probe(self) -> None:
        """Raise DiskFull where free space is below the reserve; DiskError where no file can be written."""
        await self._disk.check(0)
        file = await self._disk.create()
        try:
            # A quota that is used up, or a disk that takes nothing any more, shows only now.
            with self._disk_named():
                await file.write(0, [b"?"])
        finally:
            await finish(file.close())

    def check_length(self, declared: int | None, *, max_body: float = UNLIMITED) -> None:
        """Raise BodyTooLarge where a declared length is above the limits of one body."""
        limit = min(max_body, self._options.max_body)
        if declared is not None and declared > limit:
            raise _too_large(limit)

    def body(
        self, declared: int | None, *, max_body: float = UNLIMITED, project: str = ""
    ) -> contextlib.AbstractAsyncContextManager[Body]:
        """A body for one request; file and lease are given back at the end, whatever that is.

        Args:
            declared: The length that the head declares, in bytes, or None.
            max_body: A limit of the route; the lower one of it and the spool's own holds.
            project: Whose share of the budget it counts for.

        Raises:
            LimitReached: It is known already that it will not fit (BodyTooLarge, ProjectLimit, SpoolFull,
                DiskFull), or DiskError.
        """
        return _LeasedBody(self, declared, max_body, project)

    @contextlib.asynccontextmanager
    async def overflow(self, length: int | None, *, project: str = "") -> AsyncIterator[Overflow | None]:
        """Room for what an answer's client has not taken yet; None where there is none to be had now.

        Args:
            length: Bytes that are still to come, None where that is not known.
            project: Whose share of the budget it counts for.
        """
        lease = await self._lease_response(length, project)
        if lease is None:
            yield None
            return
        overflow = Overflow(self._open, self.drop, room=lease.size, length=length)
        try:
            with self._disk_named():
                yield overflow
        finally:
            try:
                await finish(overflow.close())
            finally:
                lease.release()

    async def _lease_response(self, length: int | None, project: str) -> Lease | None:
        """A lease of all that is to come, or of a half, a quarter and so on of it: what there is room for."""
        wanted = UNKNOWN_RESPONSE if length is None else length
        size = int(min(wanted, self._options.max_response))
        while size == wanted or size >= LEAST_RESPONSE:
            # A body refused is an answer that waits: nobody is told, and the server is slowed down instead.
            with contextlib.suppress(LimitReached):
                if size > self._options.memory_limit:
                    await self._disk.check(size)
                return self._budget.lease(size, project)
            size //= 2
        return None

    def _open(self, most: int) -> Body:
        memory = self._options.memory_limit
        # What it is for is leased already.
        body = Body(self._disk.create, memory_limit=memory, admit=lambda _size: most)
        self._bodies.add(body)
        return body

    # -- for a body's block -------------------------------------------------------------------------

    async def begin(self, declared: int | None, limit: float, lease: Lease) -> Body:
        """An empty body that grows as far as its limit and its lease go."""
        if declared is not None and declared > self._options.memory_limit:
            await self._disk.check(declared)

        def admit(size: int) -> int:
            if size > limit:
                raise _too_large(limit)
            lease.cover(size)
            return int(min(lease.size, limit))

        memory = self._options.memory_limit
        body = Body(self._disk.create, memory_limit=memory, declared=declared, admit=admit)
        self._bodies.add(body)
        return body

    def lease(self, declared: int | None, max_body: float, project: str) -> tuple[float, Lease]:
        """What a body may have at most, and its share of the budget."""
        self.check_length(declared, max_body=max_body)
        return min(max_body, self._options.max_body), self._budget.lease(declared, project)

    def count(self, size: int) -> None:
        """Count bytes that somebody keeps in memory by a lease alone; negative ones are not kept any more."""
        self._kept_elsewhere += size

    def name_disk(self, fault: BaseException | None) -> None:
        """Name the disk in a fault that was met by somebody who knew a descriptor only."""
        if isinstance(fault, DiskFull | DiskError) and fault.for_operator == fault.detail:
            name_disk(fault, self._disk.directory)

    async def drop(self, body: Body) -> None:
        """Forget a body; one that never left memory is not waited for."""
        self._bodies.discard(body)
        if body.is_in_file:
            await finish(body.close())
        else:
            await body.close()

    @contextlib.contextmanager
    def _disk_named(self) -> Iterator[None]:
        """Name the disk in faults that were met by somebody who knew a descriptor only."""
        try:
            yield
        except (DiskFull, DiskError) as fault:
            self.name_disk(fault)
            raise


class _LeasedBody:
    """One request's body, as an ``async with`` block at whose end file and lease are given back.

    A class, because every body passes through it: as a generator it took three times as long.
    """

    # Of ``__aenter__``.
    _lease: Lease
    _body: Body

    def __init__(self, store: Store, declared: int | None, max_body: float, project: str) -> None:
        self._store = store
        self._declared = declared
        self._max_body = max_body
        self._project = project

    async def __aenter__(self) -> Body:
        limit, self._lease = self._store.lease(self._declared, self._max_body, self._project)
        try:
            self._body = await self._store.begin(self._declared, limit, self._lease)
        except BaseException:
            self._lease.release()
            raise
        return self._body

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._store.name_disk(error)
            await self._store.drop(self._body)
        finally:
            self._lease.release()


def _too_large(limit: float) -> BodyTooLarge:
    return BodyTooLarge(f"The body exceeds the limit of {limit:.0f} bytes for one upload.")
