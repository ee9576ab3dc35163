"""Several servers behind one shim of two workers (case 15): spread, drained, killed, and none left."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Answer, Client, chunked, put_chunked
from tests.support.replies import held, normal
from tests.support.shim import Shim
from tests.support.stub import Stub
from tests.support.wire import eventually

BODY = bytes(range(256)) * 1024
SETTINGS = {
    "server.workers": 2,
    "timeouts.connect_retry": "300ms",
    "upstreams.glance.balance": "round-robin",
    # The workers have one line for their slots.
    "upstreams.glance.max_inflight": 8,
    "upstreams.glance.probe": "200ms",
    "upstreams.glance.slow_return": "0s",
}


class Site:
    """Three servers of different kinds with a shim in front."""

    def __init__(self, folder: Path) -> None:
        self.stubs = [Stub(), Stub("uwsgi", folder / "two.sock"), Stub("uwsgi")]
        urls = [stub.url for stub in self.stubs]
        settings = {**SETTINGS, "upstreams.glance.servers": urls}
        self.shim = Shim(folder, settings, admin_socket=True, forked=True)

    def upload(self, number: int) -> Answer:
        with Client(("127.0.0.1", self.shim.port)) as client:
            client.send(put_chunked(f"/{number}", chunked(BODY)))
            return client.answer("PUT")

    def upload_many(self, count: int) -> list[int]:
        """Statuses of so many uploads, some at a time."""
        with ThreadPoolExecutor(6) as clients:
            return [answer.status for answer in clients.map(self.upload, range(count))]

    def seen(self) -> list[int]:
        """How many of them each server saw, since the last question; all whole."""
        requests = [list(stub.requests) for stub in self.stubs]
        for stub in self.stubs:
            stub.forget()
        assert all(seen.body == BODY for stub in requests for seen in stub)
        return [len(stub) for stub in requests]

    def post(self, action: str, stub: Stub) -> dict:
        answer = self.shim.call(f"/servers/{action}?server={stub.url}")
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def states(self) -> dict[str, dict[str, int]]:
        """How many workers have each server in which state."""
        return {row["server"]: row["states"] for row in json.loads(self.shim.admin("/servers").body)}


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("group"))
    try:
        with site.shim:
            yield site
            site.shim.await_rest()
            assert site.shim.complaints() == []
    finally:
        for stub in site.stubs:
            stub.close()


def test_all_servers_take_part(site: Site):
    assert set(site.upload_many(18)) == {200}
    assert min(site.seen()) >= 4


def test_a_drained_server_ends_what_it_has_and_gets_nothing_new(site: Site):
    """In every worker, from the moment in which the call is answered."""
    drained, gate = site.stubs[0], threading.Event()
    drained.answer(held(gate, normal()))
    # Of five, one worker gets three, and each of its servers one of them.
    with ThreadPoolExecutor(5) as clients:
        under_way = [clients.submit(site.upload, number) for number in range(5)]
        eventually(lambda: drained.requests, "one is in the server")
        told = site.post("drain", drained)
        assert told["workers_not_told_yet"] == 0
        before = len(drained.requests)
        assert set(site.upload_many(12)) == {200}
        assert len(drained.requests) == before
        gate.set()
        assert [upload.result().status for upload in under_way] == [200] * 5
    assert site.states()[drained.url] == {"draining": 2}
    site.post("restore", drained)
    site.seen()
    assert set(site.upload_many(12)) == {200}
    assert min(site.seen()) >= 2
    assert site.shim.log_text().count('"what": "POST /servers/drain?') == 1


def test_dead_servers_cost_no_request_as_long_as_one_lives(site: Site):
    """Whoever notices first: the uploads or the probes."""
    for dead in site.stubs[:2]:
        dead.close()
        assert set(site.upload_many(12)) == {200}
    assert site.seen()[2] >= 12
    urls = [stub.url for stub in site.stubs]
    eventually(lambda: [site.states()[url] for url in urls[:2]] == [{"down": 2}] * 2, "both are down")
    assert site.shim.metric("upstream_up", server=urls[2]) == 1
    assert site.shim.metric("upstream_up", server=urls[0]) == 0
    assert site.shim.metric("upstream_failures_total", server=urls[0]) >= 1


def test_when_none_is_left_the_answer_says_so(site: Site):
    for dead in site.stubs:
        dead.close()
    answer = site.upload(0)
    assert (answer.status, answer.problem["code"]) == (502, "upstream_refused")
