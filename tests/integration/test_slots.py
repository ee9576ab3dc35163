"""Slots of a real uWSGI, found out from its stats server: many uploads wait here, and small calls pass them.

Only order and counts are asserted: the application holds its workers until a test lets them go.
"""

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import Server
from tests.integration.running import WORKERS, check_settings, run_shim, serve_echo
from tests.support.client import Client, chunked, get, put_chunked
from tests.support.shim import Shim, free_port
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
UPLOADS = 20
THREADS = 2
SETTLE = 60.0


@pytest.fixture(scope="module", params=["plain", "http"])
def stats(request) -> str:
    """The address of a stats server, as the shim takes it."""
    place = f"127.0.0.1:{free_port()}"
    return place if request.param == "plain" else f"http://{place}"


@pytest.fixture(scope="module")
def server(environment: Environment, tmp_path_factory, stats: str) -> Iterator[Server]:
    arguments = ["--stats", stats.removeprefix("http://")]
    if stats.startswith("http://"):
        arguments.append("--stats-http")
    folder = tmp_path_factory.mktemp("echo")
    with serve_echo(environment, folder, "uwsgi-unix", THREADS, arguments) as server:
        yield server


def sized(folder: Path, server: Server, stats: str, **settings: object) -> Shim:
    """A shim that asks the stats server."""
    upstream = {"upstreams.main.servers": [server.url], "upstreams.main.stats": stats}
    return run_shim(folder, None, service="none", **upstream, **settings)


def held_uploads(shim: Shim, stack: contextlib.ExitStack, until: Path) -> list[Client]:
    """Uploads that the application does not let go, as many as there may be under way."""
    target = f"/hold?until={urllib.parse.quote(str(until))}"
    clients = [stack.enter_context(Client(("127.0.0.1", shim.port), SETTLE)) for _ in range(UPLOADS)]
    for client in clients:
        client.send(put_chunked(target, chunked(bytes(MIB + 1), MIB)))
    return clients


def test_small_calls_pass_many_uploads(server: Server, stats: str, tmp_path: Path):
    until = tmp_path / "until"
    share = WORKERS * THREADS - 1
    with sized(tmp_path, server, stats) as shim, contextlib.ExitStack() as stack:
        clients = held_uploads(shim, stack, until)
        eventually(
            lambda: shim.metric("uploads", phase="waiting") == UPLOADS - share, "the others wait", SETTLE
        )
        assert shim.metric("upstream_slots", upstream="main") == WORKERS * THREADS
        assert shim.metric("queue_length", upstream="main") == UPLOADS - share
        assert shim.metric("upstream_inflight", upstream="main") == share
        # Each small call goes through the one slot that is left, while every upload is still held.
        for number in range(10):
            with Client(("127.0.0.1", shim.port), SETTLE) as small:
                small.send(get(f"/small/{number}"))
                assert small.answer().status == 200
        assert all(client.silent() for client in clients)
        until.touch()
        assert [client.answer("PUT").status for client in clients] == [200] * UPLOADS
        for client in clients:
            client.close()
        shim.await_rest()
        assert shim.metric("queue_length", upstream="main") == 0
        assert shim.metric("phase_seconds_count", phase="queue") == UPLOADS - share
        assert not shim.complaints()


def test_a_waiting_client_that_leaves_frees_its_place_and_its_spool(
    server: Server, stats: str, tmp_path: Path
):
    until = tmp_path / "until"
    share = WORKERS * THREADS - 1
    with sized(tmp_path, server, stats) as shim, contextlib.ExitStack() as stack:
        clients = held_uploads(shim, stack, until)
        eventually(lambda: shim.metric("queue_length") == UPLOADS - share, "the others wait", SETTLE)
        for client in clients:
            client.reset()
        eventually(lambda: shim.metric("queue_length") == 0, "nobody waits any more", SETTLE)
        until.touch()
        shim.await_rest(SETTLE)
        with Client(("127.0.0.1", shim.port), SETTLE) as client:
            client.send(put_chunked("/after", chunked(bytes(2 * MIB), MIB)))
            assert client.answer("PUT").status == 200


def test_check_tells_the_size(server: Server, stats: str, tmp_path: Path):
    setting = f'upstreams.main={{servers = ["{server.url}"], stats = "{stats}"}}'
    status, output = check_settings(tmp_path, None, setting)
    assert status == 0, output
    assert "ok       upstream main: takes 4 requests at once, 3 of them uploads" in output
    status, output = check_settings(tmp_path, None, setting.replace(stats, f"127.0.0.1:{free_port()}"))
    assert status == 0, output
    assert "warning  upstream main: stats server 127.0.0.1" in output
