"""A body with one writer and many readers: from memory, from its file, growing and whole."""

import asyncio

import pytest

from shim.errors import BodyTooLarge, ClientGone, DiskError, DiskFull
from shim.spool.body import BATCH, Body, BodyState
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, run, run_leaping
from tests.support.series import series

LIMIT = 100


def body_on(disk, **options):
    return Body(disk.create, memory_limit=options.pop("memory_limit", LIMIT), **options)


def numbered(size, start=0):
    """Bytes that are different wherever one looks."""
    return bytes((position * 7 + position // 251) % 256 for position in range(start, start + size))


async def read_all(body, offset=0, most=1 << 20):
    """What one reader gets from ``offset`` to the end."""
    data = b""
    while piece := await body.read(offset + len(data), most):
        assert len(piece) <= most
        data += piece
    return data


# -- memory and file ------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 3], ids=["in one piece", "in three pieces"])
@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + BATCH, LIMIT + 2 * BATCH + 1])
def test_only_a_body_over_the_limit_has_a_file(size, pieces):
    async def scene():
        disk = FakeDisk()
        body = body_on(disk)
        data = numbered(size)
        step = -(-size // pieces) or 1
        for start in range(0, size, step):
            await body.append(data[start : start + step])
        assert body.received == size
        assert body.is_in_file == (size > LIMIT)
        assert body.length is None
        await body.seal()
        assert body.length == size
        assert len(disk.files) == (size > LIMIT)
        assert await read_all(body) == data
        if size > LIMIT:
            assert bytes(disk.files[0].data) == data
            assert body.fileno() == disk.files[0].fileno()
        else:
            assert body.fileno() is None
        await body.close()
        assert disk.open_files == 0

    run_leaping(scene())


def test_a_limit_of_nothing_puts_the_first_byte_in_a_file():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=0)
        await body.append(b"")
        assert not body.is_in_file
        await body.append(b"x")
        assert body.is_in_file
        await body.close()

    run_leaping(scene())


def test_small_pieces_are_written_in_large_batches():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk)
        for _ in range(2 * BATCH // 1024 + 1):
            await body.append(bytes(1024))
        await body.seal()
        assert len(disk.files[0].writes) <= 4
        assert disk.files[0].writes[0][0] == 0
        assert sum(size for _, size in disk.files[0].writes) == body.length
        await body.close()

    run_leaping(scene())


def test_what_was_appended_may_be_reused_by_its_owner():
    async def scene():
        body = body_on(FakeDisk())
        buffer = bytearray(b"first")
        await body.append(buffer)
        buffer[:] = b"other"
        await body.append(memoryview(buffer)[:2])
        await body.seal()
        assert await read_all(body) == b"firstot"
        await body.close()

    run_leaping(scene())


# -- readers --------------------------------------------------------------------------------------


def test_many_readers_at_any_offset_get_the_same_bytes():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=10)
        data = numbered(60)
        readers = {
            (offset, most): asyncio.ensure_future(read_all(body, offset, most))
            for offset in (0, 1, 9, 10, 11, 59, 60)
            for most in (1, 7, 1000)
        }
        for start in range(0, 60, 4):
            await body.append(data[start : start + 4])
            await let_others_run(start % 3)
        await body.seal()
        for (offset, most), reader in readers.items():
            assert await reader == data[offset:], (offset, most)
        await body.close()

    run_leaping(scene())


def test_reading_again_gives_the_same():
    async def scene():
        body = body_on(FakeDisk(), memory_limit=3)
        await body.append(b"replay")
        await body.seal()
        assert [await read_all(body) for _ in range(3)] == [b"replay"] * 3
        assert await body.read(6, 10) == b""
        assert await body.read(1000, 10) == b""
        await body.close()

    run_leaping(scene())


async def waiting_reader(body, offset):
    reader = asyncio.ensure_future(body.read(offset, 10))
    await let_others_run()
    assert not reader.done()
    return reader


