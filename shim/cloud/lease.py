"""One upload's lease of the cloud's limits: its place, and its bytes in steps that grow.

Asked for once where the length is declared, and a few times where it is not; never for each piece.
"""

from shim.cloud.member import Member
from shim.cloud.values import Change, Verdict
from shim.errors import BodyTooLarge, LimitReached, ProjectLimit, UploadsFull
from shim.timing import UNLIMITED

# A terabyte of unknown length asks some four thousand times.
LARGEST_STEP = 256 * 1024 * 1024
# Also where a project's last bytes are given out: they are not worth a message for each piece of a body.
LEAST_STEP = 64 * 1024
# Parts of what a project may have: what one step may take beyond what is needed, and the least one.
LARGEST_SHARE, LEAST_SHARE = 16, 256
RETRY_AFTER = 10


class CloudLease:
    """What one upload holds of the cloud; it only grows, until it is given back whole."""

    def __init__(self, member: Member, project: str) -> None:
        self._member = member
        self._project = project
        self._is_counted = False
        self._size = 0
        limit = member.limits.bytes_of_project
        self._least, self._most = (
            min(LEAST_STEP, limit / LEAST_SHARE),
            min(LARGEST_STEP, limit / LARGEST_SHARE),
        )

    async def cover(self, size: int) -> None:
        """Count the upload, and make its lease at least ``size`` bytes.

        Raises:
            BodyTooLarge: ``size`` is more than one project may have at all.
            ProjectLimit: The project's other uploads, on whichever shim, leave no room for it.
            UploadsFull: All shims together have as many uploads as they may, or nobody can say.
        """
        limit = self._member.limits.bytes_of_project
        if size > limit:
            raise BodyTooLarge(
                f"The body exceeds the {limit:.0f} bytes that one project may spool in the cloud."
            )
        needed = 0 if limit == UNLIMITED else max(0, size - self._size)
        if self._is_counted and not needed:
            return
        verdict = await self._take(needed)
        if verdict is not Verdict.FITS:
            raise self._refusal(verdict)

    def room(self, size: int) -> float:
        """Bytes that a body of ``size`` bytes may grow by before ``cover`` has to be asked."""
        return UNLIMITED if self._member.limits.bytes_of_project == UNLIMITED else max(0, self._size - size)

    def release(self) -> None:
        """Give everything back; a second call gives nothing."""
        if self._is_counted:
            self._is_counted = False
            self._member.give_back(Change(self._project, 1, self._size))

    async def _take(self, needed: int) -> Verdict | None:
        """Take what is needed: exactly at first, for that may be a declared length, then in steps.

        Steps double, and halve for good where one does not fit: near its limit a project's bodies do not ask
        all the time. The least one is a favour too: where it does not fit, what is needed still may.
        """
        least = max(needed, self._least) if needed and self._size else needed
        step = max(least, min(self._size, self._most)) if needed else 0
        while (verdict := await self._ask(int(step))) is Verdict.BYTES and step > needed:
            step = self._most = max(least, step / 2) if step > least else needed
        return verdict

    async def _ask(self, size: int) -> Verdict | None:
        change = Change(self._project, 0 if self._is_counted else 1, size)
        verdict = await self._member.take(change, is_under_way=self._is_counted)
        if verdict is Verdict.FITS:
            self._is_counted = True
            self._size += size
        return verdict

    def _refusal(self, verdict: Verdict | None) -> LimitReached:
        if verdict is Verdict.UPLOADS:
            return ProjectLimit(
                "Too many uploads of this project are under way in the cloud.", retry_after=RETRY_AFTER
            )
        if verdict is Verdict.BYTES:
            return ProjectLimit(
                "The project's other uploads in the cloud hold all it may spool.", retry_after=RETRY_AFTER
            )
        if verdict is Verdict.TOTAL:
            return UploadsFull("Too many uploads are under way in the cloud.", retry_after=RETRY_AFTER)
        return UploadsFull(
            "The cloud's limits cannot be asked about now.",
            retry_after=RETRY_AFTER,
            for_operator=f"limits.shared is away: {self._member.view().reason}",
        )
