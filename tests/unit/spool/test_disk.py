"""The real disk on a real directory; the kernel's faults are put in its mouth one call at a time."""

import asyncio
import contextlib
import errno
import os
import threading
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.errors import DiskError, DiskFull
from shim.spool.disk import MAX_PIECES, Amount, LocalDisk, Space, disk_errors, measure_space
from tests.fakes.descriptors import none_left
from tests.fakes.loops import run


class FileSystem(NamedTuple):
    """What statvfs tells."""

    f_blocks: int
    f_frsize: int
    f_bfree: int
    f_bavail: int


@contextlib.asynccontextmanager
async def open_file(disk):
    """A file of the disk, closed at the end."""
    file = await disk.create()
    try:
        yield file
    finally:
        await file.close()


@pytest.fixture
def disk(tmp_path):
    with none_left():
        disk = LocalDisk(tmp_path)
        yield disk
        disk.close()


def failing(number):
    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fail


# -- opening --------------------------------------------------------------------------------------


def check_is_private(file, directory):
    assert list(directory.iterdir()) == []
    status = os.fstat(file.fileno())
    assert status.st_mode & 0o777 == 0o600
    assert status.st_nlink == 0
    assert not os.get_inheritable(file.fileno())


def test_a_file_has_no_name(disk, tmp_path):
    async def scene():
        async with open_file(disk) as file:
            check_is_private(file, tmp_path)

    run(scene())


def refuse_nameless(monkeypatch, number):
    """Make the kernel refuse O_TMPFILE, as some file systems do."""
    really_open = os.open

    def pretend(path, flags, *arguments, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return really_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", pretend)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL], ids=errno.errorcode.get)
def test_without_nameless_files_the_name_is_removed_at_once(disk, tmp_path, monkeypatch, number):
    refuse_nameless(monkeypatch, number)

    async def scene():
        async with open_file(disk) as file:
            check_is_private(file, tmp_path)
            await file.write(0, [b"kept"])
            assert await file.read(0, 4) == b"kept"

    run(scene())


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EMFILE, DiskError),
        (errno.EACCES, DiskError),
        (errno.EROFS, DiskError),
        (errno.EIO, DiskError),
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
    ],
    ids=lambda value: errno.errorcode.get(value) if isinstance(value, int) else value.code,
)
def test_a_refused_opening_is_no_reason_to_try_a_name(disk, tmp_path, monkeypatch, number, error):
    refuse_nameless(monkeypatch, number)
    with pytest.raises(error) as fault:
        run(disk.create())
    reason = os.strerror(number)
    room, files = "make room there", "raise the limit of open files"
    todo = {errno.ENOSPC: room, errno.EDQUOT: room, errno.EMFILE: files}
    advice = todo.get(number, "look at the kernel's log")
    told = f"The spool could not open a file: {reason}. The spool is {tmp_path}: {advice}"
    assert fault.value.for_operator.startswith(told)
    # A client is not told where the spool is.
    assert fault.value.detail == f"The spool could not open a file: {reason}."


def test_a_missing_directory_is_named(tmp_path):
    disk = LocalDisk(tmp_path / "gone")
    with pytest.raises(DiskError, match="could not open a file: No such file") as fault:
        run(disk.create())
    assert f"{tmp_path}/gone" in fault.value.for_operator
    disk.close()


def test_a_name_that_cannot_be_removed_leaves_no_descriptor(disk, monkeypatch):
    refuse_nameless(monkeypatch, errno.EOPNOTSUPP)
    with monkeypatch.context() as patch, none_left():
        patch.setattr(os, "unlink", failing(errno.EIO))
        with pytest.raises(DiskError):
            run(disk.create())


# -- writing and reading --------------------------------------------------------------------------


def test_pieces_of_every_kind_are_written_in_order(disk):
    async def scene():
        async with open_file(disk) as file:
            await file.write(0, [b"abc", bytearray(b""), bytearray(b"de"), memoryview(b"xfgx")[1:3]])
            await file.write(7, [b"h"])
            await file.write(1, [b"B"])
            assert await file.read(0, 8) == b"aBcdefgh"
            assert await file.read(3, 2) == b"de"
            assert await file.read(8, 0) == b""

    run(scene())


def test_no_pieces_are_no_write(disk, monkeypatch):
    monkeypatch.setattr(os, "pwritev", failing(errno.EINVAL))

    async def scene():
        async with open_file(disk) as file:
            await file.write(0, [b"", b""])

    run(scene())


