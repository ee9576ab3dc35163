"""Glance as an upload sees it over fakes: servers that tell of images, and the request that asks them."""

import json

from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import BytesBody, UpstreamRequest, UpstreamTimeouts
from shim.upstream.pool import Server
from tests.fakes.loops import loop_time
from tests.fakes.stream import FakeNetwork, FakeStream, answer

TARGET = b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file"
IMAGE = TARGET.removesuffix(b"/file")


def upstream_over(network: FakeNetwork, *, retry: float = 0.0) -> Upstream:
    """An upstream with one server, whose connections the network hands out."""
    timeouts = UpstreamTimeouts(send=60, response=300, response_idle=30)
    server = Server(parse_upstream("http://glance:9292"), timeouts, connect=network.connect, clock=loop_time)
    return Upstream("images", [server], connect_retry=retry, clock=loop_time)


def image_answer(status: str, **fields: object) -> bytes:
    """Glance's answer about an image in a state."""
    content = {"id": "71c675ab", "status": status, "owner": "a-project", **fields}
    return answer(200, json.dumps(content).encode(), b"Connection: close")


def telling(*states: bytes | str) -> list[FakeStream]:
    """A connection for each state that Glance tells in turn; bytes are an answer as it stands."""
    return [FakeStream(state if isinstance(state, bytes) else image_answer(state)) for state in states]


def upload_message(*headers: tuple[bytes, bytes], body: bytes | None = None) -> UpstreamRequest:
    """An upload as it goes up, with the client's token."""
    fields = [(b"host", b"images.example"), (b"x-auth-token", b"secret-of-client"), *headers]
    return UpstreamRequest("PUT", TARGET, fields, body=None if body is None else BytesBody(body))
