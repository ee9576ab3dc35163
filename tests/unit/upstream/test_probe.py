"""Probes against small servers on the loopback interface: up, busy, down, or something else altogether."""

import asyncio
import contextlib
import socket
import sys
import types

import pytest

from shim.errors import NoDescriptor, UpstreamRefused
from shim.upstream.address import parse_upstream
from shim.upstream.health import Health, Sign
from shim.upstream.pool import Server
from shim.upstream.probe import ApplicationProbe, probe
from shim.upstream.question import MOST_BYTES
from tests.fakes.application import PLAIN, Gate, answering, threads
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, run, warm_loops
from tests.fakes.stream import answer
from tests.support.series import series

SOON = 0.4
LATE = 5
PONG = b"\x64\x00\x00\x00"
on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


@pytest.fixture(scope="module", autouse=True)
def loops_are_warm():
    warm_loops()


@pytest.fixture(autouse=True)
def no_descriptor_left(loops_are_warm):
    with none_left():
        yield


@contextlib.asynccontextmanager
async def serving(*script, host="127.0.0.1"):
    """A server that reads, writes each piece of the script, and closes; ``None`` waits for the client's end.

    Gives its place, and what it was asked.
    """
    asked = []
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        asked.append(await reader.read(4096))
        for step in script:
            if step is None:
                await reader.read()
            else:
                writer.write(step)
                await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
        # A client that only connects is gone before the server has noticed it.
        await asyncio.sleep(0.02)
    finally:
        server.close()
        await server.wait_closed()
        if tasks:
            await asyncio.wait(tasks)


def run_probe(run, script, url, *, path=b"/healthcheck", host="127.0.0.1", timeout=LATE):
    """Probe a scripted server; what was found, and what it was asked."""

    async def scene():
        async with serving(*script, host=host) as (port, asked):
            found = await probe(parse_upstream(f"{url}:{port}"), path, timeout=timeout)
        return found, asked

    return run(scene())


UWSGI = [
    ("healthy", [PONG], True, "answers the ping"),
    ("in pieces", [PONG[:1], PONG[1:]], True, "answers the ping"),
    ("with more behind it", [PONG + b"x"], True, "answers the ping"),
    ("closes", [], False, "does not speak the uwsgi protocol"),
    ("closes in the middle", [PONG[:3]], False, "does not speak the uwsgi protocol"),
    ("HTTP", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], False, "does not speak the uwsgi protocol"),
    ("another modifier", [b"\x05\x00\x00\x00"], False, "does not speak the uwsgi protocol"),
]


@on_both_loops
@series(("script", "up", "reason"), [case[1:] for case in UWSGI])
def test_a_ping(run, script, up, reason):
    found, asked = run_probe(run, script, "uwsgi://127.0.0.1")
    assert found.up is up
    assert reason in found.reason
    assert asked == [b"\x64\x00\x00\x00"]


HTTP = [
    ("healthy", [answer(200, b"OK")], True, "answers the health check with 200"),
    ("unknown path", [answer(404, b"no")], True, "answers the health check with 404"),
    ("wants a token", [answer(401, b"no")], True, "answers the health check with 401"),
    ("failing", [answer(503, b"no")], False, "answers the health check with 503"),
    ("broken", [answer(500, b"no")], False, "answers the health check with 500"),
    ("closes", [], False, "without an answer"),
    ("closes in the head", [b"HTTP/1.1 2"], False, "in the middle of its answer's head"),
    ("closes in the body", [answer(200, b"O", framing=b"Content-Length: 2")], False, "middle of its answer"),
    ("no HTTP", [PONG + b"\r\n\r\n"], False, "no valid status line"),
]


