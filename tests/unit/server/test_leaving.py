"""How a worker ends: in which order, and that a more urgent way may follow on a slower one."""

import asyncio

import pytest

from shim.admission.drain import Drain, Life
from shim.server.leaving import Leaving
from shim.server.steps import Order
from tests.fakes.loops import run_leaping


class ToldListener:
    """In place of uvicorn: notes what it is told."""

    def __init__(self, name, story):
        self._name = name
        self._story = story
        self.has_connections = True

    def stop_accepting(self):
        self._story.append(f"{self._name} stops accepting")

    def retire_connections(self):
        told = f"{self._name} retires its connections"
        if told not in self._story:
            self._story.append(told)

    def end(self, *, at_once=False):
        self._story.append(f"{self._name} ends{' at once' if at_once else ''}")


class Scene:
    """A worker's end, and what is told of it; life is noted with each step."""

    def __init__(self, *, patience=60.0, delay=5.0):
        self.story = []
        self.drain = Drain()
        self.main, self.control = ToldListener("main", self.story), ToldListener("admin", self.story)
        self.leaving = Leaving(self.main, self.control, self.drain, patience, delay)


def test_draining_ends_readiness_first():
    async def scene():
        told = Scene()
        told.leaving.drain()
        await asyncio.sleep(4.9)
        assert (told.drain.life, told.story) == (Life.LEAVING, [])
        await asyncio.sleep(1)
        assert (told.drain.life, told.story) == (Life.DRAINING, ["main stops accepting", "main ends"])
        await told.leaving.settle()

    run_leaping(scene())


def test_retiring_leaves_admin_and_new_connections_to_others_at_once():
    async def scene():
        told = Scene()
        told.leaving.follow(Order.RETIRE)
        await asyncio.sleep(0.01)
        assert told.story == ["admin stops accepting", "main stops accepting", "main retires its connections"]
        # What is asked on connections that are open is still served.
        assert told.drain.life is Life.LEAVING
        await asyncio.sleep(50)
        assert len(told.story) == 3
        told.main.has_connections = False
        await asyncio.sleep(0.3)
        # One that was on its way in is waited for like any other.
        told.main.has_connections = True
        await asyncio.sleep(2)
        assert told.story[3:] == []
        told.main.has_connections = False
        await asyncio.sleep(0.7)
        assert told.story[3:] == ["main ends"]
        assert told.drain.life is Life.DRAINING
        await told.leaving.settle()

    run_leaping(scene())


def test_retiring_has_an_end():
    async def scene():
        told = Scene(patience=7)
        told.leaving.retire()
        await asyncio.sleep(8)
        assert told.story[-1] == "main ends"
        await told.leaving.settle()

    run_leaping(scene())


@pytest.mark.parametrize("again", [Order.RETIRE, Order.DRAIN])
def test_what_is_under_way_is_not_begun_again(again):
    async def scene():
        told = Scene(delay=0)
        told.leaving.drain()
        await asyncio.sleep(1)
        told.leaving.follow(again)
        await asyncio.sleep(1)
        assert told.story == ["main stops accepting", "main ends"]
        await told.leaving.settle()

    run_leaping(scene())


def test_draining_follows_on_retiring():
    async def scene():
        told = Scene(delay=0, patience=float("inf"))
        told.leaving.follow(Order.RETIRE)
        await asyncio.sleep(100)
        told.leaving.follow(Order.DRAIN)
        await asyncio.sleep(1)
        assert told.story[3:] == ["main stops accepting", "main ends"]
        await told.leaving.settle()

    run_leaping(scene())


@pytest.mark.parametrize("before", [None, Order.RETIRE, Order.DRAIN])
def test_now_means_now(before):
    async def scene():
        told = Scene()
        if before is not None:
            told.leaving.follow(before)
            await asyncio.sleep(0.01)
        told.leaving.follow(Order.NOW)
        assert told.story[-1] == "main ends at once"
        assert told.drain.life is Life.DRAINING
        await told.leaving.settle()

    run_leaping(scene())
