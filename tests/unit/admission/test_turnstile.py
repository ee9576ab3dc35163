"""The turnstile: who begins in which turn of the loop; nobody waits for anybody's work."""

import asyncio

import pytest

from shim.admission.turnstile import Turnstile
from tests.fakes.loops import REAL_LOOPS, run


class Crowd:
    """Tasks that pass, and what happened in which turn of the loop."""

    def __init__(self, turnstile):
        self.turnstile = turnstile
        self.turn = 0
        self.passed = []

    def begin(self, name):
        return asyncio.ensure_future(self._pass(name))

    async def _pass(self, name):
        await self.turnstile.pass_through()
        self.passed.append((name, self.turn))

    async def turns(self, number):
        """Let the loop take turns, counting them."""
        for _ in range(number):
            self.turn += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("runner", REAL_LOOPS)
def test_a_crowd_passes_one_in_a_turn_and_in_its_order(runner):
    async def scene():
        crowd = Crowd(Turnstile())
        tasks = [crowd.begin(name) for name in range(6)]
        await crowd.turns(20)
        assert [name for name, _ in crowd.passed] == [*range(6)]
        turns = [turn for _, turn in crowd.passed]
        assert len(set(turns)) == 6, "no two in the same turn"
        assert turns[-1] - turns[0] <= 6, "and none is lost"
        assert repr(crowd.turnstile) == "<Turnstile: 0 waiting>"
        await asyncio.gather(*tasks)

    runner(scene())


def test_alone_it_is_passed_without_a_turn_of_the_loop():
    async def scene():
        turnstile = Turnstile(2)
        for _ in range(2):
            with pytest.raises(StopIteration):
                turnstile.pass_through().send(None)
        third = turnstile.pass_through()
        place = third.send(None)
        assert not place.done()
        await asyncio.sleep(0)
        assert place.done()
        third.close()

    run(scene())


def test_who_gives_up_takes_nobodys_place():
    async def scene():
        crowd = Crowd(Turnstile())
        tasks = [crowd.begin(name) for name in range(5)]
        await asyncio.sleep(0)
        for task in tasks[1:4]:
            task.cancel()
        await crowd.turns(4)
        assert [name for name, _ in crowd.passed] == [0, 4]
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [False, True, True, True, False]

    run(scene())