@pytest.mark.parametrize("memory_limit", [0, LIMIT], ids=["file", "memory"])
def test_a_waiting_reader_is_woken_by_bytes(memory_limit):
    async def scene():
        body = body_on(FakeDisk(), memory_limit=memory_limit)
        await body.append(b"ab")
        reader = await waiting_reader(body, 2)
        await body.append(b"")
        await let_others_run()
        assert not reader.done()
        await body.append(b"cd")
        assert await reader == b"cd"
        await body.close()

    run_leaping(scene())


@pytest.mark.parametrize("memory_limit", [0, LIMIT], ids=["file", "memory"])
def test_a_waiting_reader_is_woken_by_the_end(memory_limit):
    async def scene():
        body = body_on(FakeDisk(), memory_limit=memory_limit)
        await body.append(b"ab")
        reader = await waiting_reader(body, 2)
        await body.seal()
        assert await reader == b""
        await body.close()

    run_leaping(scene())


@pytest.mark.parametrize("memory_limit", [0, LIMIT], ids=["file", "memory"])
def test_a_failure_ends_every_reader_wherever_it_is(memory_limit):
    async def scene():
        body = body_on(FakeDisk(), memory_limit=memory_limit)
        await body.append(b"abcd")
        readers = [await waiting_reader(body, offset) for offset in (4, 5, 400)]
        error = ClientGone("gone")
        body.fail(error)
        assert body.state is BodyState.FAILED
        for reader in readers:
            with pytest.raises(ClientGone) as fault:
                await reader
            assert fault.value is error
        # Bytes that are there are not given either: nobody may take the body for whole.
        for offset in (0, 4):
            with pytest.raises(ClientGone):
                await body.read(offset, 10)
        await body.close()

    run_leaping(scene())


def test_a_cancelled_reader_harms_nobody():
    async def scene():
        body = body_on(FakeDisk())
        gone, stays = await waiting_reader(body, 0), await waiting_reader(body, 0)
        gone.cancel()
        await let_others_run()
        await body.append(b"x")
        assert await stays == b"x"
        await body.close()

    run_leaping(scene())


# -- while it grows, with a length that was declared ------------------------------------------------


@pytest.mark.parametrize("memory_limit", [0, 4, LIMIT], ids=["file", "both", "memory"])
def test_the_last_byte_of_a_declared_length_is_held_back(memory_limit):
    """Nobody can take for whole what may yet turn out too long, or malformed behind its last byte."""

    async def scene():
        body = body_on(FakeDisk(), memory_limit=memory_limit, declared=6)
        assert (body.length, body.readable, body.is_whole) == (6, 0, False)
        await body.append(b"foob")
        assert (body.length, body.readable) == (6, 4)
        await body.append(b"ar")
        assert (body.received, body.readable, body.in_file <= 5) == (6, 5, True)
        assert await body.read(0, 100) in (b"fooba", b"foob")  # as far as it is in one place
        reader = await waiting_reader(body, 5)
        await body.seal()
        assert (body.length, body.readable, body.is_whole) == (6, 6, True)
        assert await reader == b"r"
        assert await read_all(body) == b"foobar"
        await body.close()

    run_leaping(scene())


@pytest.mark.parametrize("declared", [0, 1])
def test_a_length_with_nothing_before_its_last_byte(declared):
    async def scene():
        body = body_on(FakeDisk(), memory_limit=0, declared=declared)
        reader = await waiting_reader(body, 0)
        await body.append(bytes(declared))
        await let_others_run()
        assert not reader.done()
        assert body.in_file <= 0
        await body.seal()
        assert await reader == bytes(declared)
        assert (body.length, body.in_file) == (declared, declared)
        await body.close()

    run_leaping(scene())


def test_what_comes_beyond_a_declared_length_is_never_readable():
    async def scene():
        body = body_on(FakeDisk(), declared=3)
        await body.append(b"foobar")
        reader = await waiting_reader(body, 2)
        assert await body.read(0, 100) == b"fo"
        body.fail(ClientGone("too long"))
        with pytest.raises(ClientGone):
            await reader
        await body.close()

    run_leaping(scene())


