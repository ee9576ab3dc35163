"""How many bodies may be under way at once: a count that refuses, and never makes anybody wait.

Small bodies pass uncounted, so that a full house of uploads does not shut out the small calls.
"""

import contextlib
from collections.abc import Iterator

from shim.errors import ProjectLimit, UploadsFull
from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED

# SPEC: "bodies over 64 KiB being received or waiting".
COUNTED_FROM = 64 * 1024
RETRY_AFTER = 10


class UploadGate:
    """Counts uploads against ``limits.max_uploads``, and a project's against its own limit."""

    def __init__(self, limit: float, share: float = UNLIMITED, ledger: Ledger | None = None) -> None:
        """Take how many are let in, of all and of one project, and who counts: by default we alone."""
        self._pool = Pool(ledger or LocalLedger(), Resource.UPLOADS, Limits(limit, share))

    @property
    def under_way(self) -> int:
        """Uploads that this process counts now."""
        return self._pool.taken

    @contextlib.contextmanager
    def ticket(self, project: str = "") -> Iterator["Ticket"]:
        """A ticket for one request; what it counts is given back at the end."""
        ticket = Ticket(self._pool, project)
        try:
            yield ticket
        finally:
            ticket.release()


class Ticket:
    """One request's place, counted from the moment its body is known to be large."""

    def __init__(self, pool: Pool, project: str) -> None:
        self._pool = pool
        self._project = project
        self._counted = False

    def cover(self, size: int) -> None:
        """Count the request once its body has, or declares, ``size`` bytes.

        Raises:
            ProjectLimit: As many uploads of the project as are allowed are under way.
            UploadsFull: As many uploads as are allowed are under way.
        """
        if self._counted or size <= COUNTED_FROM:
            return
        verdict = self._pool.take(1, self._project)
        if verdict is Verdict.SHARE:
            raise ProjectLimit("Too many uploads of this project are under way.", retry_after=RETRY_AFTER)
        if verdict is Verdict.TOTAL:
            raise UploadsFull("Too many uploads are under way.", retry_after=RETRY_AFTER)
        self._counted = True

    def room(self, size: int) -> float:
        """Bytes that a body of ``size`` bytes may grow by before ``cover`` has to be asked."""
        return UNLIMITED if self._counted else max(0, COUNTED_FROM - size)

    def release(self) -> None:
        """Stop counting."""
        if self._counted:
            self._counted = False
            self._pool.give_back(1, self._project)
