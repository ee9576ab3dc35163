"""Listening sockets as the operator asked for them, and words for every reason why one cannot be had."""

import contextlib
import errno
import os
import socket
import stat
import threading

import pytest

from shim.server.addresses import InheritedSocket, TcpAddress, UnixAddress
from shim.server.listen import ListenFailed, ListenOptions, place_of
from shim.server.sockets import Sockets
from tests.fakes.descriptors import none_left
from tests.support.series import series

LOCAL = TcpAddress("127.0.0.1", 0)


@contextlib.contextmanager
def open_listeners(addresses, mode, *, reuse_port=False):
    """Listening sockets for all addresses, for the time of the block."""
    with contextlib.closing(Sockets()) as sockets:
        sockets.open(addresses, ListenOptions(mode, reuse_port))
        yield sockets.listeners(addresses)


@pytest.fixture(autouse=True)
def no_descriptor_left():
    with none_left():
        yield


def refused(addresses, mode=0o660):
    """Why these addresses cannot be listened on."""
    with pytest.raises(ListenFailed) as fault, open_listeners(addresses, mode):
        pass
    return str(fault.value)


def has_v6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def check_takes_connections(listener):
    with socket.socket(listener.family) as client:
        client.settimeout(5)
        client.connect(listener.getsockname())
        listener.settimeout(5)
        listener.accept()[0].close()


# -- TCP ------------------------------------------------------------------------------------------


@series("host", ["127.0.0.1", "localhost", "::1", "::"])
def test_tcp(host):
    if ":" in host and not has_v6():
        pytest.skip("this machine has no IPv6 loopback")
    with open_listeners([TcpAddress(host, 0)], 0o660) as (listener,):
        assert not listener.getblocking()
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert place_of(listener).rsplit(":", 1)[1] == str(listener.getsockname()[1])
        if listener.family == socket.AF_INET6:
            # Otherwise [::]:PORT and 0.0.0.0:PORT could not both be given.
            assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            assert place_of(listener).startswith("[::")
        if host != "::":
            check_takes_connections(listener)
    assert listener.fileno() == -1


def test_a_port_is_free_again_at_once():
    with open_listeners([LOCAL], 0o660) as (listener,):
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.settimeout(5)
            listener.accept()[0].close()  # the server's side closes first: it is in TIME_WAIT
    with open_listeners([TcpAddress("127.0.0.1", port)], 0o660) as (listener,):
        assert place_of(listener) == f"127.0.0.1:{port}"


def test_several_addresses(tmp_path):
    path = str(tmp_path / "shim.sock")
    with open_listeners([LOCAL, UnixAddress(path), LOCAL], 0o660) as listeners:
        assert len({place_of(listener) for listener in listeners}) == 3
        for listener in listeners:
            check_takes_connections(listener)


def test_no_address():
    with open_listeners([], 0o660) as listeners:
        assert listeners == []


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = refused([TcpAddress("127.0.0.1", port)])
    assert text == (
        f"127.0.0.1:{port}: Address already in use; another process listens there: stop it, or choose "
        "another address"
    )


def test_one_that_fails_gives_back_the_others(tmp_path):
    path = tmp_path / "shim.sock"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = TcpAddress("127.0.0.1", other.getsockname()[1])
        refused([LOCAL, UnixAddress(str(path)), taken])
    assert not path.exists()


def test_an_address_of_another_machine():
    text = refused([TcpAddress("192.0.2.1", 0)])
    assert text.startswith("192.0.2.1:0: Cannot assign requested address")
    assert "this machine does not have that address" in text


