"""How many bodies may be under way at once: a counter that refuses, and never makes anybody wait.

Small bodies pass uncounted, so that a full house of uploads does not shut out the small calls.
"""

import contextlib
from collections.abc import Iterator

from shim.errors import UploadsFull
from shim.timing import UNLIMITED

# SPEC: "bodies over 64 KiB being received or waiting".
COUNTED_FROM = 64 * 1024
RETRY_AFTER = 10


class UploadGate:
    """Counts uploads against ``limit`` (``limits.max_uploads``)."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.under_way = 0

    @contextlib.contextmanager
    def ticket(self) -> Iterator["Ticket"]:
        """A ticket for one request; what it counts is given back at the end."""
        ticket = Ticket(self)
        try:
            yield ticket
        finally:
            ticket.release()


class Ticket:
    """One request's place, counted from the moment its body is known to be large."""

    def __init__(self, gate: UploadGate) -> None:
        self._gate = gate
        self._counted = False

    def cover(self, size: int) -> None:
        """Count the request once its body has, or declares, ``size`` bytes.

        Raises:
            UploadsFull: As many uploads as are allowed are under way.
        """
        if self._counted or size <= COUNTED_FROM:
            return
        if self._gate.under_way >= self._gate.limit:
            raise UploadsFull("Too many uploads are under way.", retry_after=RETRY_AFTER)
        self._gate.under_way += 1
        self._counted = True

    def room(self, size: int) -> float:
        """Bytes that a body of ``size`` bytes may grow by before ``cover`` has to be asked."""
        return UNLIMITED if self._counted else max(0, COUNTED_FROM - size)

    def release(self) -> None:
        """Stop counting."""
        if self._counted:
            self._gate.under_way -= 1
            self._counted = False
