"""A client's connection to our server class over a ``FakeTransport``, and small applications to answer it."""

import asyncio
import http.client
import io
from dataclasses import dataclass
from types import SimpleNamespace

from uvicorn.server import ServerState

from shim.asgi import inbound_of
from shim.server.connection_options import ConnectionOptions
from shim.server.protocol import ClientConnection
from tests.fakes.loops import let_others_run
from tests.fakes.transport import FakeTransport


class Session:
    """One connection; ``transport`` is the client's side of it."""

    def __init__(self, application, *, server=None, takes=None, can_half_close=True, gate=None, **options):
        self.server = server or ServerState()
        self.transport = FakeTransport(takes=takes, can_half_close=can_half_close)
        self.connection = ClientConnection(
            SimpleNamespace(loaded_app=application),
            self.server,
            {"kept": "for all"},
            options=ConnectionOptions(**options),
            gate=gate,
        )
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)

    async def send(self, *pieces):
        """Bytes of the client arrive, and are dealt with."""
        for piece in pieces:
            self.transport.arrive(piece)
            await let_others_run()

    async def end(self):
        """The client leaves, and whatever runs for it ends."""
        self.transport.leave()
        await let_others_run(30)
        if self.server.tasks:
            await asyncio.wait(set(self.server.tasks))
        assert self.connection not in self.server.connections

    @property
    def received(self):
        """What the client got so far."""
        return self.transport.received

    def answers(self, *methods):
        """The answers to requests of these methods; each must be whole, and nothing follow them."""
        return read_answers(self.received, *methods)


@dataclass(frozen=True)
class HttpAnswer:
    """An answer as Python's own client reads it."""

    status: int
    headers: dict
    body: bytes


class _Socket(io.BytesIO):
    def makefile(self, _mode):
        return self

    def close(self):
        """Stay open for the next answer."""


def read_answers(data, *methods):
    """Parse answers one after the other; IncompleteRead where one is cut."""
    connection = _Socket(data)
    answers = []
    for method in methods:
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        body = response.read()
        fields = {name.lower(): value for name, value in response.getheaders()}
        answers.append(HttpAnswer(response.status, fields, body))
    rest = connection.read()
    assert rest == b"", "bytes after the last answer"
    return answers


async def answer_with(send, body=b"ok", status=200, headers=None):
    """A whole answer with its length."""
    headers = [(b"content-length", b"%d" % len(body))] if headers is None else headers
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Echo:
    """Answers each request with its method, target and body; refused ones with their error's code and 400.

    Args:
        before: Waited for before the body is asked for.
    """

    def __init__(self, before=None):
        self.before = before
        self.scopes = []
        self.messages = []
        self.errors = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        refusal = inbound_of(scope).refusal
        if refusal is not None:
            await answer_with(send, refusal.code.encode(), 400)
            return
        if self.before is not None:
            await self.before.wait()
        try:
            body = await self._body(receive)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors.append(error)
            await answer_with(send, error.code.encode(), 400)
            return
        if body is not None:
            target = inbound_of(scope).target
            await answer_with(send, b"%b %b %b" % (scope["method"].encode(), target, body))

    async def _body(self, receive):
        body = b""
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            if not message["more_body"]:
                return body
