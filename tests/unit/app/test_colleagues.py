"""Workers that ask each other, here several in one process: whoever is asked shows the sum of all."""

import asyncio
import contextlib
import errno
import os

import pytest

from shim.app import colleagues
from shim.app.colleagues import Colleagues, SoleWorker
from shim.observe.counters import Counters
from shim.observe.keeping import CounterFiles
from shim.observe.snapshot import Snapshot
from tests.fakes.loops import REAL_LOOPS
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


class Worker:
    """One worker that has counted something."""

    def __init__(self, folder, number, requests=0):
        self.told = Snapshot(counters=Counters(), held=10**number, uploads=({"id": str(number), "age": 1.0},))
        self.told.counters.requests["default", "GET", 200] = requests
        self.ended = []
        self.colleagues = Colleagues(lambda: self.told, folder, number, self.end)

    def end(self, serial, who):
        self.ended.append((serial, who))
        return serial == 5

    def count(self, more):
        self.told.counters.requests["default", "GET", 200] += more


async def requests_shown(worker):
    return (await worker.colleagues.whole()).counters.requests.total()


@on_both_loops
def test_whoever_is_asked_shows_the_sum(run, tmp_path):
    async def story():
        workers = [Worker(tmp_path, number, 10**number) for number in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker.colleagues.present())
            for worker in workers:
                whole = await worker.colleagues.whole()
                assert whole.counters.requests.total() == 111
                assert (whole.held, whole.workers) == (111, 3)
                assert {upload["id"] for upload in whole.uploads} == {"0", "1", "2"}

    run(story())


@on_both_loops
def test_nothing_is_counted_less_when_a_worker_has_gone(run, tmp_path):
    async def story():
        stays, goes = Worker(tmp_path, 1, 5), Worker(tmp_path, 2, 100)
        async with stays.colleagues.present():
            async with goes.colleagues.present():
                assert await requests_shown(stays) == 105
                goes.count(7)
            # Its last counts were written when it went.
            assert await requests_shown(stays) == 112
            CounterFiles(tmp_path).bury(2)
            assert await requests_shown(stays) == 112
            whole = await stays.colleagues.whole()
            assert (whole.held, whole.workers, len(whole.uploads)) == (10, 1, 1)

    run(story())


@on_both_loops
def test_a_killed_worker_counts_as_far_as_it_was_shown(run, tmp_path):
    async def story():
        stays, killed = Worker(tmp_path, 1, 5), Worker(tmp_path, 2, 100)
        async with stays.colleagues.present():
            presence = killed.colleagues.present()
            await presence.__aenter__()
            shown = await requests_shown(stays)
            written = CounterFiles(tmp_path).read()[0][2]
            killed.count(1)
            await presence.__aexit__(None, None, None)
            # What SIGKILL leaves: the file as it was, and a socket that nobody listens on.
            CounterFiles(tmp_path).save(2, written)
            path = tmp_path / "worker-2.sock"
            with contextlib.closing(colleagues.socket.socket(colleagues.socket.AF_UNIX)) as dead:
                dead.bind(str(path))
            assert await requests_shown(stays) == shown == 105

    run(story())


@on_both_loops
def test_a_worker_that_hangs_is_not_waited_for(run, tmp_path, monkeypatch):
    monkeypatch.setattr(colleagues, "PATIENCE", 0.05)

    async def story():
        asked, hangs = Worker(tmp_path, 1, 5), Worker(tmp_path, 2, 100)
        async with asked.colleagues.present(), hangs.colleagues.present():
            assert await requests_shown(asked) == 105
            async with hangs.colleagues._saving:
                whole = await asked.colleagues.whole()
            # What it has counted is known from its file, what it holds is not.
            assert (whole.counters.requests.total(), whole.workers) == (105, 1)

    run(story())


@on_both_loops
def test_an_upload_is_ended_in_the_worker_that_has_it(run, tmp_path):
    async def story():
        asked, other = Worker(tmp_path, 1), Worker(tmp_path, 2)
        async with asked.colleagues.present(), other.colleagues.present():
            assert await asked.colleagues.cancel("2-5", 'uid "0"\n')
            assert await asked.colleagues.cancel("1-5", "uid 0")
            assert not await asked.colleagues.cancel("2-6", "uid 0")
            assert not await asked.colleagues.cancel("3-5", "uid 0"), "there is no such worker"
            assert (asked.ended, other.ended) == ([(5, "uid 0")], [(5, 'uid "0"\n'), (6, "uid 0")])
            assert (await asked.colleagues.whole()).workers == 2

    run(story())


@on_both_loops
def test_a_worker_that_does_not_answer_may_still_end_an_upload(run, tmp_path, monkeypatch):
    """Silence is no refusal: the question lies in its socket, and is answered when it goes on."""
    monkeypatch.setattr(colleagues, "PATIENCE", 0.05)

    async def story():
        asked = Worker(tmp_path, 1)
        with contextlib.closing(colleagues.socket.socket(colleagues.socket.AF_UNIX)) as hangs:
            hangs.bind(str(tmp_path / "worker-2.sock"))
            hangs.listen()
            with pytest.raises(colleagues.WorkerSilent):
                await asked.colleagues.cancel("2-5", "uid 0")
        # Now it refuses connections: it has died, and its uploads with it.
        assert not await asked.colleagues.cancel("2-5", "uid 0")

    run(story())


@on_both_loops
def test_who_asks_nothing_is_told_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(colleagues, "PATIENCE", 0.05)

    async def story():
        worker = Worker(tmp_path, 1)
        async with worker.colleagues.present():
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "worker-1.sock"))
            assert await reader.read(-1) == b""
            writer.close()

    run(story())


@series("key", ["", "1", "1-", "-1", "1-2-3", "a-1", "1-b", "\u0661-\u00b2"])
def test_what_is_no_key(key):
    with pytest.raises(ValueError, match="no upload's key"):
        colleagues.split_key(key)


@on_both_loops
def test_a_cut_answer_is_none(run, tmp_path):
    async def cut(_reader, writer):
        writer.write(b'{"life": "serv')
        writer.close()

    async def story():
        asked = Worker(tmp_path, 1, 5)
        server = await asyncio.start_unix_server(cut, str(tmp_path / "worker-2.sock"))
        async with asked.colleagues.present():
            assert (await asked.colleagues.whole()).workers == 1
        server.close()

    run(story())


@on_both_loops
def test_a_full_disk_is_told_and_nothing_else(run, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CounterFiles, "save", refuse)

    async def story():
        asked = Worker(tmp_path, 1, 5)
        async with asked.colleagues.present():
            assert await requests_shown(asked) == 5
        assert "No space left on device" in caplog.messages[0]

    run(story())


@on_both_loops
def test_counters_are_kept_also_when_nobody_asks(run, tmp_path, monkeypatch):
    monkeypatch.setattr(colleagues, "KEEP_EVERY", 0.005)

    async def story():
        worker = Worker(tmp_path, 1, 5)
        async with worker.colleagues.present():
            async with asyncio.timeout(10):
                while 1 not in CounterFiles(tmp_path).read()[0]:
                    await asyncio.sleep(0.005)

    run(story())


def test_alone():
    own = Snapshot(held=3)

    async def story():
        alone = SoleWorker(lambda: own)
        async with alone.present():
            assert await alone.whole() is own

    asyncio.run(story())
