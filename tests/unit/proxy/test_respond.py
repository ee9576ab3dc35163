"""Relaying an answer: the head without what belongs to one hop, the body piece by piece, and no way back."""

import asyncio

import pytest

from shim.errors import UpstreamClosed
from shim.observe.journal import Record
from shim.proxy.request import Answer
from shim.proxy.respond import relay, relay_hints
from shim.wire.framing import CHUNKED, NOTHING, UNTIL_CLOSE, BodyKind, Framing
from shim.wire.http1 import ResponseHead
from tests.fakes.client import FakeClient
from tests.support.series import series


class FakeResponse:
    """An upstream's answer: a head, and a body that may break off."""

    def __init__(self, *pieces, status=200, headers=(), framing=UNTIL_CLOSE, whole=None):
        self.status = status
        self.headers = headers
        self.framing = framing
        self.closed = whole is not None
        self.is_complete = False
        self._pieces = pieces
        self._whole = whole

    def take_whole(self):
        return self._whole

    async def pieces(self):
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed = True


def run_relay(response, error=None):
    """Relay an answer; the client that got it, and the record of it."""

    async def scene():
        client = FakeClient()
        record = Record("req-1", "GET", "/", "192.0.2.7", 0.0)
        if error is None:
            await relay(response, Answer(client.send), record)
        else:
            with pytest.raises(error):
                await relay(response, Answer(client.send), record)
        assert response.closed
        return client, record

    return asyncio.run(scene())


def test_a_whole_answer():
    client, record = run_relay(FakeResponse(b"foo", memoryview(b"bar"), status=203))
    assert (client.status, client.body, client.is_answered) == (203, b"foobar", True)
    assert (record.status, record.sent) == (203, 6)


@pytest.mark.parametrize("body", [b"", b"foobar"])
def test_an_answer_that_is_whole_when_its_head_is_there(body):
    client, record = run_relay(FakeResponse(status=203, whole=body))
    assert (client.status, client.body, client.is_answered) == (203, body, True)
    assert (record.status, record.sent) == (203, len(body))
    assert len(client.sent) == 2


def test_an_answer_that_breaks_off_has_no_end():
    client, record = run_relay(FakeResponse(b"foo", UpstreamClosed("closed")), UpstreamClosed)
    assert (client.status, client.body, client.is_answered) == (200, b"foo", False)
    assert (record.status, record.sent) == (200, 3)


LENGTH = (b"content-length", b"5")
OWN_ID = (b"x-openstack-request-id", b"req-1")


@series(
    ("status", "headers", "framing", "relayed"),
    [
        (200, (LENGTH,), Framing(BodyKind.LENGTH, 5), [LENGTH, OWN_ID]),
        (200, ((b"transfer-encoding", b"chunked"),), CHUNKED, [OWN_ID]),
        # RFC 9110 section 8.6: no length with a 204; with a 304 it speaks of another answer.
        (204, (LENGTH,), NOTHING, [OWN_ID]),
        (304, (LENGTH,), NOTHING, [LENGTH, OWN_ID]),
        (
            200,
            ((b"x-openstack-request-id", b"req-2"),),
            UNTIL_CLOSE,
            [(b"x-openstack-request-id", b"req-2")],
        ),
        (
            200,
            ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")),
            UNTIL_CLOSE,
            [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), OWN_ID],
        ),
        (
            200,
            (
                (b"connection", b"close, x-hop"),
                (b"x-hop", b"1"),
                (b"keep-alive", b"timeout=5"),
                (b"upgrade", b"h2c"),
                (b"trailer", b"x-sum"),
                (b"proxy-authenticate", b"Basic"),
                (b"www-authenticate", b"Keystone"),
            ),
            UNTIL_CLOSE,
            [(b"www-authenticate", b"Keystone"), OWN_ID],
        ),
    ],
)
def test_the_head(status, headers, framing, relayed):
    client, _ = run_relay(FakeResponse(status=status, headers=headers, framing=framing))
    assert client.sent[0] == {"type": "http.response.start", "status": status, "headers": relayed}


@series(
    ("theirs", "noted"),
    [
        (None, ""),
        (b"req-1", ""),
        (b"req-2", "req-2"),
        (b"\xffreq", "\\xffreq"),
        (b"x" * 5000, "x" * 128),
    ],
)
def test_the_upstreams_own_id_is_noted(theirs, noted):
    headers = () if theirs is None else ((b"x-openstack-request-id", theirs),)
    _, record = run_relay(FakeResponse(headers=headers))
    assert record.upstream_request_id == noted


@pytest.mark.parametrize(
    ("status", "headers", "links"),
    [
        (103, ((b"link", b"</a>"), (b"x", b"1"), (b"link", b"</b>")), [b"</a>", b"</b>"]),
        (103, ((b"x", b"1"),), None),
        (102, ((b"link", b"</a>"),), None),
    ],
)
def test_hints(status, headers, links):
    client = FakeClient()
    asyncio.run(relay_hints(ResponseHead(status, b"", "1.1", headers), Answer(client.send)))
    assert client.sent == ([] if links is None else [{"type": "http.response.early_hint", "links": links}])
