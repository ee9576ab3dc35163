"""What ``check`` says of a server: the wrong protocol in its URL, heads that it drops, another mount."""

import asyncio
import contextlib

import pytest

from shim.findings import Level
from shim.upstream.address import parse_upstream
from shim.upstream.diagnosis import HEAD_SIZES, diagnose
from shim.wire.uwsgi import PING
from tests.fakes.loops import run
from tests.fakes.stream import answer
from tests.support.series import series

PONG = b"\x64\x00\x00\x01"
PATIENCE = 0.4


@contextlib.asynccontextmanager
async def server(protocol, *, status=200, longest=1 << 20, silent=False, too_large=None):
    """A server as uWSGI is: silent or cut towards the other protocol, and to heads that are too long."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            writer.write(await reply(reader))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def reply(reader):
        first = await reader.readexactly(4)
        if protocol == "uwsgi":
            if first == PING:
                return PONG
            if first[0] != 0:
                return b""
            head = await reader.readexactly(int.from_bytes(first[1:3], "little"))
        elif first[0] in (0, 0x64):
            await reader.read()
            return b""
        else:
            head = await reader.readuntil(b"\r\n\r\n")
        if silent:
            await reader.read()
        if len(head) > longest:
            return b"" if too_large is None else answer(too_large)
        return answer(status)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    try:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.sleep(0.02)
    finally:
        listening.close()
        await listening.wait_closed()
        if tasks:
            await asyncio.wait(tasks)


def findings(scheme, protocol, *, path=b"/healthcheck", mount="", **options):
    async def scene():
        async with server(protocol, **options) as port:
            url = f"{scheme}://127.0.0.1:{port}"
            found = await diagnose(parse_upstream(url), path, mount=mount, timeout=PATIENCE)
            return [(finding.level, finding.text.replace(str(port), "PORT")) for finding in found]

    return run(scene())


@pytest.mark.parametrize(
    ("protocol", "text"), [("uwsgi", "answers the ping"), ("http", "answers the health check with 200")]
)
def test_a_server_as_it_should_be(protocol, text):
    assert findings(protocol, protocol) == [(Level.FINE, text)]


def test_an_http_socket_spoken_to_as_uwsgi():
    ((level, text),) = findings("uwsgi", "http")
    assert level is Level.FAULT
    assert "speaks HTTP here" in text
    assert text.endswith("write http://127.0.0.1:PORT instead")


@pytest.mark.parametrize("path", [b"/healthcheck", None])
def test_a_uwsgi_socket_spoken_to_as_http(path):
    ((level, text),) = findings("http", "uwsgi", path=path)
    assert level is Level.FAULT
    assert "speaks the uwsgi protocol here" in text
    assert text.endswith("write uwsgi://127.0.0.1:PORT instead")


@series("protocol", ["uwsgi", "http"])
@series("size", HEAD_SIZES)
def test_a_head_that_is_dropped(protocol, size):
    first, (level, text) = findings(protocol, protocol, longest=size)
    assert first[0] is Level.FINE
    assert level is Level.WARNING
    assert f"head has {size // 1024} KiB" in text
    assert "buffer-size = 65535" in text


def test_a_head_that_is_refused():
    _, (level, text) = findings("http", "http", longest=6000, too_large=431)
    assert level is Level.WARNING
    assert text.startswith("refuses a head of 15 KiB with 431")


@pytest.mark.parametrize(("mount", "told"), [("", "no mount is set"), ("/image", "under the mount '/image'")])
def test_a_service_that_is_not_there(mount, told):
    found = findings("uwsgi", "uwsgi", status=404, mount=mount)
    (text,) = [text for level, text in found if level is Level.WARNING]
    assert text.startswith("answers 404 to /healthcheck")
    assert told in text


def test_a_busy_server_is_asked_nothing_more():
    ((level, text),) = findings("http", "http", silent=True)
    assert level is Level.FINE
    assert "busy" in text


def test_an_application_behind_a_ping_that_does_not_answer():
    first, (level, text), *_ = findings("uwsgi", "uwsgi", silent=True)
    assert first == (Level.FINE, "answers the ping")
    assert level is Level.WARNING
    assert text.startswith("health check: ")


def test_nobody_there():
    async def scene():
        async with server("http") as port:
            pass
        return await diagnose(parse_upstream(f"http://127.0.0.1:{port}"), b"/", timeout=PATIENCE)

    (found,) = run(scene())
    assert found.level is Level.FAULT
    assert "refused. Is it running" in found.text


def test_where_nothing_is_known_to_answer_heads_are_not_tried():
    assert findings("http", "http", path=None, longest=10) == [(Level.FINE, "takes connections")]