@on_both_loops
@series(("script", "up", "reason"), [case[1:] for case in HTTP])
def test_a_health_check(run, script, up, reason):
    found, asked = run_probe(run, script, "http://127.0.0.1")
    assert found.up is up
    assert reason in found.reason
    assert asked[0].startswith(b"GET /healthcheck HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "script", "words"),
    [
        ("uwsgi://127.0.0.1", [None], "no worker answers the ping"),
        ("uwsgi://127.0.0.1", [PONG[:2], None], "no worker answers the ping"),
        ("http://127.0.0.1", [None], "does not answer the health check"),
        ("http://127.0.0.1", [b"HTTP/1.1 2", None], "does not answer the health check"),
        ("http://127.0.0.1", [answer(200, b"O", framing=b"Content-Length: 2"), None], "does not answer"),
    ],
    ids=["uwsgi", "half a pong", "HTTP", "half a head", "half a body"],
)
def test_a_server_that_takes_the_connection_and_does_not_answer_is_busy_and_up(url, script, words):
    found, _ = run_probe(run, script, url, timeout=SOON)
    assert found.up
    assert found.reason.startswith("busy: takes connections, but ")
    assert words in found.reason


def test_an_answer_that_drips_has_an_end():
    """Each byte comes in time, the last one never: the probe ends all the same, and others get their turn."""

    async def scene():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            with contextlib.suppress(OSError):
                # Where it is left with bytes unread its end is a reset, which is no end of what comes.
                while not (reader.at_eof() or writer.is_closing()):
                    writer.write(b"x")
                    await asyncio.sleep(0.02)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            address = parse_upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            async with asyncio.timeout(LATE):
                found = await probe(address, b"/healthcheck", timeout=1)
        return found

    found = run(scene())
    assert found.sign is Sign.BUSY


@on_both_loops
@pytest.mark.parametrize(
    ("reply", "up", "reason"),
    [
        (answer(200, bytes(MOST_BYTES + 1)), False, "more than"),
        (answer(200, b"no gzip", b"Content-Encoding: gzip"), True, "with 200"),
    ],
    ids=["too long", "badly encoded"],
)
def test_answers_that_are_none_to_a_health_check(run, reply, up, reason):
    found, _ = run_probe(run, [reply], "http://127.0.0.1")
    assert found.up is up
    assert reason in found.reason


@on_both_loops
def test_a_health_check_over_ipv6(run):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    found, asked = run_probe(run, [answer(200, b"OK")], "http://[::1]", host="::1")
    assert found == Health(Sign.ANSWERS, "answers the health check with 200")
    assert b"\r\nhost: [::1]:" in asked[0].lower()


def test_a_zone_is_our_own_affair(monkeypatch):
    asked = []

    async def refuse(address, _timeout):
        asked.append(address)
        raise UpstreamRefused("refused")

    monkeypatch.setitem(Server.__init__.__kwdefaults__, "connect", refuse)
    address = parse_upstream("http://[fe80::1%eth0]:9292")
    assert run(probe(address, b"/healthcheck")) == Health(Sign.DOWN, "refused")
    assert asked == [address]


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "uwsgi://10.0.0.1:80"])
@pytest.mark.parametrize("path", [b"/healthcheck", None])
def test_what_we_could_not_even_try(monkeypatch, url, path):
    async def refuse(_address, _timeout):
        raise NoDescriptor("none left")

    monkeypatch.setitem(Server.__init__.__kwdefaults__, "connect", refuse)
    monkeypatch.setattr("shim.upstream.probe.connect", refuse)
    found = run(probe(parse_upstream(url), path))
    assert (found.up, found.sign) == (False, Sign.UNTRIED)


@on_both_loops
def test_connecting_is_enough_where_nothing_is_known(run):
    found, asked = run_probe(run, [None], "http://127.0.0.1", path=None)
    assert found == Health(Sign.IS_THERE, "takes connections")
    assert asked == [b""]


@on_both_loops
@series("scheme", ["http", "uwsgi"])
@series("path", [b"/healthcheck", None])
def test_nobody_listens(run, scheme, path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = parse_upstream(f"{scheme}://127.0.0.1:{bound.getsockname()[1]}")
        found = run(probe(address, path, timeout=LATE))
    assert not found.up
    assert found.reason == f"No connection to {address}: Connection refused."


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "uwsgi"])
def test_a_unix_socket(run, scheme, tmp_path):
    path = tmp_path / "server.sock"
    address = parse_upstream(f"{scheme}+unix://{path}")
    found = run(probe(address, b"/healthcheck", timeout=LATE))
    assert not found.up
    assert "No such file or directory" in found.reason

    async def scene():
        async def serve(reader, writer):
            asked.append(await reader.read(4096))
            writer.write(PONG if scheme == "uwsgi" else answer(200, b"OK"))
            writer.close()

        server = await asyncio.start_unix_server(serve, str(path))
        found = await probe(address, b"/healthcheck", timeout=LATE)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)
        return found

    asked = []
    assert run(scene()).up
    assert scheme == "uwsgi" or b"host: localhost\r\n" in asked[0].lower()


