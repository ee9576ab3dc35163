"""Which way a server gets at spool files: tried in turn, remembered, and given up without losing a body."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import pytest

from shim.errors import ResponseTimeout, UpstreamClosed
from shim.spool.naming import PREFIX
from shim.upstream import handoff as module
from shim.upstream.address import parse_upstream
from shim.upstream.handoff import ASKED_AGAIN_AFTER, HandOff, Way, shares_processes
from tests.fakes.descriptors import none_left
from tests.fakes.loops import run

UNIX = parse_upstream("uwsgi+unix:///run/glance.sock")
HTTP = parse_upstream("http+unix:///run/glance.sock")


class Peer:
    """The part of a stream that a hand-off asks."""

    def __init__(self, process):
        self._process = process

    def peer_process(self):
        return self._process


HERE = Peer(os.getpid())
ELSEWHERE = Peer(0)


class Server:
    """Opens what it is offered, in the ways that it can."""

    def __init__(self, *ways):
        self.ways = ways
        self.seen = []

    def take(self, offer):
        self.seen.append(None if offer is None else offer.way)
        if offer is not None and offer.way in self.ways:
            os.close(os.open(offer.path, os.O_RDONLY))


@pytest.fixture
def descriptor(tmp_path):
    number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    yield number
    os.close(number)


class Scene:
    """A hand-off, a clock that the test moves, and one file that is offered again and again."""

    def __init__(self, tmp_path, descriptor, *, address=UNIX, directory=True):
        self.now = 1000.0
        self.folder = tmp_path
        self.descriptor = descriptor
        self.handoff = HandOff(address, tmp_path if directory else None, clock=lambda: self.now)

    @contextlib.contextmanager
    def another_file(self):
        before, self.descriptor = self.descriptor, os.open(self.folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        yield
        os.close(self.descriptor)
        self.descriptor = before

    async def offer(self, server, peer=HERE, error=None):
        async with self.handoff.offer(self.descriptor, peer) as offer:
            server.take(offer)
            if error is not None:
                raise error
        assert list(self.folder.iterdir()) == []
        return self.handoff.way


def play(scene, *arguments, **options):
    async def whole():
        with none_left():
            stage = Scene(*arguments, **options)
            try:
                await scene(stage)
            finally:
                stage.handoff.close()

    run(whole())


def test_a_server_of_the_same_user_opens_the_descriptor(tmp_path, descriptor):
    async def scene(stage):
        server = Server(Way.DESCRIPTOR)
        for _ in range(3):
            assert await stage.offer(server) is Way.DESCRIPTOR
        assert server.seen == [Way.DESCRIPTOR] * 3

    play(scene, tmp_path, descriptor)


def test_a_server_of_another_user_opens_the_named_file(tmp_path, descriptor):
    async def scene(stage):
        server = Server(Way.NAME)
        assert [await stage.offer(server) for _ in range(2)] == [Way.NAME] * 2
        assert server.seen == [Way.DESCRIPTOR, Way.NAME]

    play(scene, tmp_path, descriptor)


def test_a_body_that_had_a_name_is_sent_when_it_is_sent_again(tmp_path, descriptor, caplog):
    """The kernel links a nameless file once; that says nothing of the server."""

    async def scene(stage):
        server = Server(Way.NAME)
        ways = [await stage.offer(server, ELSEWHERE) for _ in range(2)]
        assert (ways, server.seen) == ([Way.NAME] * 2, [Way.NAME, None])

    play(scene, tmp_path, descriptor)
    assert not caplog.records


def test_a_process_that_is_not_known_is_never_offered_a_descriptor(tmp_path, descriptor):
    """In another namespace the same path may be a file of its own: its bytes would become the image."""

    async def scene(stage):
        server = Server(Way.DESCRIPTOR, Way.NAME)
        assert await stage.offer(server, ELSEWHERE) is Way.NAME
        assert server.seen == [Way.NAME]

    play(scene, tmp_path, descriptor)


def test_a_server_that_opens_nothing_is_sent_bodies_and_asked_again_later(tmp_path, descriptor, caplog):
    async def scene(stage):
        server = Server()
        ways = [await stage.offer(server) for _ in range(4)]
        assert ways == [Way.NAME, Way.SENDING, Way.SENDING, Way.SENDING]
        assert server.seen == [Way.DESCRIPTOR, Way.NAME, None, None]
        stage.now += ASKED_AGAIN_AFTER - 1
        await stage.offer(server)
        assert server.seen[-1] is None
        stage.now += 1
        await stage.offer(server)
        assert server.seen[-1] is Way.DESCRIPTOR
        with stage.another_file():
            assert await stage.offer(server) is Way.SENDING

    with caplog.at_level(logging.WARNING):
        play(scene, tmp_path, descriptor)
    assert len([record for record in caplog.records if "No hand-off" in record.message]) == 1, "said once"


def test_a_server_that_does_not_speak_uwsgi_is_sent_bodies_and_that_is_said_once(
    tmp_path, descriptor, caplog
):
    async def scene(stage):
        server = Server(Way.DESCRIPTOR)
        assert [await stage.offer(server) for _ in range(3)] == [Way.SENDING] * 3
        assert server.seen == [None] * 3

    with caplog.at_level(logging.WARNING):
        play(scene, tmp_path, descriptor, address=HTTP)
    (said,) = [record for record in caplog.records if "No hand-off" in record.message]
    assert "does not speak the uwsgi protocol" in said.message


def test_without_a_directory_nothing_gets_a_name(tmp_path, descriptor):
    async def scene(stage):
        server = Server(Way.NAME)
        await stage.offer(server)
        await stage.offer(server)
        assert server.seen == [Way.DESCRIPTOR, None]

    play(scene, tmp_path, descriptor, directory=False)


def test_only_uwsgi_opens_files(tmp_path, descriptor):
    async def scene(stage):
        server = Server(Way.DESCRIPTOR, Way.NAME)
        await stage.offer(server)
        assert server.seen == [None]

    play(scene, tmp_path, descriptor, address=HTTP)


@pytest.mark.parametrize(
    ("error", "way"),
    [
        (UpstreamClosed("closed"), Way.NAME),
        (ResponseTimeout("silent"), Way.DESCRIPTOR),
        (asyncio.CancelledError(), Way.DESCRIPTOR),
    ],
    ids=["closed", "silent", "cancelled"],
)
def test_what_a_failed_request_tells(tmp_path, descriptor, error, way):
    """Who could not open the file may have closed for that; who is silent may only be busy."""

    async def scene(stage):
        with pytest.raises(type(error)):
            await stage.offer(Server(), error=error)
        assert stage.handoff.way is way

    play(scene, tmp_path, descriptor)


def test_a_disk_that_cannot_link(tmp_path, descriptor, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("shim.spool.naming._link", link)

    async def scene(stage):
        server = Server(Way.NAME)
        assert await stage.offer(server, ELSEWHERE) is Way.SENDING
        assert server.seen == [None]

    play(scene, tmp_path, descriptor)


@pytest.mark.parametrize("delay", [0, 1], ids=["at once", "later"])
def test_waiting_for_the_opening(tmp_path, descriptor, monkeypatch, delay):
    monkeypatch.setattr(module, "PATIENCE", 10)

    async def scene(stage):
        async with stage.handoff.offer(descriptor, HERE) as offer:
            assert offer.path.startswith(b"/proc/%d/fd/" % os.getpid())
            loop = asyncio.get_running_loop()
            loop.call_later(delay / 100, Server(Way.DESCRIPTOR).take, offer)
            assert await offer.wait_until_opened()

    play(scene, tmp_path, descriptor)


def test_an_opening_that_never_comes(tmp_path, descriptor, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def scene(stage):
        async with stage.handoff.offer(descriptor, ELSEWHERE) as offer:
            assert PREFIX in offer.path.decode()
            assert not await offer.wait_until_opened()

    play(scene, tmp_path, descriptor)


def test_whose_processes_are_shared():
    assert shares_processes(os.getpid())
    assert not shares_processes(0)
    assert not shares_processes(-1)
    assert not shares_processes(2**22 + 1)


def _is_at(path, descriptor):
    return os.path.samestat(Path(os.fsdecode(path)).stat(), os.fstat(descriptor))


def test_a_path_leads_nowhere_once_its_request_is_over(tmp_path, descriptor):
    """A server may have it in its queue yet: whatever is opened next must not be found there."""

    async def scene(stage):
        other = HandOff(UNIX, None)
        paths = []
        for handoff in [stage.handoff, other, stage.handoff, other]:
            with contextlib.suppress(KeyError):
                async with handoff.offer(descriptor, HERE) as offer:
                    paths.append(offer.path)
                    assert _is_at(offer.path, descriptor)
                    raise KeyError("the client has gone")
            with stage.another_file():
                assert not any(map(os.path.exists, paths))
        assert len(set(paths)) == len(paths)
        other.close()

    play(scene, tmp_path, descriptor)


def test_numbers_begin_anew_where_they_end(descriptor, monkeypatch):
    monkeypatch.setattr(module, "MOST_NUMBERS", 1004)
    numbers, seen = module.Numbers(), []
    for _ in range(1004):
        with numbers.lend(descriptor) as number:
            seen.append(number)
    assert seen == [*range(502, 1004)] * 2


def test_a_number_in_use_is_passed_over(descriptor):
    numbers = module.Numbers()
    with numbers.lend(descriptor) as first, numbers.lend(descriptor) as second:
        assert second > first
    numbers._next = first
    with numbers.lend(descriptor) as again:
        assert again == first
        numbers._next = first
        with numbers.lend(descriptor) as another:
            assert another != first