def test_more_pieces_than_the_kernel_takes_at_once(disk, monkeypatch):
    calls = []
    really_write = os.pwritev

    def count(descriptor, pieces, offset):
        calls.append(len(pieces))
        return really_write(descriptor, pieces, offset)

    monkeypatch.setattr(os, "pwritev", count)
    pieces = [b"%d," % number for number in range(2 * MAX_PIECES + 300)]

    async def scene():
        async with open_file(disk) as file:
            await file.write(0, pieces)
            data = b"".join(pieces)
            assert await file.read(0, len(data)) == data

    run(scene())
    assert calls == [MAX_PIECES, MAX_PIECES, 300]


@settings(deadline=None, max_examples=40)
@given(
    pieces=st.lists(st.binary(max_size=12), max_size=12),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_short_writes_and_reads_are_continued(tmp_path_factory, pieces, lengths):
    really_write, really_read = os.pwritev, os.pread
    turns = 0

    def allowance():
        nonlocal turns
        turns += 1
        return lengths[turns % len(lengths)]

    def write_short(descriptor, pieces, offset):
        return really_write(descriptor, [b"".join(pieces)[: allowance()]], offset)

    def read_short(descriptor, size, offset):
        return really_read(descriptor, min(size, allowance()), offset)

    disk = LocalDisk(tmp_path_factory.getbasetemp(), threads=1)
    data = b"".join(pieces)

    async def scene():
        async with open_file(disk) as file:
            await file.write(5, pieces)
            assert await file.read(5, len(data)) == data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", write_short)
        patch.setattr(os, "pread", read_short)
        run(scene())
    disk.close()


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskError), (errno.EFBIG, DiskError)],
    ids=lambda value: errno.errorcode.get(value) if isinstance(value, int) else value.code,
)
def test_a_failed_write_says_why(disk, monkeypatch, number, error):
    async def scene():
        async with open_file(disk) as file:
            monkeypatch.setattr(os, "pwritev", failing(number))
            with pytest.raises(error, match=f"could not write: {os.strerror(number)}") as fault:
                await file.write(0, [b"x"])
            assert isinstance(fault.value.__cause__, OSError)
            assert (fault.value.retry_after is not None) == (error is DiskFull)

    run(scene())


def test_the_disk_fills_up_after_a_short_write(disk, monkeypatch):
    really_write = os.pwritev

    def write_until_full(descriptor, pieces, offset):
        if offset >= 4:
            raise OSError(errno.ENOSPC, "full")
        return really_write(descriptor, [pieces[0][:4]], offset)

    monkeypatch.setattr(os, "pwritev", write_until_full)

    async def scene():
        async with open_file(disk) as file:
            with pytest.raises(DiskFull):
                await file.write(0, [b"abcdef"])

    run(scene())


def test_reading_back_fewer_bytes_is_an_error(disk):
    async def scene():
        async with open_file(disk) as file:
            await file.write(0, [b"abc"])
            for offset, size in [(0, 4), (3, 1), (100, 1)]:
                with pytest.raises(DiskError, match="ends too early"):
                    await file.read(offset, size)
            os.ftruncate(file.fileno(), 1)
            with pytest.raises(DiskError, match="ends too early"):
                await file.read(0, 3)

    run(scene())


def test_reading_back_fails(disk, monkeypatch):
    async def scene():
        async with open_file(disk) as file:
            await file.write(0, [b"abc"])
            monkeypatch.setattr(os, "pread", failing(errno.EIO))
            with pytest.raises(DiskError, match="could not read a body back: Input/output error"):
                await file.read(0, 3)

    run(scene())


def test_what_a_close_cannot_write_is_nobodys_loss(disk, monkeypatch):
    really_close = os.close

    def close_badly(descriptor):
        really_close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    async def scene():
        file = await disk.create()
        with monkeypatch.context() as patch:
            patch.setattr(os, "close", close_badly)
            await file.close()

    with none_left():
        run(scene())


# -- free space -----------------------------------------------------------------------------------

# A file system of 1000 blocks of 4 bytes; root could use 100 of the free blocks that others cannot.
SMALL = FileSystem(f_blocks=1000, f_frsize=4, f_bfree=350, f_bavail=250)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _place: SMALL)


@pytest.mark.parametrize(
    ("min_free", "size", "fits"),
    [
        (Amount(0), 1000, True),
        (Amount(0), 1001, False),
        (Amount(400), 600, True),
        (Amount(400), 601, False),
        (Amount(share=0.1), 600, True),
        (Amount(share=0.1), 601, False),
        (Amount(1001), 0, False),
        (Amount(share=1), 0, False),
        (Amount(1000), 0, True),
    ],
    ids=str,
)
def test_the_reserve(tmp_path, small, min_free, size, fits):
    disk = LocalDisk(tmp_path, min_free=min_free)

    async def scene():
        async with open_file(disk) as file:
            if fits:
                await disk.check(size)
                await file.write(0, [b"x" * size])
                return
            with pytest.raises(DiskFull, match="below its reserve") as fault:
                await disk.check(size)
            assert fault.value.retry_after is not None
            if size:
                with pytest.raises(DiskFull, match="below its reserve"):
                    await file.write(0, [b"x" * (size - 1), b"x"])
                assert os.fstat(file.fileno()).st_size == 0

    run(scene())
    disk.close()


