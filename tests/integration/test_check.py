"""``check`` against real servers: it sees the traps that it can see, and says what to set."""

import pytest

from shim.demo.hosting import Kind
from tests.integration.running import check, check_settings, serve_echo

pytestmark = pytest.mark.servers

SPEAKS = {"uwsgi-tcp": "uwsgi", "uwsgi-http-socket": "http", "gunicorn": "http"}


@pytest.fixture(params=SPEAKS)
def kind(request) -> Kind:
    return request.param


def test_the_right_url_and_the_wrong_one(kind, environment, tmp_path):
    right = SPEAKS[kind]
    wrong = {"uwsgi": "http", "http": "uwsgi"}[right]
    with serve_echo(environment, tmp_path, kind) as server:
        place = server.url.partition("://")[2]
        status, output = check(tmp_path, f"{right}://{place}")
        assert status == 0, output
        assert "answers" in output
        warnings = [line for line in output.splitlines() if line.startswith("warning  upstream default")]
        assert ["max_inflight is not known" in line for line in warnings] == [True]
        status, output = check(tmp_path, f"{wrong}://{place}")
        assert status == 1, output
        assert f"write {right}://{place} instead" in output


@pytest.mark.parametrize("kind", ["uwsgi-tcp", "uwsgi-http-socket"], indirect=True)
@pytest.mark.parametrize(("size", "dropped"), [(4096, 5), (32768, 40)])
def test_a_small_buffer_size(kind, size, dropped, environment, tmp_path):
    with serve_echo(environment, tmp_path, kind, arguments=["--buffer-size", str(size)]) as server:
        status, output = check(tmp_path, server.url)
    assert status == 0, output
    assert f"drops a request whose head has {dropped} KiB" in output
    assert "buffer-size = 65535" in output


def test_nobody_there(tmp_path):
    status, output = check(tmp_path, f"uwsgi+unix://{tmp_path}/missing.sock")
    assert status == 1
    told = f"fault    upstream default: uwsgi+unix://{tmp_path}/missing.sock: no connection: No such file"
    assert told in output
    assert "Is it running" in output


def test_the_settings_of_a_uwsgi_on_this_host(environment, tmp_path):
    """Found by its socket, through the kernel and /proc: nothing tells its pid."""
    traps = ["--harakiri", "60", "--socket-timeout", "10"]
    with serve_echo(environment, tmp_path, "uwsgi-unix", arguments=traps) as server:
        status, output = check(tmp_path, server.url)
    assert status == 0, output
    warnings = [line for line in output.splitlines() if line.startswith("warning  upstream default")]
    assert any("harakiri = 60 kills the worker of every image over 2.93 GiB" in line for line in warnings)
    assert any(
        "socket-timeout = 10 is not longer than timeouts.cut_through_stall" in line for line in warnings
    )
    assert "set: harakiri = 2100 in uWSGI's ini" in output


def test_a_hand_off_of_encrypted_bodies(environment, tmp_path):
    with serve_echo(environment, tmp_path, "uwsgi-unix") as server:
        settings = ['body="handoff"', "spool.encryption=true"]
        status, output = check_settings(tmp_path, server.url, *settings)
    assert status == 0, output
    assert "is handed no files: with spool.encryption" in output
    assert "opens spool files" not in output
