"""How many bodies may be under way at once: a count that refuses, and never makes anybody wait.

Small bodies pass uncounted, so that a full house of uploads does not shut out the small calls. What all shims
of a cloud may let in together is asked of the cloud, where there is one, after our own limits have agreed.
"""

from types import TracebackType
from typing import Self

from shim.cloud.lease import CloudLease
from shim.cloud.member import Member
from shim.errors import ProjectLimit, UploadsFull
from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED

# Bytes of a body beyond which it counts as an upload (``limits.max_uploads``).
COUNTED_FROM = 64 * 1024
RETRY_AFTER = 10


class UploadGate:
    """Counts uploads against ``limits.max_uploads``, and a project's against its own limit."""

    def __init__(
        self,
        limit: float,
        share: float = UNLIMITED,
        ledger: Ledger | None = None,
        cloud: Member | None = None,
    ) -> None:
        """Take how many are let in, of all and of one project, and who counts: by default we alone."""
        self._pool = Pool(ledger or LocalLedger(), Resource.UPLOADS, Limits(limit, share))
        self._cloud = cloud

    @property
    def under_way(self) -> int:
        """Uploads that this process counts now."""
        return self._pool.taken

    def ticket(self, project: str = "") -> "Ticket":
        """A ticket for one request, as a block at whose end it gives back what it counts."""
        lease = None if self._cloud is None else CloudLease(self._cloud, project)
        return Ticket(self._pool, project, lease)


class Ticket:
    """One request's place, counted from the moment its body is known to be large."""

    def __init__(self, pool: Pool, project: str, lease: CloudLease | None = None) -> None:
        self._pool = pool
        self._project = project
        self._lease = lease
        self._counted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def cover(self, size: int) -> None:
        """Count the request once its body has, or declares, ``size`` bytes.

        Only a cloud is waited for, and only for moments (``Member.take``).

        Raises:
            ProjectLimit: As many uploads of the project as are allowed are under way, here or in the cloud.
            UploadsFull: As many uploads as are allowed are under way, here or in the cloud.
            BodyTooLarge: The body is more than the project may have in the cloud at all.
        """
        if not self._counted:
            if size <= COUNTED_FROM:
                return
            self._count()
        if self._lease is not None:
            await self._lease.cover(size)

    def room(self, size: int) -> float:
        """Bytes that a body of ``size`` bytes may grow by before ``cover`` has to be asked."""
        if not self._counted:
            return max(0, COUNTED_FROM - size)
        return UNLIMITED if self._lease is None else self._lease.room(size)

    def release(self) -> None:
        """Stop counting."""
        if self._lease is not None:
            self._lease.release()
        if self._counted:
            self._counted = False
            self._pool.give_back(1, self._project)

    def _count(self) -> None:
        verdict = self._pool.take(1, self._project)
        if verdict is Verdict.SHARE:
            raise ProjectLimit("Too many uploads of this project are under way.", retry_after=RETRY_AFTER)
        if verdict is Verdict.TOTAL:
            raise UploadsFull("Too many uploads are under way.", retry_after=RETRY_AFTER)
        self._counted = True