def test_without_a_declared_length_nothing_is_held_back_and_none_is_known():
    async def scene():
        body = body_on(FakeDisk(), memory_limit=0)
        await body.append(b"foo")
        assert (body.length, body.readable, body.in_file) == (None, 3, 3)
        assert await body.read(0, 100) == b"foo"
        await body.seal()
        assert body.length == 3
        await body.close()

    run_leaping(scene())


def test_what_is_in_the_file():
    """Between two batches the newest bytes are in memory only: a descriptor does not give them."""

    async def scene():
        body = body_on(FakeDisk(), memory_limit=3)
        await body.append(b"abc")
        assert (body.in_file, body.fileno()) == (0, None)
        await body.append(b"d")
        assert body.in_file == 4
        await body.append(b"ef")
        assert (body.in_file, body.readable) == (4, 6)
        assert await body.read(3, 100) == b"d"
        assert await body.read(4, 100) == b"ef"
        await body.seal()
        assert body.in_file == 6
        await body.close()

    run_leaping(scene())


# -- while a pump writes --------------------------------------------------------------------------


@series("waits", ["before the pump", "while it is at work"])
@pytest.mark.parametrize("in_memory", [b"", b"mem"], ids=["all in the file", "some in memory"])
def test_a_reader_is_woken_by_what_a_pump_writes(waits, in_memory):
    async def scene():
        body = body_on(FakeDisk(), memory_limit=0)
        await body.append(b"start")
        await body.append(in_memory)
        offset = 5 + len(in_memory)
        if waits == "before the pump":
            reader = await waiting_reader(body, offset)
        async with body.sink() as sink:
            sink.room = 100
            if waits == "while it is at work":
                reader = await waiting_reader(body, offset)
            await let_others_run()
            for piece, turns in ((b"foo", 10), (b"bar", 10)):
                await asyncio.to_thread(sink.write, [memoryview(piece)])
                await let_others_run(turns)
                assert await reader == piece
                offset += 3
                assert (body.received, body.in_file) == (offset, offset)
                reader = await waiting_reader(body, offset)
        await body.append(b"end")
        assert await reader == b"end"
        await body.seal()
        assert await read_all(body) == b"start" + in_memory + b"foobarend"
        await body.close()

    run(scene())


def test_a_reader_follows_from_pump_to_pump():
    """A pump stops where a limit is to be judged, and another begins: who waits is not forgotten."""

    async def scene():
        body = body_on(FakeDisk(), memory_limit=0)
        await body.append(b"x")
        got = asyncio.ensure_future(read_all(body, 0, 2))
        for turn in range(20):
            async with body.sink() as sink:
                sink.room = 10
                await let_others_run(turn % 4)
                await asyncio.to_thread(sink.write, [b"ab"])
                await asyncio.to_thread(sink.write, [b"cd"])
            await body.append(b"over"[: turn % 5])
            await let_others_run(turn % 3)
        await body.seal()
        assert await got == await read_all(body)
        assert len(await got) == 1 + 20 * 4 + 2 * 20
        await body.close()

    run(scene())


def test_a_pump_writes_no_more_than_a_reader_may_have():
    async def scene():
        body = body_on(FakeDisk(), memory_limit=0, declared=7, admit=lambda _size: 7)
        await body.append(b"x")
        reader = await waiting_reader(body, 6)
        async with body.sink() as sink:
            assert sink.room == 6
            await asyncio.to_thread(sink.write, [b"foobar"])
            await let_others_run()
            assert (body.received, body.readable, body.in_file) == (7, 6, 6)
            assert not reader.done()
        await body.seal()
        assert await reader == b"r"
        await body.close()

    run(scene())


# -- while the disk is slow -----------------------------------------------------------------------


