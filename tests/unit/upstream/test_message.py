"""Requests as servers get them, and how long a server may take."""

import asyncio

import pytest

from shim.errors import HeadTooLarge
from shim.upstream.address import Protocol
from shim.upstream.message import BytesBody, UpstreamRequest, UpstreamTimeouts
from tests.support.series import series

FIELDS = [(b"host", b"glance"), (b"x-auth-token", b"t")]


@pytest.mark.parametrize(
    ("method", "body", "keep_alive", "head"),
    [
        ("GET", None, True, b"GET /v2?a=%2F HTTP/1.1\r\nhost: glance\r\nx-auth-token: t\r\n\r\n"),
        (
            "GET",
            None,
            False,
            b"GET /v2?a=%2F HTTP/1.1\r\nhost: glance\r\nx-auth-token: t\r\nconnection: close\r\n\r\n",
        ),
        (
            "PUT",
            b"foobar",
            True,
            b"PUT /v2?a=%2F HTTP/1.1\r\nhost: glance\r\nx-auth-token: t\r\ncontent-length: 6\r\n\r\n",
        ),
        (
            "POST",
            b"",
            True,
            b"POST /v2?a=%2F HTTP/1.1\r\nhost: glance\r\nx-auth-token: t\r\ncontent-length: 0\r\n\r\n",
        ),
    ],
    ids=["GET", "GET once", "body", "empty body"],
)
def test_an_http_head(method, body, keep_alive, head):
    source = None if body is None else BytesBody(body)
    request = UpstreamRequest(method, b"/v2?a=%2F", FIELDS, source)
    assert request.encode_head(Protocol.HTTP, keep_alive=keep_alive) == head


def variables_of(packet):
    """A uwsgi packet's variables."""
    size = int.from_bytes(packet[1:3], "little")
    assert len(packet) == 4 + size
    parts = []
    position = 4
    while position < len(packet):
        length = int.from_bytes(packet[position : position + 2], "little")
        parts.append(packet[position + 2 : position + 2 + length])
        position += 2 + length
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_a_uwsgi_head():
    request = UpstreamRequest(
        "PUT", b"/image/v2?a", FIELDS, BytesBody(b"foobar"), mount="/image", remote="192.0.2.7"
    )
    variables = variables_of(request.encode_head(Protocol.UWSGI, keep_alive=True))
    assert variables[b"CONTENT_LENGTH"] == b"6"
    assert variables[b"SCRIPT_NAME"] == b"/image"
    assert variables[b"PATH_INFO"] == b"/v2"
    assert variables[b"REMOTE_ADDR"] == b"192.0.2.7"
    assert variables[b"HTTP_X_AUTH_TOKEN"] == b"t"
    assert b"HTTP_CONNECTION" not in variables


def test_a_uwsgi_head_without_a_body_has_no_length():
    variables = variables_of(UpstreamRequest("GET", b"/", []).encode_head(Protocol.UWSGI, keep_alive=False))
    assert b"CONTENT_LENGTH" not in variables
    assert variables[b"SCRIPT_NAME"] == b""


def test_a_head_too_large_for_the_packet():
    request = UpstreamRequest("GET", b"/", [(b"x-large", b"x" * 65536)])
    assert len(request.encode_head(Protocol.HTTP, keep_alive=True)) > 65536
    with pytest.raises(HeadTooLarge):
        request.encode_head(Protocol.UWSGI, keep_alive=True)


@series(
    ("method", "body", "repeatable"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("OPTIONS", None, True),
        ("GET", b"", False),
        ("POST", None, False),
        ("PUT", b"x", False),
        ("DELETE", None, False),
        ("PATCH", b"x", False),
        ("get", None, False),
    ],
)
def test_what_may_be_repeated(method, body, repeatable):
    request = UpstreamRequest(method, b"/", [], None if body is None else BytesBody(body))
    assert request.is_repeatable is repeatable
    assert request.length == (None if body is None else len(body))


@pytest.mark.parametrize(
    ("given", "length", "seconds"),
    [
        (None, None, 600),
        (None, 0, 600),
        (None, 20 * 1024 * 1024, 601),
        (None, 12_000 * 20 * 1024 * 1024, 12_600),
        (30.0, 12_000 * 20 * 1024 * 1024, 30),
        (0.0, None, 0),
    ],
)
def test_the_time_to_an_answer(given, length, seconds):
    assert UpstreamTimeouts(response=given).response_for(length) == seconds


@series(("offset", "most", "piece"), [(0, 2, b"ab"), (2, 9, b"cd"), (4, 1, b""), (9, 1, b"")])
def test_bytes_are_a_body(offset, most, piece):
    body = BytesBody(b"abcd")
    assert body.length == 4
    assert asyncio.run(body.read(offset, most)) == piece
