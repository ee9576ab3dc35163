"""Readiness: every reason against it at once; and servers probed when somebody asks, but not too often."""

import asyncio

import pytest

from shim.admission.drain import Drain
from shim.app import health
from shim.app.health import PROBE_AGE, HealthWatch
from shim.errors import DiskError
from shim.spool.budget import Budget
from shim.spool.store import SpoolOptions, Store
from shim.upstream.address import UpstreamAddress, parse_upstream
from shim.upstream.application import ApplicationServer
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from tests.fakes.application import threads
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import run

ONE, TWO, THREE = (parse_upstream(f"http://server-{number}") for number in (1, 2, 3))


class Probes:
    """In place of probing: says who is down, and keeps who was asked for what."""

    def __init__(self) -> None:
        self.down: set[UpstreamAddress] = set()
        self.made: list[tuple[UpstreamAddress, bytes | None]] = []

    async def __call__(self, address: UpstreamAddress, path: bytes | None) -> Health:
        self.made.append((address, path))
        await asyncio.sleep(0)
        return Health(Sign.DOWN if address in self.down else Sign.ANSWERS, f"told of {address.host}")


@pytest.fixture
def probes(monkeypatch):
    made = Probes()
    monkeypatch.setattr(health, "probe", made)
    return made


class Watched:
    """A health watch with all that it looks at."""

    def __init__(self, *groups: list[UpstreamAddress]) -> None:
        self.now = 0.0
        self.drain = Drain()
        self.disk = FakeDisk()
        timeouts = UpstreamTimeouts()
        self.upstreams = {
            f"group-{number}": Upstream(f"group-{number}", [Server(address, timeouts) for address in group])
            for number, group in enumerate(groups)
        }
        self.watch = HealthWatch(
            self.drain,
            Store(self.disk, Budget(100), SpoolOptions()),
            self.upstreams,
            probe_path=b"/healthcheck",
            clock=lambda: self.now,
        )

    def faults(self) -> list[str]:
        readiness = run(self.watch.readiness())
        assert readiness.ready is (not readiness.faults)
        return list(readiness.faults)


@pytest.mark.usefixtures("probes")
def test_ready():
    assert Watched([ONE]).faults() == []


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize(("step", "life"), [("leave", "leaving"), ("begin", "draining")])
def test_not_ready_at_the_end(step, life):
    watched = Watched([ONE])
    getattr(watched.drain, step)()
    assert watched.faults() == [f"the shim is {life}"]


@pytest.mark.usefixtures("probes")
def test_not_ready_without_room_on_the_disk():
    watched = Watched([ONE])
    watched.disk.free, watched.disk.reserve = 10, 11
    (fault,) = watched.faults()
    assert "reserve" in fault


@pytest.mark.usefixtures("probes")
def test_not_ready_without_a_disk(monkeypatch):
    async def check(_size: int) -> None:
        raise DiskError("The spool failed.", for_operator="/spool: Input/output error.")

    watched = Watched([ONE])
    monkeypatch.setattr(watched.disk, "check", check)
    assert watched.faults() == ["/spool: Input/output error."]


@pytest.mark.usefixtures("probes")
def test_not_ready_with_all_drained():
    watched = Watched([ONE])
    watched.upstreams["group-0"].take_out(frozenset({str(ONE)}))
    (server,) = run(watched.watch.servers())
    assert (server.is_drained, server.takes_requests, server.is_leaving) == (True, False, False)
    assert watched.faults() == ["upstream group-0: http://server-1:80: is drained"]


def test_not_ready_without_a_server(probes):
    probes.down = {ONE, TWO}
    assert Watched([ONE, TWO]).faults() == [
        "upstream group-0: http://server-1:80: told of server-1",
        "upstream group-0: http://server-2:80: told of server-2",
    ]


def test_one_server_is_enough(probes):
    probes.down = {ONE}
    assert Watched([ONE, TWO]).faults() == []


def test_every_fault_at_once(probes):
    probes.down = {ONE}
    watched = Watched([ONE])
    watched.drain.begin()
    watched.disk.free, watched.disk.reserve = 10, 11
    assert len(watched.faults()) == 3


def test_what_is_told_of_servers(probes):
    probes.down = {TWO}
    watched = Watched([ONE, TWO], [THREE])
    watched.upstreams["group-1"].servers[0].inflight = 7
    servers = run(watched.watch.servers())
    assert [(server.upstream, server.address, server.inflight, server.health.up) for server in servers] == [
        ("group-0", ONE, 0, True),
        ("group-0", TWO, 0, False),
        ("group-1", THREE, 7, True),
    ]
    assert {path for _, path in probes.made} == {b"/healthcheck"}


def test_one_server_in_two_upstreams_is_two(probes):
    servers = run(Watched([ONE], [ONE]).watch.servers())
    assert [server.upstream for server in servers] == ["group-0", "group-1"]


def test_probes_are_not_made_more_often_than_needed(probes):
    watched = Watched([ONE])
    for now, made in [(0, 1), (PROBE_AGE - 0.01, 1), (PROBE_AGE, 2), (2 * PROBE_AGE - 0.01, 2), (100, 3)]:
        watched.now = now
        run(watched.watch.servers())
        assert len(probes.made) == made, now


def test_many_who_ask_at_once_cause_one_probe(probes):
    async def story() -> None:
        watch = Watched([ONE]).watch
        await asyncio.gather(*(watch.servers() for _ in range(20)))

    run(story())
    assert len(probes.made) == 1


def test_what_is_in_flight_is_always_told_as_it_is(probes):
    watched = Watched([ONE])
    run(watched.watch.servers())
    watched.upstreams["group-0"].servers[0].inflight = 5
    (server,) = run(watched.watch.servers())
    assert server.inflight == 5
    assert len(probes.made) == 1


def test_an_application_in_this_process_is_not_loaded_again(probes):
    def application(_environ, start_response):
        calls.append(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"OK"]

    calls = []
    watched = Watched([])
    server = ApplicationServer(parse_upstream("wsgi:no.such:module"), application, UpstreamTimeouts())
    watched.upstreams["inside"] = Upstream("inside", [server])
    for now in (0, PROBE_AGE):
        watched.now = now
        assert watched.faults() == []
    assert len(calls) == 2
    assert probes.made == []
    for thread in threads():
        thread.join(30)
