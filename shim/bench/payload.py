"""The bytes of the images: made from the run's id, compared as they come back, and hashed only once a size.

No two images of a run end alike: uploads at once cannot be taken for each other. The bytes repeat, but after
a length that is no multiple of a block: one lost, doubled or moved never leaves the same image behind.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import Protocol

PERIOD = 1_048_583
"""Bytes until they repeat: the first prime above 1 MiB."""
PIECE = 1024**2
"""Bytes that are handed to a connection at once where the length is declared."""
SMALLEST = 64
"""Bytes of the smallest image: its own end has to fit."""


class _Hash(Protocol):
    """What of hashlib's objects is used."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def copy(self) -> "_Hash": ...
    def hexdigest(self) -> str: ...


class Filling:
    """What all images of a run are filled with; random, for no disk and no network to compress.

    Args:
        run: Of its id the bytes are made.
        longest: Bytes of the longest piece that will be asked for.
    """

    def __init__(self, run: str, longest: int = PIECE) -> None:
        # Reproducible, not secret.
        period = random.Random(run).randbytes(PERIOD)  # noqa: S311
        self._bytes = memoryview(period * (-(-longest // PERIOD) + 1))
        self._longest = longest
        self._run = run
        self._hashed: dict[tuple[str, int], _Hash] = {}
        self._given_up = False

    def give_up(self) -> None:
        """End what is being hashed in a thread: nothing else ends that, and a large image takes minutes."""
        self._given_up = True

    def piece(self, offset: int, length: int) -> memoryview:
        """``length`` bytes, at most ``longest``, as they stand at ``offset``."""
        start = offset % PERIOD
        return self._bytes[start : start + min(length, self._longest)]

    def pieces(self, begin: int, end: int, length: int) -> Iterator[memoryview]:
        """All bytes from ``begin`` to ``end``, ``length`` at a time."""
        step = min(length, self._longest)
        for offset in range(begin, end, step):
            yield self.piece(offset, min(step, end - offset))

    def hash_to(self, algorithm: str, end: int) -> _Hash:
        """A copy of the hash of the first ``end`` bytes: hashing a gibibyte takes seconds, so it is kept.

        Raises:
            ValueError: There is no such algorithm, or the run has ended.
        """
        known = self._hashed.get((algorithm, end))
        if known is None:
            known = hashlib.new(algorithm)
            for piece in self.pieces(0, end, PIECE):
                if self._given_up:
                    raise ValueError("the run has ended")
                known.update(piece)
            self._hashed[algorithm, end] = known
        return known.copy()

    def tail(self, number: int) -> bytes:
        """How the ``number``-th image ends."""
        return hashlib.sha256(f"{self._run} {number}".encode()).digest()


class Payload:
    """One image's bytes.

    Args:
        size: At least ``SMALLEST``.
        number: In the run.
    """

    def __init__(self, filling: Filling, size: int, number: int) -> None:
        self.size = size
        self._filling = filling
        self._tail = filling.tail(number)
        self._body = size - len(self._tail)

    def pieces(self, length: int) -> Iterator[bytes | memoryview]:
        """All of it, every piece but the last of exactly ``length`` bytes: what makes the chunks."""
        full = self.size // length * length
        for offset in range(0, self.size, length):
            yield self.part(offset, length if offset < full else self.size - full)

    def part(self, offset: int, length: int) -> bytes | memoryview:
        """``length`` bytes from ``offset`` on, fewer at the end."""
        end = min(offset + length, self.size)
        if end <= self._body:
            return self._filling.piece(offset, end - offset)
        start = max(offset - self._body, 0)
        head = bytes(self._filling.piece(offset, self._body - offset)) if offset < self._body else b""
        return head + self._tail[start : end - self._body]

    def digest(self, algorithm: str) -> str:
        """In hex.

        Raises:
            ValueError: There is no such algorithm.
        """
        found = self._filling.hash_to(algorithm, self._body)
        found.update(self._tail)
        return found.hexdigest()

    def difference(self, offset: int, data: bytes) -> int | None:
        """The first byte of ``data`` that is not what stands from ``offset`` on; its own offset in the image.

        None where there is none. Exact, and far cheaper than a hash of it.
        """
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            got, meant = view[start : start + PIECE], self.part(offset + start, PIECE)[: len(view) - start]
            if got != meant:
                pairs = zip(got, meant, strict=False)
                # Where all of what should be there is there, it is what comes after the end.
                at = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), len(meant))
                return offset + start + at
        return None
