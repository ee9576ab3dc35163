"""What a worker listens on: each listener as often as connections are to be taken from it in one turn."""

import socket

import pytest

from shim.server import run
from tests.fakes.descriptors import none_left

ANY = ("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("loops", "often"), [(None, 1), (object(), run.TAKEN_AT_ONCE)], ids=["own", "uvloop"]
)
def test_the_handles_of_listeners(monkeypatch, loops, often):
    monkeypatch.setattr(run, "uvloop", loops)
    with none_left(), socket.create_server(ANY) as one, socket.create_server(ANY) as other:
        names = [one.getsockname(), other.getsockname()]
        handles = run._handles([one, other])
        assert [handle.getsockname() for handle in handles] == [name for name in names for _ in range(often)]
        assert (handles[0], handles[often]) == (one, other)
        assert len({handle.fileno() for handle in handles}) == 2 * often
        for handle in handles:
            handle.close()
