"""What is fuzzed: functions of bytes that raise nothing, or have found a fault.

The first byte says into how large pieces the others are cut. The same functions run in the normal tests over
seeds and what hypothesis makes of them, and under atheris for as long as one likes.
"""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Sequence

from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shim.errors import BadFraming, HeadTooLarge, ShimError
from shim.wire.chunked import ChunkedDecoder
from shim.wire.forwarding import forwarded_headers
from shim.wire.framing import request_framing
from shim.wire.hops import find_origin, parse_forwarded
from shim.wire.http1 import HeadBuffer, RequestHead, encode_request_head, parse_request_head
from shim.wire.peer import Peer, TrustedProxies, peer_of
from shim.wire.proxy_protocol import BadProxyHeader, ProxyHeader, ProxyHeaderReader
from shim.wire.trace_context import read_trace_context, with_trace_context
from shim.wire.uwsgi import UwsgiRequest, encode_packet, request_variables
from tests.fuzz.readers import (
    End,
    Message,
    Read,
    Reader,
    h11_answers,
    h11_requests,
    httptools_answers,
    httptools_requests,
    our_answers,
    our_requests,
)
from tests.support.stub import VARIABLE_NAME, decode_variables

ID = "req-00000000-0000-4000-8000-000000000001"
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
LOCAL = Peer("192.0.2.1", "http")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
FORBIDDEN = {
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_TYPE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_PROXY",
    "HTTP_EXPECT",
}


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The bytes after the first in pieces, and as one."""
    size, rest = 1 + data[0] if data else 1, data[1:]
    return [rest[start : start + size] for start in range(0, len(rest), size)], rest


# -- messages, beside h11 and httptools -----------------------------------------------------------


def requests(data: bytes) -> None:
    """Requests: where others read them too, they have the same bodies, or ours refuses."""
    pieces, whole = cut(data)
    _compare(pieces, whole, our_requests, (h11_requests, httptools_requests))


def answers(data: bytes) -> None:
    """Answers, the same."""
    pieces, whole = cut(data)
    _compare(pieces, whole, our_answers, (h11_answers, httptools_answers))


def _compare(pieces: Sequence[bytes], whole: bytes, ours: Reader, others: Sequence[Reader]) -> None:
    read = ours([whole])
    in_pieces = ours(pieces)
    assert in_pieces.messages == read.messages, "cutting changes what is read"
    assert in_pieces.end is read.end, "cutting changes the verdict"
    for other in others:
        theirs = other([whole])
        for mine, other_message in zip(read.messages, theirs.messages, strict=False):
            assert _alike(mine, other_message), f"{other.__name__}: {other_message} for {mine}"
        # Where we wait for more of a message nobody may have seen its end.
        if read.end is End.MORE:
            assert len(theirs.messages) <= len(read.messages), f"{other.__name__} reads more: {theirs}"


def _alike(ours: Message, theirs: Message) -> bool:
    # An absolute form is reduced to the path by us alone.
    same_target = theirs.target == ours.target or theirs.target.endswith(ours.target.removeprefix(b"/"))
    return ours.kind == theirs.kind and ours.body == theirs.body and same_target


def chunks(data: bytes) -> None:
    """A chunked body: cutting changes nothing, and nothing but BadFraming is raised."""
    pieces, whole = cut(data)
    assert _decode(pieces) == _decode([whole])


def _decode(pieces: Sequence[bytes]) -> tuple[bytes, int] | None:
    """Payload and bytes used; None where refused. What a refused body held before is nobody's affair."""
    decoder, payload, used = ChunkedDecoder(), b"", 0
    try:
        for piece in pieces:
            decoded = decoder.decode(memoryview(piece))
            payload += b"".join(decoded.payload)
            used += decoded.used
            if decoded.ended:
                return payload, used
    except BadFraming:
        return None
    return payload, -1


# -- heads, and what becomes of them --------------------------------------------------------------


def head(data: bytes) -> None:
    """A head that we accept goes up so that it is read there as it was here, over both protocols."""
    _, whole = cut(data)
    buffer = HeadBuffer(1 << 16)
    try:
        found = buffer.feed(whole)
        if found is None:
            return
        request = parse_request_head(found)
        framing = request_framing(request.http_version, request.headers)
    except ShimError:
        return
    peer = peer_of("10.0.0.1", "http", request.headers, TrustedProxies(NETWORKS))
    for seen in (LOCAL, peer):
        fields = forwarded_headers(request.headers, seen, identity=ID, prefix="/image")
        _check_http(request, fields)
        _check_uwsgi(request, fields, framing.length)


