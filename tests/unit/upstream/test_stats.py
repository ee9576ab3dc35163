"""uWSGI's stats server: its address as operators write it, what it says, and every way of its failing."""

import asyncio
import contextlib
import json

import pytest

from shim.errors import ResponseTimeout, UpstreamClosed, UpstreamFault, UpstreamInvalid, UpstreamRefused
from shim.upstream import stats
from shim.upstream.stats import count_slots, parse_stats, read_slots
from tests.fakes.loops import run
from tests.support.series import series


def statistics(*workers, **more):
    """What uWSGI 2.0.31 writes, as far as it matters: a list of cores for each worker."""
    found = [
        {
            "id": number,
            "pid": 100 + number,
            "status": status,
            "cores": [{"id": core} for core in range(cores)],
        }
        for number, (status, cores) in enumerate(workers, 1)
    ]
    return json.dumps({"version": "2.0.31", "listen_queue": 0, "workers": found, **more}).encode()


IDLE, BUSY, CHEAP = ("idle", 1), ("busy", 1), ("cheap", 1)


@series(
    ("text", "http", "host", "port", "path"),
    [
        ("127.0.0.1:9191", False, "127.0.0.1", 9191, None),
        ("[::1]:9191", False, "::1", 9191, None),
        ("Stats.example:1", False, "stats.example", 1, None),
        ("/run/stats.sock", False, None, None, "/run/stats.sock"),
        ("http://127.0.0.1:9191", True, "127.0.0.1", 9191, None),
        ("http+unix:///run/stats.sock", True, None, None, "/run/stats.sock"),
    ],
)
def test_addresses(text, http, host, port, path):
    address = parse_stats(text)
    assert (address.http, address.place.host, address.place.port) == (http, host, port)
    assert address.place.socket_path == path
    assert str(address) == text.lower()
    assert parse_stats(str(address)) == address


@series(
    ("text", "message"),
    [
        ("", "'': the host is missing"),
        ("127.0.0.1", "'127.0.0.1': write HOST:PORT"),
        ("127.0.0.1:0", "write HOST:PORT"),
        ("127.0.0.1:70000", "'127.0.0.1:70000': '70000' is not a port"),
        ("/run/", "'/run/': a unix socket has an absolute path"),
        ("https://h:1", "speaks plain HTTP"),
        ("uwsgi://h:1", "speaks plain HTTP"),
        ("http://h:1/stats", "has no path"),
        ("ftp://h:1", "unknown scheme"),
    ],
)
def test_no_addresses(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse_stats(text)


@series(
    ("workers", "expected"),
    [
        ([IDLE], 1),
        ([IDLE, BUSY], 2),
        ([("busy", 4), ("idle", 4)], 8),
        # A cheaped worker is started once the others are busy, a paused one goes on: both are to be counted.
        ([IDLE, CHEAP, CHEAP, ("pause", 1), ("sig10", 1)], 5),
    ],
)
def test_slots_are_the_cores_of_all_workers(workers, expected):
    assert count_slots(statistics(*workers)) == expected


@series(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"3",
        b"null",
        b"\xff",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b'{"workers": []}',
        b'{"workers": 3}',
        b'{"workers": [3]}',
        b'{"workers": [{}]}',
        b'{"workers": [{"cores": 4}]}',
        b'{"workers": [{"cores": []}]}',
        b'{"workers": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_statistics(text):
    with pytest.raises(UpstreamInvalid, match="not uWSGI's statistics"):
        count_slots(text)


# -- asking -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(talk):
    """A stats server on a port of its own; its address."""
    done = asyncio.Event()

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            await done.wait()


def ask(talk, *, http=False, **options):
    async def story():
        async with serving(talk) as place:
            return await read_slots(parse_stats(f"http://{place}" if http else place), **options)

    return run(story())


def test_it_says_all_to_whoever_connects():
    async def talk(_reader, writer):
        text = statistics(IDLE, BUSY)
        writer.write(text[:20])
        await asyncio.sleep(0.01)
        writer.write(text[20:])

    assert ask(talk) == 2


def test_over_http_it_wants_to_be_asked():
    async def talk(reader, writer):
        assert await reader.readuntil(b"\r\n\r\n") == b"GET / HTTP/1.0\r\n\r\n"
        # As uWSGI has it: no length.
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + statistics(IDLE))

    assert ask(talk, http=True) == 1


def test_one_that_says_nothing():
    async def talk(reader, _writer):
        await reader.read()

    with pytest.raises(ResponseTimeout, match=r"within 0\.05 s \(does it speak HTTP"):
        ask(talk, patience=0.05)
    with pytest.raises(ResponseTimeout, match=r"within 0\.05 s\.$"):
        ask(talk, http=True, patience=0.05)


def test_one_that_never_ends(monkeypatch):
    async def talk(_reader, writer):
        while not writer.is_closing():
            writer.write(b" " * 1024)
            await writer.drain()

    monkeypatch.setattr(stats, "MOST_BYTES", 100_000)
    with pytest.raises(UpstreamInvalid, match="more than 100000 bytes"):
        ask(talk)


def test_one_that_breaks_off():
    async def talk(_reader, writer):
        writer.write(statistics(IDLE)[:-5])

    with pytest.raises(UpstreamInvalid):
        ask(talk)


def test_one_that_resets():
    async def talk(_reader, writer):
        writer.write(b"{")
        await writer.drain()
        writer.transport.abort()

    with pytest.raises(UpstreamFault) as raised:
        ask(talk)
    assert isinstance(raised.value, UpstreamClosed | UpstreamInvalid)


def test_nobody_there(tmp_path):
    with pytest.raises(UpstreamRefused):
        run(read_slots(parse_stats(f"{tmp_path}/missing.sock")))
