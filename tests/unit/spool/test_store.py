"""The store: what it refuses beforehand and at the crossing, and that every way out gives all back."""

import asyncio

import pytest

from shim.errors import BodyTooLarge, ClientGone, DiskError, DiskFull, SpoolFull
from shim.spool.budget import Budget
from shim.spool.disk import LocalDisk
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED
from tests.fakes.descriptors import none_left
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, run, run_leaping
from tests.support.series import series

MEMORY = 100


class Spool:
    """A store, with the parts below it in view."""

    def __init__(self, *, budget=UNLIMITED, max_body=UNLIMITED, **disk):
        self.disk = FakeDisk(**disk)
        self.budget = Budget(budget)
        self.store = Store(self.disk, self.budget, SpoolOptions(memory_limit=MEMORY, max_body=max_body))

    def check_empty(self):
        assert self.store.held == 0
        assert self.store.files == 0
        assert self.budget.leased == 0
        assert self.disk.open_files == 0


async def fill(spool, size, declared=None, **options):
    """Take a body of ``size`` bytes, in pieces."""
    async with spool.store.body(declared, **options) as body:
        for start in range(0, size, 50):
            await body.append(bytes(min(50, size - start)))
        await body.seal()
        return body.length


# -- what is known beforehand ---------------------------------------------------------------------


@series(
    ("declared", "spool", "options", "error"),
    [
        (1000, {}, {}, None),
        (1000, {"max_body": 1000}, {}, None),
        (1001, {"max_body": 1000}, {}, BodyTooLarge),
        (1001, {"max_body": 5000}, {"max_body": 1000}, BodyTooLarge),
        (1001, {"max_body": 1000}, {"max_body": 5000}, BodyTooLarge),
        (1000, {"budget": 1000}, {}, None),
        (1001, {"budget": 1000}, {}, BodyTooLarge),
        (1000, {"free": 1500, "reserve": 500}, {}, None),
        (1001, {"free": 1500, "reserve": 500}, {}, DiskFull),
        # What stays in memory asks nothing of the disk.
        (MEMORY, {"free": 0, "reserve": 500}, {}, None),
        (MEMORY + 1, {"free": 0, "reserve": 500}, {}, DiskFull),
        (0, {"free": 0, "reserve": 500, "budget": 0}, {}, None),
        (None, {"free": 0, "reserve": 500, "budget": 0}, {}, None),
    ],
)
def test_a_declared_length(declared, spool, options, error):
    spool = Spool(**spool)

    async def scene():
        if error is None:
            async with spool.store.body(declared, **options):
                assert spool.budget.leased == (declared or 0)
                assert spool.store.held == 0
        else:
            with pytest.raises(error):
                await fill(spool, 0, declared, **options)
            assert spool.disk.files == []
        spool.check_empty()

    run_leaping(scene())


def test_what_does_not_fit_now_fits_later():
    spool = Spool(budget=1000)

    async def scene():
        async with spool.store.body(600):
            with pytest.raises(SpoolFull) as fault:
                await fill(spool, 401, 401)
            assert fault.value.retry_after
            assert await fill(spool, 400, 400) == 400
        assert await fill(spool, 401, 401) == 401
        spool.check_empty()

    run_leaping(scene())


# -- at the crossing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spool", "options"),
    [({"max_body": 200}, {}), ({}, {"max_body": 200}), ({"max_body": 500}, {"max_body": 200})],
    ids=["spool", "route", "both"],
)
def test_an_unknown_length_is_refused_at_the_crossing(spool, options):
    spool = Spool(**spool)

    async def scene():
        assert await fill(spool, 200, **options) == 200
        async with spool.store.body(None, **options) as body:
            await body.append(bytes(200))
            with pytest.raises(BodyTooLarge, match="200 bytes"):
                await body.append(b"x")
            assert body.received == 200
        spool.check_empty()

    run_leaping(scene())


def test_two_bodies_jointly_over_the_budget():
    spool = Spool(budget=1000)

    async def scene():
        async with spool.store.body(None) as first, spool.store.body(None) as second:
            await first.append(bytes(600))
            await second.append(bytes(400))
            assert spool.store.held == 1000
            assert spool.store.files == 2
            with pytest.raises(SpoolFull):
                await second.append(b"x")
            # The first is unharmed, and what the second held is free for it once it has gone.
            await first.seal()
            assert await first.read(0, 1000) == bytes(600)
        spool.check_empty()

    run_leaping(scene())


def test_a_body_that_alone_exceeds_the_budget():
    spool = Spool(budget=1000)

    async def scene():
        async with spool.store.body(None) as body:
            await body.append(bytes(1000))
            with pytest.raises(BodyTooLarge):
                await body.append(b"x")
        spool.check_empty()

    run_leaping(scene())


def test_held_is_what_came_and_not_what_was_promised():
    spool = Spool()

    async def scene():
        async with spool.store.body(5000) as body:
            await body.append(bytes(70))
            assert (spool.store.held, spool.store.files, spool.budget.leased) == (70, 0, 5000)
            await body.append(bytes(70))
            assert (spool.store.held, spool.store.files) == (140, 1)
            assert repr(spool.store) == "<Store 1 bodies, 140 of inf bytes>"
        spool.check_empty()

    run_leaping(scene())


# -- ways out -------------------------------------------------------------------------------------


async def end(body):
    await body.seal()


async def fail(_body):
    raise ClientGone("gone")


async def crash(_body):
    raise ValueError("a fault of our own")


async def be_cancelled(_body):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


