"""Sockets passed by systemd: whose place they take, and what is none."""

import os
import socket

import pytest

from shim.server import activation
from shim.server.activation import PassedSockets
from shim.server.addresses import InheritedSocket, TcpAddress
from shim.server.listen import ListenFailed

LISTEN, ADMIN = (TcpAddress("127.0.0.1", 1),), (TcpAddress("127.0.0.1", 2),)


@pytest.fixture
def passed(monkeypatch):
    """Three listening sockets with numbers in a row."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    first = 200
    for index, listener in enumerate(listeners):
        os.dup2(listener.fileno(), first + index)
        listener.close()
    monkeypatch.setattr(activation, "_FIRST", first)
    yield [InheritedSocket(first + index) for index in range(3)]
    for index in range(3):
        os.close(first + index)


def variables(count, names="", pid=None):
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}


def test_by_name(passed):
    environment = variables(3, "http:admin:https")
    found = PassedSockets.from_environment(environment)
    assert environment == {}
    assert found.in_place_of(LISTEN, ADMIN) == ([passed[0], passed[2]], [passed[1]])
    assert not os.get_inheritable(passed[0].descriptor)


@pytest.mark.parametrize("names", ["", "a", "a:b:c"])
def test_without_names_all_are_for_clients(passed, names):
    assert PassedSockets.from_environment(variables(3, names)).in_place_of(LISTEN, ADMIN) == (passed, ADMIN)


def test_only_the_admins(passed):
    found = PassedSockets.from_environment(variables(1, "admin"))
    assert found.in_place_of(LISTEN, ()) == (LISTEN, [passed[0]])


def test_what_is_named_by_number_stays_where_it_is_named(passed):
    found = PassedSockets.from_environment(variables(2))
    assert found.in_place_of((passed[0],), (passed[1],)) == ((passed[0],), (passed[1],))
    assert found.in_place_of((passed[0],), ADMIN) == ([passed[1]], ADMIN)


@pytest.mark.parametrize(
    "environment",
    [{}, variables(3, pid=1), variables("x"), {"LISTEN_FDS": "3"}],
    ids=["none", "somebody else's", "no number", "no pid"],
)
def test_nothing_is_passed(environment):
    assert PassedSockets.from_environment(environment).in_place_of(LISTEN, ADMIN) == (LISTEN, ADMIN)
    assert environment == {}


def test_what_does_not_listen_is_told(passed):
    with socket.socket() as idle:
        os.dup2(idle.fileno(), passed[1].descriptor)
        with pytest.raises(ListenFailed, match="descriptor 201 is no listening stream socket"):
            PassedSockets.from_environment(variables(2))
    with open(os.devnull) as file:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(file.fileno(), passed[1].descriptor)
    with pytest.raises(ListenFailed, match="descriptor 201 is no listening stream socket"):
        PassedSockets.from_environment(variables(2))


def test_a_missing_descriptor_is_told(monkeypatch):
    monkeypatch.setattr(activation, "_FIRST", 900)
    with pytest.raises(ListenFailed, match="descriptor 900: Bad file descriptor"):
        PassedSockets.from_environment(variables(1))