def test_space_is_what_this_user_may_use(disk, small):
    assert run(disk.space()) == Space(total=4000, free=1000)


def test_space_that_cannot_be_asked_for(disk, monkeypatch):
    monkeypatch.setattr(os, "statvfs", failing(errno.ESTALE))
    for ask in (disk.space, lambda: disk.check(0)):
        with pytest.raises(DiskError, match="free space"):
            run(ask())


def test_the_real_file_system_has_space(tmp_path):
    space = measure_space(tmp_path)
    assert 0 < space.free < space.total


def test_amounts():
    assert Amount(5).of(1000) == 5
    assert Amount(5, share=0.25).of(1000) == 250
    assert Amount(share=0.8).of(1001) == 800
    assert Amount(share=0).of(1000) == 0
    assert Amount().of(1000) == 0


def test_an_error_without_a_number_keeps_its_words():
    with pytest.raises(DiskError, match="could not think: too tired"), disk_errors("think"):
        raise OSError("too tired")


# -- cancellation ---------------------------------------------------------------------------------


class SlowCall:
    """Holds one function of ``os`` in its thread until told; counts the calls that are inside."""

    def __init__(self, monkeypatch, name):
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.results = []
        self._really = getattr(os, name)
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments, **options):
        self.inside.set()
        assert self.go_on.wait(10)
        self.results.append(self._really(*arguments, **options))
        return self.results[-1]

    async def until_inside(self):
        await asyncio.to_thread(self.inside.wait, 10)
        assert self.inside.is_set()


async def cancel_twice_inside(call, work):
    """Cancel ``work`` while its thread is in the kernel, and again; it must not end before the thread."""
    task = asyncio.ensure_future(work)
    await call.until_inside()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done(), "ended while its thread still used the descriptor"
    call.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_opening_leaves_no_descriptor(disk, monkeypatch):
    call = SlowCall(monkeypatch, "open")
    with none_left():
        run(cancel_twice_inside(call, disk.create()))
    assert len(call.results) == 1


def test_a_cancelled_opening_that_fails_is_a_cancellation(tmp_path, monkeypatch):
    disk = LocalDisk(tmp_path)
    call = SlowCall(monkeypatch, "open")
    tmp_path.rmdir()
    with none_left():
        run(cancel_twice_inside(call, disk.create()))
    disk.close()


def test_a_cancelled_write_is_over_when_it_ends(disk, monkeypatch):
    async def scene():
        async with open_file(disk) as file:
            call = SlowCall(monkeypatch, "pwritev")
            await cancel_twice_inside(call, file.write(0, [b"abc"]))
            assert call.results == [3]

    run(scene())


def test_a_cancelled_read_is_over_when_it_ends(disk, monkeypatch):
    async def scene():
        async with open_file(disk) as file:
            await file.write(0, [b"abc"])
            call = SlowCall(monkeypatch, "pread")
            await cancel_twice_inside(call, file.read(0, 3))
            assert call.results == [b"abc"]

    run(scene())


def test_a_cancelled_close_closes(disk, monkeypatch):
    async def scene():
        file = await disk.create()
        with monkeypatch.context() as patch:
            call = SlowCall(patch, "close")
            await cancel_twice_inside(call, file.close())

    with none_left():
        run(scene())


def test_a_close_cancelled_before_its_turn_closes(tmp_path, monkeypatch):
    disk = LocalDisk(tmp_path, threads=1)

    async def scene():
        file, other = await disk.create(), await disk.create()
        call = SlowCall(monkeypatch, "pwritev")
        writing = asyncio.ensure_future(other.write(0, [b"abc"]))
        await call.until_inside()
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        await asyncio.sleep(0.01)
        call.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await writing
        await other.close()

    with none_left():
        run(scene())
        disk.close()


def test_a_stalled_disk_does_not_stall_the_loop(disk, monkeypatch):
    async def scene():
        async with open_file(disk) as file:
            call = SlowCall(monkeypatch, "pwritev")
            writing = asyncio.ensure_future(file.write(0, [b"abc"]))
            await call.until_inside()
            turns = 0
            while turns < 100:
                await asyncio.sleep(0)
                turns += 1
            assert not writing.done()
            call.go_on.set()
            await writing

    run(scene())
