"""Connecting: an address needs no resolver, a server that is there no wait, each failure is an OSError."""

import errno
import socket

import pytest

from shim.upstream import dialing
from tests.fakes.loops import REAL_LOOPS, run
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_server_on_this_machine_is_connected_to_without_a_wait(host):
    with socket.create_server((host, 0)) as server:
        place = server.getsockname()
        with dialing.connect_near(*place) as connection:
            assert connection.getpeername() == place
            assert not connection.getblocking()
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with pytest.raises(ConnectionRefusedError):
        dialing.connect_near(*place)


@pytest.mark.parametrize("host", ["192.0.2.1", "localhost", "::ffff:192.0.2.1", "fe80::1%lo", "glance"])
def test_no_other_host_is_connected_to_without_a_limit(host, monkeypatch):
    monkeypatch.setattr(dialing.socket, "socket", None)
    assert dialing.connect_near(host, 80) is None


def test_a_server_that_is_too_busy_is_left_to_who_waits(server, monkeypatch):
    made = []

    class Busy(socket.socket):
        def connect_ex(self, _place):
            made.append(self)
            return errno.EALREADY

    monkeypatch.setattr(dialing.socket, "socket", Busy)
    assert dialing.connect_near(*server.getsockname()) is None
    assert [connection.fileno() for connection in made] == [-1]


@on_both_loops
def test_an_address_is_connected_to_within_the_call(run, server):
    async def scene():
        connecting = dialing.connect_tcp(*server.getsockname())
        # No turn of the loop: what it returns is raised by the first step.
        with pytest.raises(StopIteration) as ended:
            connecting.send(None)
        with ended.value.value as connection:
            assert connection.getpeername() == server.getsockname()
            assert not connection.getblocking()
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(scene())


@on_both_loops
def test_a_server_that_is_farther_away_is_waited_for(run, server, monkeypatch):
    class Far(socket.socket):
        """Says, when asked how connecting goes, that it still does."""

        asked = False

        def connect_ex(self, place):
            if self.asked:
                return errno.EALREADY
            self.asked = True
            return super().connect_ex(place)

    monkeypatch.setattr(dialing.socket, "socket", Far)

    async def scene():
        with await dialing.connect_tcp(*server.getsockname()) as connection:
            assert connection.getpeername() == server.getsockname()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await dialing.connect_tcp("127.0.0.1", port)

    port = server.getsockname()[1]
    run(scene())


def test_an_address_that_no_route_leads_to():
    async def scene():
        with pytest.raises(OSError) as failed:
            await dialing.connect_tcp("255.255.255.255", 80)
        assert failed.value.errno in {errno.EACCES, errno.ENETUNREACH}

    run(scene())


@series(
    ("host", "family"),
    [
        ("127.0.0.1", socket.AF_INET),
        ("::1", socket.AF_INET6),
        ("::ffff:127.0.0.1", socket.AF_INET6),
        ("fe80::1%eth0", 0),
        ("localhost", 0),
        ("127.1", 0),
        ("", 0),
    ],
)
def test_what_is_an_address(host, family):
    assert dialing._family(host) == family


def test_a_unix_socket_holds_more_than_by_default(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as plain:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        async def scene():
            return await dialing.connect_unix(str(tmp_path / "s"))

        with run(scene()) as connection:
            held, usual = (one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for one in (connection, plain))
            assert held > usual
