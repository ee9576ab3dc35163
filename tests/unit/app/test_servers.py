"""Taking servers out and back: by one worker for all of them, with a line in the log for each time."""

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import httpx
import pytest

from shim.app.admin import Admin
from shim.app.audit import Audited
from shim.app.colleagues import Colleagues, SoleWorker
from shim.app.drains import DrainBoard
from shim.app.feed import Feed
from shim.app.guard import Guard
from shim.app.health import ServerHealth
from shim.app.view import View
from shim.asgi import LOCAL_PEER
from shim.ledger.locks import try_lock
from shim.local_peer import LocalPeer
from shim.observe.snapshot import Snapshot
from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from tests.fakes.loops import run
from tests.support.series import series

ONE, TWO = "http://one:80", "http://two:80"
DRAIN, RESTORE = "/servers/drain", "/servers/restore"


def upstreams():
    servers = {"glance": (ONE, TWO), "other": (ONE,)}
    return {
        name: Upstream(name, [Server(parse_upstream(url), UpstreamTimeouts()) for url in urls])
        for name, urls in servers.items()
    }


class Worker:
    """One worker's admin pages; with a folder it has colleagues."""

    def __init__(self, folder=None, number=1, token=None, listener="unix"):
        self.upstreams = upstreams()
        self.board = DrainBoard(self.upstreams, folder)
        self.colleagues = (
            SoleWorker(Snapshot)
            if folder is None
            else Colleagues(Snapshot, folder, number, look=self.board.look)
        )
        self.listener = listener
        store = SimpleNamespace(limit=0)
        view = View(store, SimpleNamespace(servers=self._servers), self.colleagues)
        admin = Admin(view, Feed(view.now), self.board)
        self.guarded = Audited(Guard(admin.application(), token))

    async def _servers(self):
        return [
            ServerHealth(name, member.server.address, 0, Health(Sign.ANSWERS, "fine"), state=member.state(0))
            for name, upstream in self.upstreams.items()
            for member in upstream.roster
        ]

    async def application(self, scope, receive, send):
        if self.listener == "unix":
            scope["extensions"] = {LOCAL_PEER: LocalPeer(pid=7, uid=1000)}
        await self.guarded(scope, receive, send)

    async def post(self, path, headers=(), **query):
        transport = httpx.ASGITransport(self.application, client=("127.0.0.1", 5))
        url = f"http://{self.listener}:9293"
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            return await client.post(path, params=query, headers=dict(headers))

    @property
    def drained(self):
        return {(name, member.name) for name, group in self.upstreams.items() for member in group.roster
                if member.is_drained}  # fmt: skip


def test_a_server_is_taken_out_and_back(caplog):
    async def scene():
        worker = Worker()
        answer = await worker.post(DRAIN, server=ONE)
        assert answer.status_code == 200
        assert [row["state"] for row in answer.json()["servers"]] == ["draining", "draining"]
        assert worker.drained == {("glance", ONE), ("other", ONE)}
        await worker.post(RESTORE, server=ONE, upstream="other")
        assert worker.drained == {("glance", ONE)}

    with caplog.at_level(logging.INFO, "shim.audit"):
        run(scene())
    one = "http%3A%2F%2Fone%3A80"
    assert [record.getMessage() for record in caplog.records if record.name == "shim.audit"] == [
        f"POST {DRAIN}?server={one} by uid 1000 (pid 7): 200",
        f"POST {RESTORE}?server={one}&upstream=other by uid 1000 (pid 7): 200",
    ]


@pytest.mark.parametrize(
    "query", [{}, {"server": "http://three"}, {"server": TWO, "upstream": "other"}], ids=str
)
def test_a_server_that_there_is_not(query):
    async def scene():
        worker = Worker()
        answer = await worker.post(DRAIN, **query)
        assert (answer.status_code, worker.drained) == (404, set())
        assert ONE in answer.json()["error"]

    run(scene())


