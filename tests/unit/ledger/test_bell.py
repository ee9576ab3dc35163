"""Bells: who is rung looks, who is not looks after a while, and a bell of somebody dead is no matter."""

import asyncio

import pytest

from shim.ledger import bell as bell_module
from shim.ledger.bell import Bell, ring_all
from tests.fakes.loops import REAL_LOOPS

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


class Looking:
    """A bell, and how often somebody has looked because of it."""

    def __init__(self, directory, slot):
        self.bell = Bell(directory, slot)
        self.looks = 0
        self._looked = asyncio.Event()
        self.bell.on_ring(self._look)

    def _look(self):
        self.looks += 1
        self._looked.set()

    async def looked(self):
        async with asyncio.timeout(10):
            await self._looked.wait()
        self._looked.clear()


@pytest.fixture
def seldom(monkeypatch):
    monkeypatch.setattr(bell_module, "LOOK_ANYWAY", 1000.0)


@on_both_loops
@pytest.mark.usefixtures("seldom")
def test_who_is_rung_looks(run, tmp_path):
    async def scene():
        one, other = Looking(tmp_path, 1), Looking(tmp_path, 2)
        async with one.bell.present(), other.bell.present():
            one.bell.ring(2)
            await other.looked()
            assert one.looks == 0
            ring_all(tmp_path)
            await one.looked()
            await other.looked()
        assert [*tmp_path.iterdir()] == []

    run(scene())


@on_both_loops
def test_who_is_not_rung_looks_after_a_while(run, tmp_path, monkeypatch):
    monkeypatch.setattr(bell_module, "LOOK_ANYWAY", 0.01)

    async def scene():
        one = Looking(tmp_path, 1)
        async with one.bell.present():
            await one.looked()

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("seldom")
def test_rung_more_often_than_heard(run, tmp_path):
    """The ringer never waits, and a bell that is full has been rung."""

    async def scene():
        one = Looking(tmp_path, 1)
        async with one.bell.present():
            for _ in range(5000):
                one.bell.ring(1)
            await one.looked()

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("seldom")
def test_a_predecessors_bell(run, tmp_path):
    """It was killed, and nobody took its bell away."""
    (tmp_path / "bell-1").touch()

    async def scene():
        one = Looking(tmp_path, 1)
        one.bell.ring(1)
        one.bell.ring(99)
        async with one.bell.present():
            one.bell.ring(1)
            await one.looked()

    run(scene())


def test_without_a_line_there_is_no_bell(tmp_path):
    async def scene():
        async with Bell(tmp_path, 1).present():
            assert [*tmp_path.iterdir()] == []

    asyncio.run(scene())