@series("declared", [None, 300])
@series("size", [0, 80, 300])
@series(
    ("way", "error"),
    [(end, None), (fail, ClientGone), (crash, ValueError), (be_cancelled, asyncio.CancelledError)],
)
def test_every_way_out_gives_back_file_and_lease(way, error, size, declared):
    spool = Spool()

    async def use():
        async with spool.store.body(declared) as body:
            await body.append(bytes(size))
            await way(body)

    async def scene():
        if error is None:
            await use()
        else:
            with pytest.raises(error):
                await use()
        spool.check_empty()
        assert len(spool.disk.files) == (size > MEMORY)

    run_leaping(scene())


def test_the_file_goes_before_the_lease():
    spool = Spool()

    async def scene():
        gate = spool.disk.hold("close")
        task = asyncio.ensure_future(fill(spool, 300))
        await spool.disk.until("close")
        await let_others_run()
        # The bytes are still on the disk: nobody else may be promised their space.
        assert spool.budget.leased >= 300
        gate.set()
        await task
        spool.check_empty()

    run_leaping(scene())


@series("times", [1, 2, 3])
@series("close_can_be_cancelled", [False, True])
def test_cancelled_while_closing(close_can_be_cancelled, times):
    spool = Spool()
    spool.disk.close_can_be_cancelled = close_can_be_cancelled

    async def scene():
        gate = spool.disk.hold("close")
        task = asyncio.ensure_future(fill(spool, 300))
        await spool.disk.until("close")
        for _ in range(times):
            task.cancel()
            await let_others_run()
            assert not task.done()
            assert spool.budget.leased >= 300
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        spool.check_empty()

    run_leaping(scene())


@series("times", [1, 2])
@series("call", ["check", "create", "write"])
def test_cancelled_while_the_disk_is_slow(call, times):
    spool = Spool()

    async def scene():
        gate = spool.disk.hold(call)
        task = asyncio.ensure_future(fill(spool, 300, 300))
        await spool.disk.until(call)
        for _ in range(times):
            task.cancel()
            await let_others_run()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        spool.check_empty()

    run_leaping(scene())


@pytest.mark.parametrize("fault", ["create_error", "read_error"])
def test_a_disk_that_fails(fault):
    spool = Spool()
    setattr(spool.disk, fault, DiskError("broken"))

    async def take_and_read():
        async with spool.store.body(None) as body:
            await body.append(bytes(300))
            await body.seal()
            await body.read(0, 300)

    async def scene():
        with pytest.raises(DiskError):
            await take_and_read()
        spool.check_empty()

    run_leaping(scene())


def test_a_file_that_fails_to_close_gives_back_its_lease():
    spool = Spool()
    spool.disk.close_error = DiskError("broken")

    async def scene():
        with pytest.raises(DiskError):
            await fill(spool, 300)
        spool.check_empty()

    run_leaping(scene())


def test_enospc_in_the_middle():
    spool = Spool(capacity=200)

    async def scene():
        with pytest.raises(DiskFull):
            await fill(spool, 300)
        spool.check_empty()

    run_leaping(scene())


def test_space_and_reserve_are_the_disks():
    spool = Spool(budget=7, free=10, reserve=11)

    async def scene():
        assert (await spool.store.space()).free == 10
        with pytest.raises(DiskFull):
            await spool.store.probe()
        assert spool.disk.files == []
        spool.disk.free = 11
        await spool.store.probe()
        # Only making a file shows that one can be made.
        assert [file.closes for file in spool.disk.files] == [1]
        spool.disk.create_error = DiskError("read-only")
        with pytest.raises(DiskError):
            await spool.store.probe()
        spool.check_empty()

    run_leaping(scene())
    assert spool.store.limit == 7


def test_a_disk_that_takes_no_byte_is_found_and_named():
    """A quota that is used up lets files be made, and tells of free space that is somebody else's."""
    spool = Spool(capacity=0)

    async def scene():
        for work in (spool.store.probe(), fill(spool, MEMORY + 1)):
            with pytest.raises(DiskFull) as fault:
                await work
            assert "The spool is /fake: make room there" in fault.value.for_operator
            assert "/fake" not in fault.value.detail
        spool.check_empty()

    run_leaping(scene())


def test_a_fault_that_says_more_itself_keeps_its_words():
    async def scene():
        spool = Spool()
        with pytest.raises(DiskError) as fault:
            async with spool.store.body(None):
                raise DiskError("No uploads are counted.", for_operator="The table is damaged.")
        assert fault.value.for_operator == "The table is damaged."

    run_leaping(scene())


@series("call", ["check", "create", "write", "close"])
def test_a_cancelled_probe_leaves_no_file(call):
    spool = Spool()

    async def scene():
        gate = spool.disk.hold(call)
        task = asyncio.ensure_future(spool.store.probe())
        await spool.disk.until(call)
        task.cancel()
        await let_others_run()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        spool.check_empty()

    run_leaping(scene())


def test_on_a_real_disk_nothing_is_left(tmp_path):
    async def scene():
        disk = LocalDisk(tmp_path)
        store = Store(disk, Budget(UNLIMITED), SpoolOptions(memory_limit=MEMORY))

        async def take(size, taken):
            async with store.body(None) as body:
                for _ in range(size // 50):
                    await body.append(b"x" * 50)
                await body.seal()
                if size:
                    assert len(await body.read(0, size)) == size
                taken.set()
                await asyncio.Event().wait()

        everything = {size: asyncio.Event() for size in range(0, 2000, 100)}
        tasks = [asyncio.ensure_future(take(size, taken)) for size, taken in everything.items()]
        for taken in everything.values():
            await taken.wait()
        assert store.held == sum(range(0, 2000, 100))
        assert store.files == 18
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (store.held, store.files) == (0, 0)
        disk.close()

    with none_left():
        run(scene())
    assert list(tmp_path.iterdir()) == []
