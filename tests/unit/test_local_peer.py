"""The peer of a unix socket, as the kernel tells it."""

import os
import socket
import struct

import pytest

from shim.local_peer import LocalPeer, read_local_peer


def test_the_peer_of_a_unix_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert read_local_peer(ours) == LocalPeer(os.getpid(), os.getuid())


def test_another_socket_has_none():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert read_local_peer(listener) is None


def test_where_the_kernel_does_not_tell(monkeypatch):
    monkeypatch.delattr(socket, "SO_PEERCRED")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert read_local_peer(ours) is None


def test_a_closed_socket():
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_local_peer(ours)


def test_a_user_in_the_upper_half_of_its_numbers():
    """User namespaces map users there (subuid(5)): read as a signed number they were negative."""

    class Told:
        family = socket.AF_UNIX

        def getsockopt(self, _level, _option, size):
            told = struct.pack("=iII", 42, 4_000_000_000, 4_000_000_000)
            assert len(told) == size
            return told

    peer = read_local_peer(Told())
    assert str(peer) == "uid 4000000000 (pid 42)"
