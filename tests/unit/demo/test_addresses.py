"""Free ports, socket paths, and the wait for a server's first answer."""

import contextlib
import socket
import sys
import threading

import pytest

from shim.demo import DemoError, PortTakenError
from shim.demo.addresses import (
    answers,
    free_port,
    remove_socket,
    socket_path,
    start_on_free_port,
    wait_until,
)
from shim.demo.processes import Process
from tests.support.series import series


@contextlib.contextmanager
def serve_once(family, address, answer):
    """A server that answers one connection; yields what it is bound to."""
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()

        def run():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()
        thread.join(10)


def test_a_free_port_can_be_bound():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_short_socket_path_stays_in_its_directory(tmp_path):
    assert socket_path(tmp_path, "a.sock") == tmp_path / "a.sock"


def test_a_long_socket_path_gets_a_directory_of_its_own_for_a_while(tmp_path):
    path = socket_path(tmp_path / ("long" * 30), "a.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    remove_socket(path)
    assert not path.parent.exists()
    remove_socket(path)


@pytest.mark.parametrize(("status", "answered"), [(b"200 OK", True), (b"503 Busy", False)])
def test_http_on_a_unix_socket_answers(tmp_path, status, answered):
    path = socket_path(tmp_path, "http.sock")
    answer = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status
    with serve_once(socket.AF_UNIX, str(path), answer):
        assert answers(f"http+unix://{path}") is answered
    remove_socket(path)
    assert not answers(f"http+unix://{path}")


@series(
    ("answer", "answered"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", False),
        (b"nonsense\r\n\r\n", False),
        (b"", False),
    ],
)
def test_an_http_server_answers_with_200(answer, answered):
    with serve_once(socket.AF_INET, ("127.0.0.1", 0), answer) as (host, port):
        assert answers(f"http://{host}:{port}") is answered


@pytest.mark.parametrize(
    ("answer", "answered"), [(b"\x64\x00\x00\x01", True), (b"HTTP", False), (b"", False)]
)
def test_a_uwsgi_server_answers_a_ping(tmp_path, answer, answered):
    path = str(tmp_path / "a.sock")
    with serve_once(socket.AF_UNIX, path, answer):
        assert answers(f"uwsgi+unix://{path}") is answered
    with serve_once(socket.AF_INET, ("127.0.0.1", 0), answer) as (host, port):
        assert answers(f"uwsgi://{host}:{port}") is answered


@pytest.mark.parametrize("scheme", ["http", "uwsgi"])
def test_nobody_there_is_no_answer(scheme):
    assert not answers(f"{scheme}://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            "probably another instance of uWSGI is running on the same address: Address already in use",
            PortTakenError,
        ),
        ("[ERROR] Connection in use: ('127.0.0.1', 8000)", PortTakenError),
        ("no module named glance", DemoError),
    ],
)
def test_a_server_that_ends_is_told_with_its_last_words(tmp_path, words, error):
    with (
        Process.start([sys.executable, "-c", f"exit({words!r})"], log=tmp_path / "log") as process,
        pytest.raises(DemoError, match="ended with status 1") as caught,
    ):
        wait_until(lambda: False, process, name="server", limit=20)
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_a_server_that_is_silent_for_too_long_is_told(tmp_path):
    with (
        Process.start([sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log") as process,
        pytest.raises(DemoError, match="no answer within"),
    ):
        wait_until(lambda: False, process, name="server", limit=0.2)


@pytest.mark.parametrize(("failures", "result"), [(0, "started"), (2, "started"), (3, None)])
def test_a_taken_port_is_tried_again(failures, result):
    attempts = [PortTakenError("taken")] * failures + [None]

    def start():
        if error := attempts.pop(0):
            raise error
        return "started"

    if result:
        assert start_on_free_port(start) == result
    else:
        with pytest.raises(PortTakenError):
            start_on_free_port(start)
