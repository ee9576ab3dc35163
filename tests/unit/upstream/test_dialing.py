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
    class Slow:
        """Says that nothing is ready."""

        def register(self, *_arguments):
            pass

        def poll(self, _timeout):
            return []

    monkeypatch.setattr(dialing.select, "poll", Slow)

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