def _check_http(request: RequestHead, fields: list[tuple[bytes, bytes]]) -> None:
    if request.http_version == "1.0" and not any(name == b"host" for name, _ in fields):
        return  # the protocol of the next hop adds one
    encoded = encode_request_head(request.method, request.target, fields)
    again = parse_request_head(encoded)
    assert (again.method, again.target, list(again.headers)) == (request.method, request.target, fields)
    for _, value in fields:
        assert not CONTROL.search(value.decode("latin-1"))


def _check_uwsgi(request: RequestHead, fields: list[tuple[bytes, bytes]], length: int | None) -> None:
    variables = request_variables(
        UwsgiRequest(
            method=request.method,
            target=request.target,
            http_version=request.http_version,
            headers=fields,
            mount="/image",
            length=length,
            scheme="http",
            remote="192.0.2.7",
            server=("shim", 9292),
        )
    )
    with contextlib.suppress(HeadTooLarge):
        packet = encode_packet(variables)
        size = int.from_bytes(packet[1:3], "little")
        assert (packet[0], packet[3], size) == (0, 0, len(packet) - 4)
        decoded = decode_variables(packet[4:])
        assert dict(decoded) == {
            name.decode("latin-1"): value.decode("latin-1") for name, value in variables.items()
        }
        assert len(dict(decoded)) == len(decoded)
    names = {name.decode("latin-1") for name in variables}
    assert not names & FORBIDDEN
    assert all(VARIABLE_NAME.fullmatch(name.encode("latin-1")) for name in names)
    assert not any(name.startswith("UWSGI_") for name in names)
    assert variables.get(b"CONTENT_LENGTH") == (None if length is None else b"%d" % length)


# -- who the client is ----------------------------------------------------------------------------


def proxy_header(data: bytes) -> None:
    """A PROXY header: cutting changes nothing, and addresses are addresses."""
    pieces, whole = cut(data)
    header, rest = _read_proxy([whole])
    assert _read_proxy(pieces) == (header, rest)
    if isinstance(header, ProxyHeader) and header.client is not None:
        for address, port in filter(None, (header.client, header.server)):
            assert ipaddress.ip_address(address)
            assert 0 <= port <= 0xFFFF


def _read_proxy(pieces: Sequence[bytes]) -> tuple[ProxyHeader | type[BadProxyHeader] | None, bytes]:
    reader = ProxyHeaderReader()
    for index, piece in enumerate(pieces):
        try:
            header = reader.feed(piece)
        except BadProxyHeader:
            return BadProxyHeader, b""
        if header is not None:
            return header, reader.take_rest() + b"".join(pieces[index + 1 :])
    return None, b""


def hops(data: bytes) -> None:
    """Fields of proxies: whoever is believed is an address, and what we write of it reads back."""
    names = (
        b"x-forwarded-for",
        b"forwarded",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
    )
    lines = [line for line in data.split(b"\n") if not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line)]
    fields = tuple((names[line[0] % len(names)], line[1:].strip()) for line in lines if line)
    proxies = TrustedProxies(NETWORKS)
    origin = find_origin(fields, proxies.trusts)
    assert all(ipaddress.ip_address(hop) for hop in origin.hops)
    assert origin.scheme in (b"", b"http", b"https")
    peer = peer_of("10.0.0.1", "http", fields, proxies)
    told = dict(forwarded_headers(fields, peer, identity=ID, prefix=""))
    listed = parse_forwarded(told[b"forwarded"])
    assert listed is not None
    assert [hop.address for hop in listed] == [*peer.origin.hops, "10.0.0.1"]


def trace_context(data: bytes) -> None:
    """A context: OpenTelemetry reads the same in what is accepted, and what we write of it reads back."""
    parent, _, state = data.partition(b"\n")
    fields = ((b"traceparent", parent), (b"tracestate", state))
    if (context := read_trace_context(fields)) is None:
        return
    written = with_trace_context(fields, context)
    assert read_trace_context(written) == context
    for told in (fields, written):
        carrier = {name.decode(): value.decode("latin-1") for name, value in told}
        theirs = get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
        ids = f"{theirs.trace_id:032x}", f"{theirs.span_id:016x}"
        assert ids == (context.trace_id, context.span_id)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "requests": requests,
    "answers": answers,
    "chunks": chunks,
    "head": head,
    "proxy_header": proxy_header,
    "hops": hops,
    "trace_context": trace_context,
}

__all__ = ["TARGETS", "Read"]
