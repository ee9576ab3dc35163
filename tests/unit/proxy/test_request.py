"""A client's request and answer as values: what a head declares, what it expects, and the answer's order."""

import asyncio
import hashlib
from base64 import b64encode

import pytest

from shim.errors import BadFraming, BadRequest, DigestMismatch, ExpectationFailed, SizeMismatch
from shim.proxy.request import Answer, ClientRequest
from shim.wire.framing import CHUNKED, NOTHING, BodyKind, Framing
from shim.wire.peer import Peer
from tests.fakes.client import FakeClient
from tests.support.series import series


def request_of(headers=(), framing=NOTHING, *, target=b"/", http_version="1.1"):
    return ClientRequest(
        id="req-1",
        method="PUT",
        target=target,
        http_version=http_version,
        headers=headers,
        framing=framing,
        peer=Peer(None, "http"),
        client="unix",
        server=("localhost", None),
        receive=FakeClient().receive,
    )


def sized(size):
    return Framing(BodyKind.LENGTH, size)


def image_size(*values):
    return tuple((b"x-openstack-image-size", value) for value in values)


@series(
    ("headers", "framing", "declared"),
    [
        ((), NOTHING, None),
        ((), CHUNKED, None),
        ((), sized(0), 0),
        ((), sized(6), 6),
        (image_size(b"6"), CHUNKED, 6),
        (image_size(b"6"), sized(6), 6),
        (image_size(b"006"), sized(6), 6),
        # Glance takes 0 for "unknown".
        (image_size(b"0"), CHUNKED, None),
        (image_size(b"0"), sized(6), 6),
        (image_size(b"6"), sized(5), SizeMismatch),
        (image_size(b"6"), sized(0), SizeMismatch),
        (image_size(b"6"), NOTHING, SizeMismatch),
        (image_size(b"0"), NOTHING, None),
        (image_size(b"6", b"6"), CHUNKED, BadFraming),
        (image_size(b"6", b"7"), CHUNKED, BadFraming),
        (image_size(b"six"), CHUNKED, BadFraming),
        (image_size(b"-6"), CHUNKED, BadFraming),
        (image_size(b""), CHUNKED, BadFraming),
        (image_size(b"six"), sized(6), BadFraming),
    ],
)
def test_the_declared_length(headers, framing, declared):
    request = request_of(headers, framing)
    if isinstance(declared, type):
        with pytest.raises(declared):
            request.declared_length()
    else:
        assert request.declared_length() == declared


def sha256(data):
    return ((b"content-digest", b"sha-256=:%b:" % b64encode(hashlib.sha256(data).digest())),)


@series(
    ("headers", "framing", "outcome"),
    [
        ((), CHUNKED, None),
        (image_size(b"6"), NOTHING, None),
        (sha256(b"foobar"), CHUNKED, "<BodyDigest sha-256>"),
        (sha256(b"foobar"), sized(6), "<BodyDigest sha-256>"),
        # What is known of an empty body is known from its head.
        (sha256(b"foobar"), sized(0), DigestMismatch),
        (sha256(b"foobar"), NOTHING, DigestMismatch),
        (sha256(b""), sized(0), "<BodyDigest sha-256>"),
        (sha256(b""), NOTHING, "<BodyDigest sha-256>"),
        (((b"content-digest", b"sha-256=1"),), CHUNKED, BadRequest),
        (((b"content-md5", b"1"),), NOTHING, BadRequest),
    ],
)
def test_the_declared_digest(headers, framing, outcome):
    request = request_of(headers, framing)
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            request.declared_digest()
    else:
        digest = request.declared_digest()
        assert (digest and repr(digest)) == outcome


@series(
    ("values", "http_version", "fails"),
    [
        ([], "1.1", False),
        ([b"100-continue"], "1.1", False),
        ([b"100-Continue"], "1.1", False),
        ([b"100-continue", b"100-continue"], "1.1", False),
        ([b"200-ok"], "1.1", True),
        ([b"100-continue", b"200-ok"], "1.1", True),
        ([b"100-continue, 200-ok"], "1.1", True),
        ([b""], "1.1", True),
        ([b"200-ok"], "1.0", False),
        ([b"200-ok"], "2", True),
    ],
)
def test_the_expectation(values, http_version, fails):
    request = request_of(tuple((b"expect", value) for value in values), http_version=http_version)
    if fails:
        with pytest.raises(ExpectationFailed):
            request.check_expectation()
    else:
        request.check_expectation()


@series(
    ("target", "path"),
    [(b"/a%2Fb?c?d", b"/a%2Fb"), (b"/a?", b"/a"), (b"/", b"/"), (b"*", b"*"), (b"?x", b"")],
)
def test_the_raw_path(target, path):
    assert request_of(target=target).raw_path == path


def test_an_answer_in_its_order():
    async def scene():
        client = FakeClient()
        answer = Answer(client.send)
        await answer.hint([b"</a>"])
        assert not answer.has_begun
        await answer.begin(200, [(b"content-length", b"2")])
        assert answer.has_begun
        await answer.write(memoryview(b"ok"))
        assert not client.is_answered
        await answer.end()
        assert client.is_answered
        assert client.sent == [
            {"type": "http.response.early_hint", "links": [b"</a>"]},
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]},
            {"type": "http.response.body", "body": b"ok", "more_body": True},
            {"type": "http.response.body", "body": b"", "more_body": False},
        ]

    asyncio.run(scene())


def test_an_answer_that_could_not_be_begun_is_not_begun_again():
    """Some of it may be on its way already when ``send`` fails."""

    async def scene():
        client = FakeClient()
        client.send_error = OSError("gone")
        answer = Answer(client.send)
        with pytest.raises(OSError, match="gone"):
            await answer.begin(200, [])
        assert answer.has_begun

    asyncio.run(scene())
