"""A body's file as a pump sees it: a place for bytes, with a limit that was agreed to beforehand.

Used by one thread at a time, away from the event loop: what needs the loop (leases, limits) is settled
before, as ``room``, and what is written is counted here for whoever looks on.
"""

from collections.abc import Callable, Sequence

from shim.spool.disk import Piece, SpoolFile
from shim.wire.digest import BodyDigest

# pwritev costs the kernel some work for each piece: smaller ones on average are joined first.
_WORTH_A_PIECE = 512


class FileSink:
    """Appends to a spool file from ``start`` on.

    Attributes:
        room: Bytes that it takes in all.
        written: Bytes that it has taken; grows while a pump is at work.
        is_awaited: Set by a reader that waits for more; the next write clears it and calls ``wake``.
    """

    def __init__(
        self,
        file: SpoolFile,
        start: int,
        room: int,
        wake: Callable[[], None],
        digest: BodyDigest | None = None,
    ) -> None:
        """Take where to write, and what is told of it.

        Args:
            file: The body's.
            start: Where in it to begin.
            room: Bytes to take in all.
            wake: Wakes readers, from any thread.
            digest: Is shown what is written; None where nobody asked.
        """
        self._file = file
        self._start = start
        self._wake = wake
        self._digest = digest
        self.room = room
        self.written = 0
        self.is_awaited = False

    def write(self, pieces: Sequence[Piece]) -> None:
        """Add all pieces, on the calling thread.

        Raises:
            DiskFull, DiskError: Not all of it was written; ``written`` counts none of it.
        """
        size = sum(map(len, pieces))
        assert self.written + size <= self.room
        if size < len(pieces) * _WORTH_A_PIECE:
            pieces = [b"".join(pieces)]
        self._file.write_now(self._start + self.written, pieces, self._start + self.room)
        # Only now, for readers go by it: what is counted can be read back.
        self.written += size
        if self.is_awaited:
            self.is_awaited = False
            self._wake()
        # Last, for readers need not wait for it; whoever judges the digest waits for the end of this call.
        if self._digest is not None:
            self._digest.update(pieces)

    def finish(self) -> None:
        """Nothing more comes: give back what the disk prepared for it, on the calling thread."""
        self._file.trim_now(self._start + self.written)
