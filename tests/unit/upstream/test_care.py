"""Servers looked after: probes that take them out and bring them back, names whose addresses change."""

import asyncio

import pytest

from shim.errors import UpstreamRefused
from shim.timing import UNLIMITED
from shim.upstream import names
from shim.upstream.address import parse_upstream
from shim.upstream.care import FIRST_LOOKS, Care, GroupOptions
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.names import look_up
from shim.upstream.pool import Server
from shim.upstream.roster import Roster
from tests.fakes.loops import loop_time, run, run_leaping
from tests.fakes.stream import FakeNetwork, FakeStream, answer

NAME = parse_upstream("http://glance.internal:80")
ONE, TWO = (parse_upstream(f"http://10.0.0.{number}:80") for number in (1, 2))


class Group:
    """An upstream of fixed servers, or of those behind a name, with what probes and DNS say of them."""

    def __init__(self, *addresses, named=False, **options):
        self.down = set()
        self.untried = set()
        self.addresses = list(addresses)
        self.looks = 0
        self.network = FakeNetwork()
        roster = Roster()
        if named:
            roster.add_name(NAME)
        for address in () if named else addresses:
            roster.add(self.make(address))
        self.upstream = Upstream("glance", roster=roster, slots=2, clock=loop_time)
        self.care = Care(
            self.upstream, GroupOptions(**options), ask=self.ask, make=self.make, look_up=self.look_up
        )

    def make(self, address):
        return Server(address, UpstreamTimeouts(), connect=self.network.connect, clock=loop_time)

    async def ask(self, server):
        if server.address in self.untried:
            return Health(Sign.UNTRIED, "told so")
        return Health(Sign.DOWN if server.address in self.down else Sign.ANSWERS, "told so")

    async def look_up(self, _address):
        self.looks += 1
        if self.addresses is None:
            raise UpstreamRefused("No such name.")
        return self.addresses

    @property
    def states(self):
        return {member.server.address: member.state(loop_time()) for member in self.upstream.roster}


def test_a_server_that_fails_two_probes_is_down_until_one_succeeds():
    async def scene():
        group = Group(ONE, TWO, probe=10)
        async with group.care.running():
            group.down = {ONE}
            await asyncio.sleep(11)
            assert group.states == {ONE: "up", TWO: "up"}
            await asyncio.sleep(10)
            assert group.states == {ONE: "down", TWO: "up"}
            group.down = set()
            await asyncio.sleep(10)
            assert group.states == {ONE: "returning", TWO: "up"}
            await asyncio.sleep(30)
            assert group.states == {ONE: "up", TWO: "up"}

    run_leaping(scene())


def test_a_probe_that_could_not_be_tried_says_nothing():
    async def scene():
        group = Group(ONE, TWO, probe=10)
        async with group.care.running():
            group.untried, group.down = {ONE, TWO}, {TWO}
            await asyncio.sleep(45)
            assert group.states == {ONE: "up", TWO: "up"}
            group.untried = {ONE}
            await asyncio.sleep(20)
            assert group.states == {ONE: "up", TWO: "down"}

    run_leaping(scene())


@pytest.mark.parametrize("fails", ["ask", "look_up"])
def test_a_look_that_fails_unexpectedly_is_told_of_and_not_the_last(fails, monkeypatch, caplog):
    async def scene():
        group = Group(ONE, named=fails == "look_up", probe=10, resolve=10)
        asked = []

        async def fail(place):
            asked.append(place)
            raise ValueError("nobody thought of this")

        monkeypatch.setattr(group.care, f"_{fails}", fail)
        async with group.care.running():
            await asyncio.sleep(31)
        return asked

    assert len(run_leaping(scene())) >= 3
    assert "a look at its servers failed" in caplog.text
    assert "nobody thought of this" in caplog.text


def test_the_first_request_waits_until_its_name_is_known():
    async def scene():
        group = Group(ONE, named=True, resolve=30)
        group.addresses = None
        group.network.at(ONE, FakeStream(answer(200, b"one")))
        async with group.care.running():
            asked = asyncio.ensure_future(exchange(group))
            await asyncio.sleep(3.5 * FIRST_LOOKS)
            assert group.looks == 4
            group.addresses = [ONE]
            assert await asked == b"one"
        await group.upstream.close()

    run_leaping(scene())


async def exchange(group):
    request = UpstreamRequest("GET", b"/", [])
    async with group.upstream.exchange(request, interim=None, enter=lambda _phase: None) as response:
        return b"".join([bytes(piece) async for piece in response.pieces()])


def test_a_name_that_leads_nowhere_is_a_refused_connection():
    async def scene():
        group, began = Group(named=True, resolve=30), loop_time()
        async with group.care.running():
            with pytest.raises(UpstreamRefused):
                await exchange(group)
        assert loop_time() - began == 10

    run_leaping(scene())


def test_addresses_are_followed_and_kept_while_dns_is_away():
    async def scene():
        group = Group(ONE, named=True, resolve=30)
        (place,) = group.upstream.roster.names
        async with group.care.running():
            await asyncio.sleep(1)
            assert group.states == {ONE: "up"}
            group.addresses = None
            await asyncio.sleep(30)
            assert group.states == {ONE: "up"}
            group.addresses = [TWO]
            await asyncio.sleep(30)
            assert group.states == {TWO: "up"}
        slots = [group.upstream.queue.slots(position) for position in place.positions]
        assert (sum(slot == 2 for slot in slots), group.looks) == (1, 3)

    run_leaping(scene())


def test_nothing_to_look_after():
    assert Group(ONE, probe=UNLIMITED).care._work() == []


def test_the_system_knows_its_own_name(monkeypatch):
    async def scene(port):
        return await look_up(parse_upstream(f"https://localhost:{port}"))

    found = run(scene(443))
    assert {address.host for address in found} <= {"127.0.0.1", "::1"}
    assert {(address.name, address.port, address.tls) for address in found} == {("localhost", 443, True)}
    with pytest.raises(UpstreamRefused):
        run(look_up(parse_upstream("http://nobody.invalid:80")))

    async def hang():
        async def getaddrinfo(*_arguments, **_options):
            await asyncio.sleep(1000)

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        began = loop_time()
        with pytest.raises(UpstreamRefused):
            await look_up(NAME)
        assert loop_time() - began == names.PATIENCE

    run_leaping(hang())
