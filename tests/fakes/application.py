"""WSGI applications in this process, as tests need them: held where a test wants, and gone at the end.

``Gate`` is where an application waits until a test lets it go on; ``serving`` makes the server, and sees
to it that no thread is left.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from wsgiref.validate import validator

import pytest

from shim.spool.body import Body
from shim.spool.disk import LocalDisk
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.application import ApplicationServer
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from tests.fakes.loops import run

ADDRESS = parse_upstream("wsgi:tests.made:application")
SOON = 0.02
LAST_RESORT = 30
"""Seconds after which a thread that should go on has failed the test."""
PLAIN = [("Content-Type", "text/plain")]
MEMORY = 1000
"""Bytes of a spooled body that stay in memory."""


class Timeouts(UpstreamTimeouts):
    """Patient, but for what a test names."""

    def __init__(self, *, line=UNLIMITED, head=UNLIMITED, idle=UNLIMITED):
        super().__init__(response_idle=idle)
        object.__setattr__(self, "_limits", (line, head))
        object.__setattr__(self, "_asked", [])

    def response_for(self, length):
        """First it is asked for the wait in line, then for the one for the head."""
        self._asked.append(length)
        return self._limits[len(self._asked) > 1]


class Gate:
    """Where an application stops until it may go on; both sides know where the other is."""

    def __init__(self):
        self._reached = threading.Event()
        self._open = threading.Event()

    def wait(self):
        """On the application's thread."""
        self._reached.set()
        assert self._open.wait(LAST_RESORT), "the test never opened the gate"

    async def reached(self):
        """In the test: the application stands here."""
        assert await asyncio.to_thread(self._reached.wait, LAST_RESORT), "the application never came here"

    def open(self):
        """Let the application go on."""
        self._open.set()


class Seen:
    """Something that threads set and tests wait for."""

    def __init__(self):
        self._event = threading.Event()
        self.value = None

    def set(self, value=None):
        """It has happened."""
        self.value = value
        self._event.set()

    async def wait(self):
        """Until it has happened; with what."""
        assert await asyncio.to_thread(self._event.wait, LAST_RESORT), "it never happened"
        return self.value

    @property
    def has_happened(self):
        """Up to now."""
        return self._event.is_set()


def threads():
    """The threads of application servers that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("application-")]


@contextlib.contextmanager
def serving(application, *, most=2, timeouts=None, valid=True) -> Iterator[ApplicationServer]:
    """A server of one application, which the standard library's validator watches if it is valid."""
    watched = validator(application) if valid else application
    server = ApplicationServer(ADDRESS, watched, timeouts or Timeouts(), threads=most)
    try:
        yield server
    finally:
        server._threads.close()
        for thread in threads():
            thread.join(LAST_RESORT)
        assert not threads()
    assert server.inflight == 0


def request(method="GET", target=b"/", *headers, body=None, **more):
    """A request; ``headers`` come after its Host."""
    return UpstreamRequest(method, target, [(b"host", b"glance"), *headers], body, **more)


class Exchange:
    """One exchange as a task of its own, with what came of it."""

    def __init__(self, server, message=None, *, relay=None):
        self.phases = []
        self.status = None
        self.reason = None
        self.headers = None
        self.is_complete = False
        self.body = b""
        self._relay = relay
        self.task = asyncio.ensure_future(self._run(server, message or request()))

    async def _run(self, server, message):
        async with server.exchange(message, interim=_no_interim, enter=self.phases.append) as response:
            self.status, self.reason = response.status, response.reason
            self.headers = response.headers
            async with contextlib.aclosing(response.pieces()) as pieces:
                async for piece in pieces:
                    self.body += piece
                    if self._relay:
                        await self._relay()
            self.is_complete = response.is_complete

    async def cancel(self):
        """Give it up, as for a client that has left."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        assert self.task.cancelled()


async def ask(server, message=None):
    """A whole exchange."""
    made = Exchange(server, message)
    await made.task
    return made


async def _no_interim(_head):
    raise AssertionError("PEP 3333 knows no interim answers")


async def rest(server):
    """Until no call is under way any more; a thread is told nothing of the loop, so the loop looks."""
    while server.inflight:
        await asyncio.sleep(0)


def ends(scene, application, *, run=run, **options):
    """Run a scene with a server of an application; at its end no call, thread or descriptor is left."""

    async def whole():
        with serving(application, **options) as server:
            return await scene(server)

    return run(whole())


def answering(*pieces, status="200 OK", headers=()):
    """An application that answers with these pieces."""

    def application(_environ, start_response):
        start_response(status, [*PLAIN, *headers])
        return list(pieces)

    return application


def get_answer(application, message=None, **options):
    return ends(lambda server: ask(server, message), application, **options)


def get_error(application, error, message=None, **options):
    """What asking fails with, and what had come before."""

    async def scene(server):
        made = Exchange(server, message)
        with pytest.raises(error) as raised:
            await made.task
        return raised.value, made

    return ends(scene, application, **{"valid": False, **options})


class Iterable:
    """Pieces with a ``close``, that tells of it; a piece may be an error."""

    def __init__(self, *pieces, on_close=None):
        self.pieces = list(pieces)
        self.closed = []
        self.on_close = on_close

    def __call__(self, _environ, start_response):
        start_response("200 OK", PLAIN)
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece() if callable(piece) else piece

    def close(self):
        self.closed.append(list(self.pieces))
        if self.on_close:
            self.on_close()


class Spool:
    """Sealed bodies on a real disk; at the end of the block all are closed."""

    def __init__(self, folder):
        self.disk = LocalDisk(folder)
        self.bodies = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for body in self.bodies:
            await body.close()
        self.disk.close()

    async def body(self, data):
        body = Body(self.disk.create, memory_limit=MEMORY)
        self.bodies.append(body)
        await body.append(data)
        await body.seal()
        return body


def with_spool(tmp_path, scene):
    """A scene that gets a spool before its server."""

    async def whole(server):
        async with Spool(tmp_path) as spool:
            return await scene(server, spool)

    return whole


def upload(body):
    return request("PUT", b"/v2/images/1/file", body=body)