def test_a_port_that_is_not_for_everybody(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    text = refused([TcpAddress("127.0.0.1", 80)])
    assert text == (
        "127.0.0.1:80: Permission denied; this user may not listen there: choose a port above 1023, or "
        "another folder"
    )


def test_a_name_that_is_not_known(monkeypatch):
    def look_up(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert refused([TcpAddress("shim.invalid", 80)]) == "shim.invalid:80: Name or service not known"


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_no_resolver_takes(host):
    assert refused([TcpAddress(host, 80)]).startswith(f"{host}:80: ")


# -- unix sockets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666, 0o777])
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_unix_socket_has_its_mode_from_the_first_moment_on(tmp_path, monkeypatch, mode, umask):
    path = tmp_path / "shim.sock"
    modes = []
    really_listen = socket.socket.listen

    def listen(listener, *arguments):
        modes.append(stat.S_IMODE(path.stat().st_mode))
        really_listen(listener, *arguments)

    monkeypatch.setattr(socket.socket, "listen", listen)
    before = os.umask(umask)
    try:
        with open_listeners([UnixAddress(str(path))], mode) as (listener,):
            assert os.umask(umask) == umask, "the process's own is as it was"
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert modes == [mode], "nobody could connect before"
            assert place_of(listener) == f"unix:{path}"
            check_takes_connections(listener)
    finally:
        os.umask(before)
    assert not path.exists()


def leave_behind(path):
    """A socket as a crash leaves it."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_a_socket_left_behind_is_removed(tmp_path):
    path = tmp_path / "shim.sock"
    leave_behind(path)
    with open_listeners([UnixAddress(str(path))], 0o660) as (listener,):
        check_takes_connections(listener)


def test_a_socket_in_use_is_not(tmp_path):
    path = tmp_path / "shim.sock"
    with open_listeners([UnixAddress(str(path))], 0o660) as (listener,):
        text = refused([UnixAddress(str(path))])
        assert text.startswith(f"unix:{path}: Address already in use; another process listens there")
        check_takes_connections_after_probe(listener)
    assert not path.exists()


def check_takes_connections_after_probe(listener):
    """The probe was a connection too, and waits to be accepted."""
    listener.settimeout(5)
    listener.accept()[0].close()
    check_takes_connections(listener)


def test_a_socket_in_use_whose_queue_is_full_is_not_waited_for(tmp_path):
    path = tmp_path / "shim.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(str(path))
        found = []
        asking = threading.Thread(target=lambda: found.append(refused([UnixAddress(str(path))])), daemon=True)
        asking.start()
        asking.join(2)
        still_asks = asking.is_alive()
        for client in clients:
            client.close()
        while still_asks and asking.is_alive():
            busy.accept()[0].close()
            asking.join(0.1)
    assert not still_asks
    assert "Address already in use" in found[0]
    path.unlink()


def test_a_file_in_the_way_is_left_alone(tmp_path):
    path = tmp_path / "shim.sock"
    path.write_text("precious")
    assert refused([UnixAddress(str(path))]) == f"unix:{path}: the path exists and is no socket"
    assert path.read_text() == "precious"


def test_no_folder(tmp_path):
    path = tmp_path / "missing" / "shim.sock"
    assert refused([UnixAddress(str(path))]) == (
        f"unix:{path}: No such file or directory; its folder does not exist"
    )


def test_a_socket_that_is_another_ones_by_now_stays(tmp_path):
    """A drain takes minutes, and the next process may listen at the same path long before its end."""
    path = tmp_path / "shim.sock"
    address = UnixAddress(str(path))
    with open_listeners([address], 0o660) as (old,):
        old.close()  # what uvicorn does first of all when it ends
        successor = open_listeners([address], 0o660)
        (new,) = successor.__enter__()
    try:
        assert path.exists()
        check_takes_connections(new)
    finally:
        successor.__exit__(None, None, None)
    assert not path.exists()


def test_a_socket_that_somebody_removed(tmp_path):
    path = tmp_path / "shim.sock"
    with open_listeners([UnixAddress(str(path))], 0o660):
        path.unlink()
    assert list(tmp_path.iterdir()) == []


# -- inherited ------------------------------------------------------------------------------------


def test_an_inherited_socket():
    with socket.create_server(("127.0.0.1", 0)) as parent:
        with open_listeners([InheritedSocket(parent.fileno())], 0o660) as (listener,):
            assert listener.family == socket.AF_INET
            assert not os.get_inheritable(listener.fileno())
            assert place_of(listener) == place_of(parent)
            check_takes_connections(listener)
        # Only our own copy is closed.
        check_takes_connections(parent)


def test_an_inherited_unix_socket_stays(tmp_path):
    path = tmp_path / "systemd.sock"
    with socket.socket(socket.AF_UNIX) as parent:
        parent.bind(str(path))
        parent.listen()
        with open_listeners([InheritedSocket(parent.fileno())], 0o660) as (listener,):
            assert place_of(listener) == f"unix:{path}"
    assert path.exists()


def test_a_descriptor_that_was_not_passed():
    assert refused([InheritedSocket(999_999)]) == (
        "fd:999999: Bad file descriptor; no descriptor of that number was passed to this process"
    )


def test_a_descriptor_that_is_no_socket(tmp_path):
    with (tmp_path / "file").open("w") as file:
        text = refused([InheritedSocket(file.fileno())])
    assert "Socket operation on non-socket" in text
