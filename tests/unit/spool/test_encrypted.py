"""Encrypted spool files: what the disk holds, what comes back, and what an altered disk leads to."""

import asyncio
import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shim.errors import DiskError, DiskFull
from shim.spool.body import Body
from shim.spool.encrypted import CHUNK, TAG, EncryptedDisk, EncryptedFile, is_available
from shim.spool.space import Amount
from shim.wire.digest import BodyDigest, Declared
from tests.fakes.loops import run

pytestmark = pytest.mark.skipif(not is_available(), reason="the cryptography library is not installed")
SLOT = CHUNK + TAG


class MemoryFile:
    """The plain file below; full after ``capacity`` bytes."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.data = bytearray()
        self.writes: list[tuple[int, int]] = []
        self.capacity = capacity
        self.closes = 0

    def write_now(self, offset, pieces):
        data = b"".join(pieces)
        self.writes.append((offset, len(data)))
        if offset + len(data) > self.capacity:
            raise DiskFull("full")
        self.data[offset : offset + len(data)] = data

    def read_now(self, offset, size):
        if offset + size > len(self.data):
            raise DiskError("The file ends too early.")
        return bytes(self.data[offset : offset + size])

    async def close(self):
        self.closes += 1


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def below():
    return MemoryFile()


@pytest.fixture
def file(below, threads):
    return EncryptedFile(below, threads)


def test_only_whole_chunks_leave_memory(file, below):
    run(file.write(0, [b"a" * (CHUNK - 1)]))
    assert below.data == b""
    run(file.write(CHUNK - 1, [b"b", b"c"]))
    assert len(below.data) == SLOT
    assert run(file.read(0, CHUNK + 1)) == b"a" * (CHUNK - 1) + b"bc"


@pytest.mark.parametrize(
    ("offset", "size"),
    [
        (0, 0),
        (0, 1),
        (CHUNK - 1, 2),
        (CHUNK, CHUNK),
        (1, 3 * CHUNK),
        (3 * CHUNK - 1, 2),
        (3 * CHUNK, 5),
        (3 * CHUNK + 4, 1),
        (0, 3 * CHUNK + 5),
    ],
)
def test_any_part_can_be_read(file, offset, size):
    content = os.urandom(3 * CHUNK + 5)
    file.write_now(0, [content])
    assert run(file.read(offset, size)) == content[offset : offset + size]


def test_nothing_beyond_the_end_can_be_read(file):
    file.write_now(0, [b"abc"])
    with pytest.raises(DiskError):
        run(file.read(1, 3))


def test_the_disk_holds_nothing_readable(file, below):
    file.write_now(0, [b"sixteen letters!" * (4 * CHUNK // 16)])
    assert b"sixteen letters!"[:4] not in below.data
    # Equal chunks do not look equal either.
    slots = {bytes(below.data[start : start + SLOT]) for start in range(0, len(below.data), SLOT)}
    assert len(slots) == 4


def test_each_file_has_a_key_of_its_own(threads):
    files = [MemoryFile(), MemoryFile()]
    for below in files:
        EncryptedFile(below, threads).write_now(0, [bytes(CHUNK)])
    assert files[0].data != files[1].data


def test_it_has_no_descriptor_to_give_away(file):
    assert file.fileno() is None


def flip(data):
    data[SLOT + 7] ^= 1


def swap(data):
    data[:SLOT], data[SLOT : 2 * SLOT] = data[SLOT : 2 * SLOT], data[:SLOT]


def cut(data):
    del data[-1]


def empty(data):
    data[:] = bytes(len(data))


@pytest.mark.parametrize("damage", [flip, swap, cut, empty])
def test_damage_is_an_error_and_never_a_body(file, below, damage):
    file.write_now(0, [os.urandom(3 * CHUNK)])
    damage(below.data)
    with pytest.raises(DiskError):
        run(file.read(0, 3 * CHUNK))


def test_after_a_failed_write_nothing_is_written_any_more(threads):
    below = MemoryFile(capacity=2 * SLOT)
    file = EncryptedFile(below, threads)
    with pytest.raises(DiskFull):
        file.write_now(0, [bytes(3 * CHUNK)])
    below.capacity = 1 << 40
    # The same chunk number would have the same nonce, for other bytes.
    with pytest.raises(DiskError):
        file.write_now(0, [b"x" * CHUNK])
    assert len(below.writes) == 1


def test_a_large_write_is_encrypted_a_part_at_a_time(file, below):
    file.write_now(0, [bytes(40 * CHUNK)])
    assert max(size for _, size in below.writes) == 16 * SLOT
    assert sum(size for _, size in below.writes) == 40 * SLOT


def test_close_closes_below(file, below):
    run(file.close())
    assert below.closes == 1


def test_on_a_real_disk(tmp_path):
    """A body through memory, file and back, with everything the disk gets looked at."""
    content = os.urandom(64) * 20_000
    # What is hashed is what came, not what is stored.
    half, value = 640_000, hashlib.sha256(content).digest()
    disk = EncryptedDisk(tmp_path, min_free=Amount())

    async def story():
        body = Body(disk.create, memory_limit=1000, admit=lambda _size: len(content))
        body.digest = digest = BodyDigest([Declared("Content-Digest", "sha-256", "sha256", value)])
        for start in range(0, half, 10_000):
            await body.append(content[start : start + 10_000])
        async with body.sink() as sink:
            await asyncio.to_thread(sink.write, [content[half:]])
        digest.check()
        await body.seal()
        assert body.is_in_file
        assert body.fileno() is None
        (number,) = _descriptors_in(tmp_path)
        stored = os.pread(number, 1 << 24, 0)
        back = b""
        while piece := await body.read(len(back), 77_777):
            back += piece
        await body.close()
        return stored, back

    try:
        stored, back = asyncio.run(story())
    finally:
        disk.close()
    assert back == content
    assert len(stored) == len(content) // CHUNK * SLOT
    assert content[:64] not in stored


def _descriptors_in(folder):
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith(str(folder)):
                yield int(entry.name)
