"""A sink: appends what it is given to its file, counts it only once it is there, and wakes who waits."""

import asyncio
import errno
import hashlib
import os
import threading

import pytest

from shim.errors import DigestMismatch, DiskError, DiskFull
from shim.spool.disk import LocalDisk
from shim.spool.sink import FileSink
from shim.wire.digest import BodyDigest, Declared
from tests.support.series import series


class FakeFile:
    """Keeps what is written, where; or fails, or looks at the sink while it writes."""

    def __init__(self, *, error=None, during=lambda: None):
        self.data = bytearray()
        self.calls = []
        self._error = error
        self._during = during

    def write_now(self, offset, pieces, granted):
        self._during()
        if self._error is not None:
            raise self._error
        joined = b"".join(pieces)
        self.calls.append((offset, [len(piece) for piece in pieces]))
        self.data[len(self.data) :] = bytes(max(0, offset - len(self.data)))
        self.data[offset : offset + len(joined)] = joined


class Woken:
    """Counts the calls, and by which threads."""

    def __init__(self):
        self.threads = []

    def __call__(self):
        self.threads.append(threading.current_thread())


def sink_of(file, *, start=0, room=1 << 30):
    woken = Woken()
    return FileSink(file, start, room, woken), woken


def views(*pieces):
    return [memoryview(piece) for piece in pieces]


@pytest.mark.parametrize("start", [0, 1, 5000])
def test_writes_follow_each_other(start):
    file = FakeFile()
    sink, _ = sink_of(file, start=start)
    sink.write(views(b"foo", b"bar"))
    sink.write(views(b"!"))
    assert bytes(file.data[start:]) == b"foobar!"
    assert [offset for offset, _ in file.calls] == [start, start + 6]
    assert sink.written == 7


@series(
    ("sizes", "written"),
    [
        ([512], [512]),
        ([511], [511]),
        ([100, 100, 100], [300]),
        ([600, 600], [600, 600]),
        ([1, 1023], [1, 1023]),
        ([1, 1022], [1023]),
    ],
)
def test_small_pieces_are_joined(sizes, written):
    """Each piece costs the kernel something: on average they have 512 bytes at least, or are one."""
    file = FakeFile()
    sink, _ = sink_of(file)
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    sink.write(views(*pieces))
    assert file.calls == [(0, written)]
    assert bytes(file.data) == b"".join(pieces)


def test_nothing_is_no_write_of_anything():
    file = FakeFile()
    sink, _ = sink_of(file, room=0)
    sink.write([])
    assert (sink.written, bytes(file.data)) == (0, b"")


def test_the_room_is_kept():
    file = FakeFile()
    sink, _ = sink_of(file, room=6)
    sink.write(views(b"foo"))
    with pytest.raises(AssertionError):
        sink.write(views(b"barx"))
    assert (sink.written, bytes(file.data)) == (3, b"foo")
    sink.write(views(b"bar"))
    assert sink.written == sink.room


@pytest.mark.parametrize("error", [DiskFull("full"), DiskError("EIO")], ids=["ENOSPC", "EIO"])
def test_a_write_that_fails_counts_nothing(error):
    """Also where a part of it was written: the next reader must not take it for the body's."""
    sink, woken = sink_of(FakeFile(error=error))
    sink.is_awaited = True
    with pytest.raises(type(error)):
        sink.write(views(b"foo"))
    assert (sink.written, sink.is_awaited, woken.threads) == (0, True, [])


def test_bytes_count_once_they_can_be_read_back():
    seen = []
    file = FakeFile(during=lambda: seen.append((sink.written, len(woken.threads))))
    sink, woken = sink_of(file)
    sink.is_awaited = True
    sink.write(views(b"foo"))
    assert seen == [(0, 0)], "neither counted nor told while they are written"
    assert (sink.written, len(woken.threads)) == (3, 1)


def test_only_who_waits_is_woken_and_only_once():
    sink, woken = sink_of(FakeFile())
    sink.write(views(b"foo"))
    assert woken.threads == []
    sink.is_awaited = True
    sink.write(views(b"bar"))
    sink.write(views(b"bar"))
    assert len(woken.threads) == 1
    assert not sink.is_awaited


def test_it_wakes_on_the_thread_that_writes():
    sink, woken = sink_of(FakeFile())
    sink.is_awaited = True
    thread = threading.Thread(target=sink.write, args=(views(b"foo"),))
    thread.start()
    thread.join()
    assert woken.threads == [thread]


@series("sizes", [[6], [600, 700], [1] * 1000, [0, 3000, 1]])
@series("flipped", [False, True])
def test_what_is_written_is_hashed_once_and_in_order(sizes, flipped):
    """Also where small pieces are joined."""
    pieces = [os.urandom(size) for size in sizes]
    value = hashlib.sha256(b"".join(pieces) * 2 + b"?" * flipped).digest()
    digest = BodyDigest([Declared("Content-Digest", "sha-256", "sha256", value)])
    sink = FileSink(FakeFile(), 0, 1 << 30, Woken(), digest)
    sink.write(views(*pieces))
    sink.write(views(*pieces))
    if flipped:
        with pytest.raises(DigestMismatch):
            digest.check()
    else:
        digest.check()


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EIO, DiskError)])
def test_on_a_real_disk(tmp_path, monkeypatch, number, error):
    """Short writes are gone on with; what the disk refuses is the disk's error, after what it took."""
    pwritev, calls = os.pwritev, []

    def short(descriptor, pieces, offset, *flags):
        calls.append(offset)
        if len(calls) > 3:
            raise OSError(number, os.strerror(number))
        return pwritev(descriptor, [bytes(pieces[0])[:1000]], offset, *flags)

    async def scene():
        disk = LocalDisk(tmp_path)
        file = await disk.create()
        sink, _ = sink_of(file, start=0)
        monkeypatch.setattr(os, "pwritev", short)
        sink.write(views(b"a" * 2500))
        assert sink.written == 2500
        with pytest.raises(error):
            sink.write(views(b"b" * 2500))
        assert sink.written == 2500
        monkeypatch.undo()
        assert await file.read(0, 2500) == b"a" * 2500
        await file.close()
        disk.close()

    asyncio.run(scene())
