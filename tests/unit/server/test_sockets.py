"""The shim's listening sockets over its configurations: what stays keeps its socket, what goes is closed."""

import socket

import pytest

from shim.server.addresses import TcpAddress, UnixAddress
from shim.server.listen import ListenFailed, ListenOptions
from shim.server.sockets import Sockets
from tests.fakes.descriptors import none_left

LOCAL = TcpAddress("127.0.0.1", 0)


@pytest.fixture
def sockets():
    with none_left():
        made = Sockets()
        yield made
        made.close()


def connect(listener):
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    return client


def test_what_stays_keeps_its_socket_and_its_queue(sockets, tmp_path):
    unix = UnixAddress(str(tmp_path / "shim.sock"))
    sockets.open([LOCAL, unix], ListenOptions())
    before = sockets.listeners([LOCAL, unix])
    with connect(before[0]) as waiting:
        sockets.open([unix, LOCAL, LOCAL], ListenOptions())
        sockets.keep_only([unix, LOCAL, LOCAL])
        after = sockets.listeners([unix, LOCAL, LOCAL])
        assert after[:2] == [before[1], before[0]]
        assert after[2] not in before
        waiting.sendall(b"x")
        served, _ = before[0].accept()
        with served:
            assert served.recv(1) == b"x"


def test_what_goes_is_closed(sockets, tmp_path):
    path = tmp_path / "shim.sock"
    addresses = [LOCAL, UnixAddress(str(path))]
    sockets.open(addresses, ListenOptions())
    listeners = sockets.listeners(addresses)
    sockets.keep_only([LOCAL])
    assert [listener.fileno() == -1 for listener in listeners] == [False, True]
    sockets.close()
    assert not path.exists()


def test_the_path_of_one_that_another_process_still_listens_on_stays_until_the_end(sockets, tmp_path):
    path = tmp_path / "shim.sock"
    address = UnixAddress(str(path))
    sockets.open([address], ListenOptions())
    with sockets.listeners([address])[0].dup() as workers_own:
        sockets.keep_only([])
        with connect(workers_own):
            pass
        assert path.exists()
    sockets.close()
    assert not path.exists()


def test_a_failure_leaves_all_as_it_was(sockets):
    sockets.open([LOCAL], ListenOptions())
    before = sockets.listeners([LOCAL])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = TcpAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ListenFailed), none_left():
            sockets.open([LOCAL, LOCAL, refused], ListenOptions())
    assert sockets.listeners([LOCAL]) == before
    with pytest.raises(KeyError):
        sockets.listeners([LOCAL, LOCAL])


def test_places(sockets, tmp_path):
    addresses = [LOCAL, UnixAddress(str(tmp_path / "shim.sock"))]
    # A socket that replaced another one's is called by the name that clients use.
    sockets.open(addresses, ListenOptions(reuse_port=True))
    port = sockets.listeners(addresses)[0].getsockname()[1]
    assert sockets.places(addresses) == [f"127.0.0.1:{port}", f"unix:{tmp_path}/shim.sock"]


def test_two_instances_on_one_address(tmp_path):
    """Both say so; the second takes the unix socket's name, and the first keeps who is in its queue."""
    address = UnixAddress(str(tmp_path / "shim.sock"))
    first, second = Sockets(), Sockets()
    first.open([LOCAL, address], ListenOptions(reuse_port=True))
    tcp, unix = first.listeners([LOCAL, address])
    shared = TcpAddress("127.0.0.1", tcp.getsockname()[1])
    with socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
        early.connect(address.path)
        second.open([shared, address], ListenOptions(reuse_port=True))
        late.connect(address.path)
        unix.accept()[0].close()
        second.listeners([address])[0].accept()[0].close()
        first.close()
        with socket.socket(socket.AF_UNIX) as later:
            later.connect(address.path)
    with pytest.raises(ListenFailed, match="another process listens there"):
        Sockets().open([shared], ListenOptions())
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_not_replaced(tmp_path):
    path = tmp_path / "shim.sock"
    path.write_text("precious")
    with pytest.raises(ListenFailed, match="is no socket"):
        Sockets().open([UnixAddress(str(path))], ListenOptions(reuse_port=True))
    assert path.read_text() == "precious"
