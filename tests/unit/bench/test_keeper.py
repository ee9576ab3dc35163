"""What was made is taken away, with patience; what was not made by us is left alone."""

import asyncio

from shim.bench.faults import BenchFault, Refused
from shim.bench.keeper import ATTEMPTS, Keeper
from shim.bench.service import Place, Taken
from tests.support.series import series


class Service:
    """Makes and deletes as it is told; ``deletions`` are answered in turn, then all succeed."""

    client, small, gives_back = None, None, True

    def __init__(self, creation=None, deletions=()):
        self.creation, self.deletions = creation, list(deletions)
        self.deleted = []

    def place(self, number):
        return Place(f"key-{number}", "/file")

    async def create(self, place, number):
        if self.creation is not None:
            raise self.creation

    async def confirm(self, place, payload):
        raise NotImplementedError

    async def remove(self, place):
        self.deleted.append(place.key)
        if self.deletions and (fault := self.deletions.pop(0)) is not None:
            raise fault


def play(service, *, count=1):
    """Make and take away; the keeper, and the pauses that it made."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    async def scene():
        keeper = Keeper(sleep)
        for _ in range(count):
            try:
                await keeper.make(service, keeper.next_number())
            except BenchFault:
                continue
        await keeper.remove_all()
        return keeper

    return asyncio.run(scene()), pauses


def test_all_of_it():
    service = Service()
    keeper, pauses = play(service, count=20)
    assert service.deleted == [f"key-{number}" for number in range(1, 21)]
    assert (keeper.left, pauses) == ({}, [])


@series(("creation", "deleted", "pauses"), [
    (Taken("key-1"), [], []),
    (Refused("making", 403, ""), [], []),
    (BenchFault("unreachable", ""), [], []),
    # It may have been made all the same, or be made a moment later.
    (Refused("making", 502, ""), ["key-1"], [0.5]),
    (BenchFault("late", ""), ["key-1"], [0.5]),
])  # fmt: skip
def test_what_may_not_be_there(creation, deleted, pauses):
    service = Service(creation)
    keeper, waited = play(service)
    assert (service.deleted, waited, keeper.left) == (deleted, pauses, {})


def test_a_server_that_lets_go_late():
    service = Service(deletions=[Refused("deleting", 409, ""), BenchFault("cut", "")])
    keeper, pauses = play(service)
    assert (service.deleted, pauses, keeper.left) == (["key-1"] * 3, [0.5, 1.0], {})


def test_what_stays_is_named_and_tried_again():
    service = Service(deletions=[BenchFault("refused", "deleting: 403 x")] * ATTEMPTS)
    keeper, pauses = play(service)
    assert (len(service.deleted), pauses, keeper.left) == (
        ATTEMPTS,
        [0.5, 1.0, 2.0],
        {"key-1": "deleting: 403 x"},
    )
    asyncio.run(keeper.remove_all())
    assert keeper.left == {}


def test_it_has_an_end(monkeypatch):
    monkeypatch.setattr("shim.bench.keeper.LIMIT", 0.01)

    async def scene():
        service, keeper = Service(), Keeper()
        await keeper.make(service, 1)
        service.remove = lambda _place: asyncio.Event().wait()
        await asyncio.wait_for(keeper.remove_all(), 5)
        return keeper

    assert asyncio.run(scene()).left == {"key-1": "there was no time left"}
