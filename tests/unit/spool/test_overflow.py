"""What an answer spools: every byte once, in order, and never more on the disk than there is room."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import DiskFull
from shim.spool import overflow as overflow_module
from shim.spool.body import Body
from shim.spool.overflow import LINKS, Overflow
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, run_leaping
from tests.support.examples import examples

STEP = 100
MEMORY = 10


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(overflow_module, "STEP", STEP)


class Chain:
    """An overflow over a disk in memory, with what it has on it in view."""

    def __init__(self, room, length=None, **disk):
        self.disk = FakeDisk(**disk)
        self.bodies = []
        self.most = 0
        self.overflow = Overflow(self._open, self._drop, room=room, length=length)

    def _open(self, most):
        body = Body(self.disk.create, memory_limit=MEMORY, admit=lambda _size: most)
        self.bodies.append(body)
        return body

    async def _drop(self, body):
        self.bodies.remove(body)
        await body.close()

    @property
    def held(self):
        return sum(body.received for body in self.bodies)

    async def write(self, data, piece):
        for start in range(0, len(data), piece):
            await self.overflow.write(data[start : start + piece])
            self.most = max(self.most, self.held)
        await self.overflow.end()

    async def read(self, most=STEP, pause=0.0):
        got = b""
        while data := await self.overflow.read(most):
            got += data
            await asyncio.sleep(pause)
        return got


@given(
    size=st.integers(0, 2500),
    room=st.integers(LINKS * STEP, 3000),
    steps=st.tuples(st.integers(1, 700), st.integers(1, 500)),
    is_known=st.booleans(),
    pauses=st.sampled_from([(0, 0), (0, 1), (1, 0)]),
)
@examples(100)
def test_every_byte_once_and_never_more_than_there_is_room(size, room, steps, is_known, pauses):
    piece, most = steps
    data = bytes(position % 251 for position in range(size))

    async def scene():
        chain = Chain(room, size if is_known else None)
        reading = asyncio.ensure_future(chain.read(most, pauses[0]))
        await asyncio.sleep(pauses[1])
        await chain.write(data, piece)
        assert await reading == data
        assert chain.most <= room
        assert chain.bodies == []
        assert chain.disk.open_files == 0

    run_leaping(scene())


def test_a_writer_with_room_for_all_waits_for_nobody():
    async def scene():
        chain = Chain(5000, 5000)
        await chain.write(bytes(5000), 5000)
        assert len(chain.bodies) == 1
        assert await chain.read() == bytes(5000)

    run_leaping(scene())


def test_room_comes_back_byte_for_byte():
    """A server that is slowed down goes on as its client does: it must not look dead to it for minutes."""

    async def scene():
        chain = Chain(800)
        writing = asyncio.ensure_future(chain.write(bytes(5000), 5000))
        await let_others_run(50)
        for _ in range(100):
            before = chain.overflow._unread
            taken = len(await chain.overflow.read(30))
            assert taken
            # Its pieces are steps: so much may be missing until the next one fits.
            await let_others_run(50)
            assert chain.overflow._unread > before - taken - STEP
        writing.cancel()
        await asyncio.wait({writing})
        await chain.overflow.close()
        assert chain.disk.open_files == 0

    run_leaping(scene())


def test_where_it_can_end():
    """Only where a body ends and nothing is unread: what comes next then needs none."""

    async def scene():
        chain = Chain(8 * STEP)
        can_end = []
        for _ in range(2):
            await chain.overflow.write(bytes(60))
            can_end.append(chain.overflow.can_end)
            while chain.overflow._unread:
                await chain.overflow.read(1000)
            can_end.append(chain.overflow.can_end)
            await chain.overflow.write(bytes(40))
            can_end.append(chain.overflow.can_end)
            await chain.overflow.read(1000)
            can_end.append(chain.overflow.can_end)
        assert can_end == [False, False, False, True] * 2
        await chain.overflow.close()

    run_leaping(scene())


def test_a_disk_that_is_full():
    async def scene():
        chain = Chain(5000, capacity=300)
        with pytest.raises(DiskFull):
            await chain.write(bytes(5000), 100)
        await chain.overflow.close()
        assert chain.disk.open_files == 0

    run_leaping(scene())