def test_reading_during_a_flush():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=3)
        await body.append(b"abcd")  # in the file
        for piece in (b"ef", b"gh"):
            await body.append(piece)  # in memory: the batch is not full
        late = asyncio.ensure_future(read_all(body, 2))
        await let_others_run()
        gate = disk.hold("write")
        sealing = asyncio.ensure_future(body.seal())
        await disk.until("write")
        assert not sealing.done()
        # Both halves are readable though they are on their way.
        assert await body.read(0, 100) == b"abcd"
        assert await body.read(3, 100) == b"d"
        assert await body.read(4, 100) == b"efgh"
        assert await body.read(5, 2) == b"fg"
        ahead = asyncio.ensure_future(body.read(8, 10))
        await let_others_run()
        assert not ahead.done()
        gate.set()
        await sealing
        assert await ahead == b""
        assert await late == b"cdefgh"
        assert bytes(disk.files[0].data) == b"abcdefgh"
        await body.close()

    run_leaping(scene())


def test_the_writer_waits_for_its_disk():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=3)
        gate = disk.hold("write")
        appending = asyncio.ensure_future(body.append(b"abcd"))
        await disk.until("write")
        await let_others_run()
        assert not appending.done()
        gate.set()
        await appending
        await body.close()

    run_leaping(scene())


@pytest.mark.parametrize("call", ["create", "write"])
def test_a_cancelled_append_leaves_a_body_that_can_be_closed(call):
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=3)
        gate = disk.hold(call)
        appending = asyncio.ensure_future(body.append(b"abcd"))
        await disk.until(call)
        appending.cancel()
        await let_others_run()
        assert not appending.done(), "a thread still uses the file"
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await appending
        await body.close()
        assert disk.open_files == 0

    run_leaping(scene())


# -- refusals and failures ------------------------------------------------------------------------


def test_every_size_is_admitted_before_it_is_kept():
    admitted = []

    def admit(size):
        admitted.append(size)
        if size > 5:
            raise BodyTooLarge("too large")

    async def scene():
        body = body_on(FakeDisk(), admit=admit)
        await body.append(b"abc")
        await body.append(b"")
        await body.append(b"de")
        with pytest.raises(BodyTooLarge):
            await body.append(b"f")
        assert body.received == 5
        await body.close()

    run_leaping(scene())
    assert admitted == [3, 5, 6]


def test_a_full_disk():
    async def scene():
        disk = FakeDisk(capacity=BATCH + 50)
        body = body_on(disk)
        await body.append(bytes(BATCH))
        await body.append(bytes(BATCH))
        with pytest.raises(DiskFull):
            await body.append(bytes(1))
        await body.close()
        assert disk.open_files == 0

    run_leaping(scene())


def test_a_disk_that_fills_up_at_the_end():
    async def scene():
        disk = FakeDisk(capacity=LIMIT + 2)
        body = body_on(disk)
        await body.append(bytes(LIMIT + 1))
        await body.append(bytes(2))
        with pytest.raises(DiskFull):
            await body.seal()
        assert body.state is BodyState.GROWING
        await body.close()

    run_leaping(scene())


def test_no_file_to_be_had():
    async def scene():
        disk = FakeDisk()
        disk.create_error = DiskError("no")
        body = body_on(disk)
        with pytest.raises(DiskError):
            await body.append(bytes(LIMIT + 1))
        assert not body.is_in_file
        await body.close()

    run_leaping(scene())


def test_a_failed_read_is_never_a_short_body():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=0)
        await body.append(b"abc")
        await body.seal()
        disk.read_error = DiskError("Input/output error")
        with pytest.raises(DiskError):
            await body.read(0, 10)
        disk.read_error = None
        del disk.files[0].data[2:]
        with pytest.raises(DiskError):
            await body.read(0, 10)
        await body.close()

    run_leaping(scene())


def test_closing_twice_closes_once():
    async def scene():
        disk = FakeDisk()
        body = body_on(disk, memory_limit=0)
        await body.append(b"abc")
        await body.close()
        await body.close()
        assert disk.files[0].closes == 1
        assert not body.is_in_file

    run_leaping(scene())