def test_all_workers_hear_of_it_and_those_that_come_later_see_it(tmp_path):
    async def scene():
        one, two, late = (Worker(tmp_path, number) for number in (1, 2, 3))
        async with contextlib.AsyncExitStack() as stack:
            for worker in (one, two):
                await stack.enter_async_context(worker.colleagues.present())
            answer = await one.post(DRAIN, server=TWO)
            assert answer.json()["workers_not_told_yet"] == 0
            assert one.drained == two.drained == {("glance", TWO)}
            async with late.colleagues.present():
                assert late.drained == {("glance", TWO)}
                await two.post(DRAIN, server=ONE, upstream="other")
                await late.post(RESTORE, server=TWO)
                assert one.drained == two.drained == late.drained == {("other", ONE)}

    run(scene())


def test_two_who_change_something_at_once_lose_nothing(tmp_path):
    async def scene():
        one, two = Worker(tmp_path, 1), Worker(tmp_path, 2)
        await asyncio.gather(
            asyncio.to_thread(one.board.put, "glance", ONE, drained=True),
            asyncio.to_thread(two.board.put, "glance", TWO, drained=True),
        )
        for worker in (one, two):
            worker.board.look()
        assert one.drained == two.drained == {("glance", ONE), ("glance", TWO)}

    run(scene())


def test_without_the_file_nothing_changes(tmp_path):
    async def scene():
        worker = Worker(tmp_path / "gone")
        answer = await worker.post(DRAIN, server=ONE)
        assert (answer.status_code, worker.drained) == (500, set())

    run(scene())


def test_a_worker_that_hangs_with_the_file_holds_up_nobody(tmp_path):
    async def scene():
        worker = Worker(tmp_path)
        with (tmp_path / "drained.lock").open("w") as held:
            assert try_lock(held.fileno(), 0)
            answer = await worker.post(DRAIN, server=ONE)
            assert (answer.status_code, worker.drained) == (500, set())
            assert "drained.lock" in answer.json()["error"]
        # Whoever held it has died: the kernel has given it back.
        assert (await worker.post(DRAIN, server=ONE)).status_code == 200

    run(scene())


BEARER = {"Authorization": "Bearer a-long-random-text"}
TOKEN = BEARER["Authorization"].partition(" ")[2]
OWN = {"Origin": "http://127.0.0.1:9293"}
FOREIGN = {"Origin": "http://evil.example"}

# The admin listener's address, admin.token, what the request carries: whether it may change anything.
MAY = [
    pytest.param("unix", None, {}, 200, id="by a unix socket"),
    pytest.param("127.0.0.1", None, {}, 403, id="on this machine, without a token"),
    pytest.param("127.0.0.1", TOKEN, BEARER | OWN, 200, id="our own page"),
    pytest.param("127.0.0.1", None, FOREIGN, 403, id="a page of another site"),
    pytest.param("127.0.0.1", None, {"Origin": "null"}, 403, id="a page that hides its site"),
    pytest.param("127.0.0.1", None, {"Sec-Fetch-Site": "cross-site"}, 403, id="said by the browser"),
    pytest.param("10.0.0.1", None, {}, 403, id="from elsewhere, without a token"),
    pytest.param("10.0.0.1", TOKEN, BEARER, 200, id="from elsewhere, with it"),
    pytest.param("10.0.0.1", TOKEN, {}, 401, id="from elsewhere, without it"),
    pytest.param("10.0.0.1", TOKEN, BEARER | FOREIGN, 403, id="another site's page that has it"),
]


@series(("listener", "token", "headers", "status"), MAY)
def test_who_may(listener, token, headers, status):
    async def scene():
        worker = Worker(token=token, listener=listener)
        answer = await worker.post(DRAIN, headers.items(), server=ONE)
        assert answer.status_code == status
        assert bool(worker.drained) is (status == 200)

    run(scene())
