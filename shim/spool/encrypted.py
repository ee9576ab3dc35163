"""Spool files that hold nothing readable: AES-256-GCM in chunks, under a key that only this process has.

The key lives as long as the body and is stored nowhere, so that a disk that is lost, sold or imaged tells
nothing; a chunk that was altered, cut off or moved is an error on reading back, never a body.
"""

import asyncio
import importlib.util
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from shim.errors import DiskError
from shim.spool.disk import LocalDisk, Piece, SpoolFile
from shim.timing import finish

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Given = TypeVar("Given")
Result = TypeVar("Result")

# What is encrypted at once: 16 bytes more on disk each, and as much is decrypted to read one byte.
CHUNK = 64 * 1024
TAG = 16
_SLOT = CHUNK + TAG
_NONCE = 12
# Encrypted chunks kept before they are written: a megabyte.
_BATCH = 16


def is_available() -> bool:
    """Whether the cryptography library (the extra ``encryption``) is installed."""
    return importlib.util.find_spec("cryptography") is not None


class EncryptedDisk(LocalDisk):
    """A directory of a local file system, with nothing readable in it."""

    async def create(self) -> SpoolFile:
        """Open a nameless file with a key of its own."""
        return EncryptedFile(await self._create(), self._threads)


class PlainFile(Protocol):
    """The file below: what ``LocalFile`` can do on the calling thread."""

    def write_now(self, offset: int, pieces: Sequence[Piece]) -> None:
        """Write all pieces one after the other."""
        ...

    def read_now(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        ...

    async def close(self) -> None:
        """Give the space back."""
        ...


class EncryptedFile:
    """A ``SpoolFile`` over a plain one; bytes are only ever added at its end.

    Whole chunks are on disk, each once and for ever, so that its number can be its nonce; the bytes after
    the last whole one (fewer than ``CHUNK``) stay in memory.
    """

    def __init__(self, file: PlainFile, threads: ThreadPoolExecutor) -> None:
        """Take the file below, which is empty, and where to encrypt."""
        self._file = file
        self._threads = threads
        self._cipher = _new_cipher()
        # Chunks on disk and what follows them: replaced as one, for a reader may look on from a thread.
        self._content: tuple[int, bytes] = (0, b"")
        self._is_broken = False

    def fileno(self) -> None:
        """None: what the descriptor gives is of no use to anybody."""

    async def write(self, offset: int, pieces: Sequence[Piece]) -> None:
        """Add all pieces, on the disk's threads."""
        await finish(self._on_thread(self.write_now, offset, pieces))

    def write_now(self, offset: int, pieces: Sequence[Piece], granted: int = 0) -> None:  # noqa: ARG002
        """Add all pieces, on the calling thread; nothing is prepared, for here encrypting is the cost.

        Raises:
            DiskFull, DiskError: Not all could be written; the file takes nothing any more.
        """
        count, tail = self._content
        assert offset == count * CHUNK + len(tail), "an encrypted file only grows"
        if self._is_broken:
            # Writing a chunk anew under the number of a lost one would use its nonce twice.
            raise DiskError("The spool could not write: an earlier write to the same file failed.")
        chunks = _Chunks(tail)
        self._is_broken = True
        for batch in chunks.batches(pieces):
            sealed = [
                self._cipher.encrypt(_nonce(count + number), chunk, None)
                for number, chunk in enumerate(batch)
            ]
            self._file.write_now(count * _SLOT, sealed)
            count += len(batch)
        self._is_broken = False
        self._content = (count, bytes(chunks.rest))

    def trim_now(self, end: int) -> None:
        """Nothing: nothing was prepared."""

    async def read(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes, on the disk's threads."""
        return await finish(self._on_thread(self._read_now, offset, size))

    def _read_now(self, offset: int, size: int) -> bytes:
        count, tail = self._content
        if offset + size > count * CHUNK + len(tail):
            raise DiskError("The spool could not read a body back: the file ends too early.")
        first, last = offset // CHUNK, (offset + size + CHUNK - 1) // CHUNK
        chunks = self._open_chunks(first, min(last, count))
        if last > count:
            chunks.append(tail)
        data = b"".join(chunks)
        start = offset - first * CHUNK
        return data[start : start + size]

    def _open_chunks(self, first: int, end: int) -> list[bytes]:
        """Decrypt the chunks from ``first`` up to ``end``."""
        if first >= end:
            return []
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an optional extra

        stored = memoryview(self._file.read_now(first * _SLOT, (end - first) * _SLOT))
        try:
            return [
                self._cipher.decrypt(_nonce(number), stored[place * _SLOT : (place + 1) * _SLOT], None)
                for place, number in enumerate(range(first, end))
            ]
        except InvalidTag:
            raise DiskError(
                "The spool could not read a body back: what the disk gives is not what was written."
            ) from None

    async def close(self) -> None:
        """Close the file and forget the key."""
        del self._cipher
        self._content = (0, b"")
        await self._file.close()

    def _on_thread(
        self, call: Callable[[int, Given], Result], offset: int, given: Given
    ) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, offset, given)


class _Chunks:
    """Cuts pieces into whole chunks; ``rest`` is what is left of them."""

    def __init__(self, rest: bytes) -> None:
        self.rest = bytearray(rest)

    def batches(self, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
        """The whole chunks, a few at a time, so that little is held twice."""
        batch: list[Piece] = []
        for piece in pieces:
            for chunk in self._cut(memoryview(piece)):
                batch.append(chunk)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _cut(self, piece: memoryview) -> Iterator[Piece]:
        start = 0
        while start < len(piece):
            if not self.rest and len(piece) - start >= CHUNK:
                # From where it lies: most of a large piece is never copied.
                yield piece[start : start + CHUNK]
                start += CHUNK
                continue
            part = piece[start : start + CHUNK - len(self.rest)]
            self.rest += part
            start += len(part)
            if len(self.rest) == CHUNK:
                whole, self.rest = self.rest, bytearray()
                yield whole


def _new_cipher() -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an optional extra

    return AESGCM(secrets.token_bytes(32))


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE, "big")