@on_both_loops
def test_a_name_that_no_resolver_takes(run):
    found = run(probe(parse_upstream("http://a..b:80"), b"/healthcheck", timeout=LATE))
    assert not found.up


# -- an application in this process -----------------------------------------------------------------------

INSIDE = parse_upstream("wsgi:made_for_probes:application")


def run_application(run, application, *paths, timeout=LATE):
    """Probe an application again and again; what was found each time. No thread is left."""

    async def scene():
        probe = ApplicationProbe(INSIDE, application, timeout=timeout)
        return [await probe.ask(path) for path in paths]

    found = run(scene())
    for thread in threads():
        thread.join(LATE)
    assert not threads()
    return found


@on_both_loops
@pytest.mark.parametrize(
    ("application", "up", "reason"),
    [
        (answering(b"OK"), True, "answers the health check with 200"),
        (answering(b"no", status="404 Not Found"), True, "answers the health check with 404"),
        (answering(b"no", status="503 Sorry"), False, "answers the health check with 503"),
        (answering(b"O", headers=[("Content-Length", "2")]), False, "ended 1 bytes before its length"),
        (lambda _environ, _start: 1 / 0, False, "ZeroDivisionError: division by zero"),
    ],
    ids=["healthy", "unknown path", "failing", "cut", "raises"],
)
def test_the_health_check_of_an_application(run, application, up, reason):
    for found in run_application(run, application, b"/healthcheck", b"/healthcheck"):
        assert found.up is up
        assert reason in found.reason


def test_what_an_application_is_asked():
    asked = []

    def application(environ, start_response):
        asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["HTTP_HOST"]))
        start_response("200 OK", PLAIN)
        return [b"OK"]

    run_application(run, application, b"/healthcheck")
    assert asked == [("GET", "/healthcheck", "localhost")]


def test_a_loaded_application_is_up_where_nothing_is_known_to_ask():
    assert run_application(run, lambda: 1 / 0, None) == [Health(Sign.IS_THERE, "is loaded")]


def test_a_health_check_that_hangs_holds_one_thread_however_often_it_is_asked():
    def application(_environ, start_response):
        called.append(1)
        gate.wait()
        start_response("200 OK", PLAIN)
        return [b"OK"]

    async def scene():
        probe = ApplicationProbe(INSIDE, application, timeout=0.02)
        found = [await probe.ask(b"/healthcheck") for _ in range(5)]
        while not called:  # a busy machine may begin the thread later than it is given up
            await asyncio.sleep(0.001)
        assert len(threads()) == len(called) == 1
        gate.open()
        return found

    gate, called = Gate(), []
    busy = Health(Sign.BUSY, "busy: is loaded, but does not answer the health check")
    assert run(scene()) == [busy] * 5
    for thread in threads():
        thread.join(LATE)


@pytest.mark.parametrize("path", [b"/healthcheck", None])
def test_an_application_is_loaded_to_be_probed(monkeypatch, path):
    made = types.ModuleType("made_for_probes")
    made.application = answering(b"OK")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    found = run(probe(INSIDE, path))
    for thread in threads():
        thread.join(LATE)
    assert found == (
        Health(Sign.ANSWERS, "answers the health check with 200")
        if path
        else Health(Sign.IS_THERE, "is loaded")
    )


def test_an_application_that_cannot_be_loaded():
    found = run(probe(parse_upstream("wsgi:no_such_module:application"), None))
    assert not found.up
    assert found.reason.startswith(
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert "\n" not in found.reason
