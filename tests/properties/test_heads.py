"""Heads: gathered alike however they are cut; and what we accept, h11 accepts with the same result."""

import contextlib
import re
from typing import TypeAlias

import h11
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shim.errors import BadRequest, HeadTooLarge, ShimError, UpstreamInvalid
from shim.wire.fields import LONGEST_NAME_KEPT
from shim.wire.framing import BodyKind, Framing, request_framing, response_framing
from shim.wire.headers import Headers
from shim.wire.http1 import (
    HeadBuffer,
    RequestHead,
    ResponseHead,
    encode_request_head,
    encode_response_head,
    parse_request_head,
    parse_response_head,
)
from tests.properties.cutting import cuts, mutated

LIMIT = 400

tokens = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,10}", fullmatch=True)
names = tokens | st.sampled_from([b"Host", b"Accept", b"Content-Length", b"Transfer-Encoding", b"Connection"])
values = st.one_of(
    st.sampled_from([b"", b"a", b"0", b"6", b"+6", b"6, 6", b"chunked", b"gzip, chunked", b"close", b"a:80"]),
    st.from_regex(
        rb"([\x21-\x7e\x80-\xff]([\t \x21-\x7e\x80-\xff]{0,8}[\x21-\x7e\x80-\xff])?)?", fullmatch=True
    ),
)
spaces = st.sampled_from([b"", b" ", b"\t", b" \t "])
fields = st.lists(
    st.builds(lambda name, a, value, b: name + b":" + a + value + b, names, spaces, values, spaces),
    max_size=4,
)
methods = st.sampled_from([b"GET", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT"]) | tokens
targets = st.one_of(
    st.sampled_from([b"/", b"*", b"/v2/images", b"http://b/p?q", b"https://b", b"http://b:1?q", b"a:80"]),
    st.from_regex(rb"/[\x21\x22\x24-\x7e]{0,12}", fullmatch=True),
)
versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"])
hosts = st.sampled_from(
    [[b"Host: a"], [b"Host: a"], [b"host:b:80"], [b"Host: [::1]"], [], [b"Host: a", b"Host: a"]]
)


def head(line: bytes, *lines: list[bytes]) -> bytes:
    return b"\r\n".join([line, *(one for some in lines for one in some), b"", b""])


requests = st.builds(
    lambda method, target, version, host, rest: head(b" ".join((method, target, version)), host, rest),
    methods, targets, versions, hosts, fields,
)  # fmt: skip
answers = st.builds(
    lambda version, status, reason, rest: head(version + b" %d" % status + reason, rest),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    st.integers(100, 599),
    st.sampled_from([b"", b" ", b" OK", b" Not Found", b" \xc3\xa4\t"]),
    fields,
)


# -- gathering ------------------------------------------------------------------------------------

Gathered: TypeAlias = tuple[bytes, bytes] | type[ShimError] | None
"""A head and what follows it, why there is none, or None where more is to come."""


def gather(pieces: list[bytes]) -> Gathered:
    buffer = HeadBuffer(LIMIT)
    for index, piece in enumerate(pieces):
        try:
            found = buffer.feed(piece)
        except (BadRequest, HeadTooLarge) as refusal:
            return type(refusal)
        if found is not None:
            return found, buffer.take_rest() + b"".join(pieces[index + 1 :])
    return None


noise = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\r\n\r\n", b"x" * 150]), max_size=12).map(
    b"".join
)


@given(st.data(), requests.flatmap(mutated) | noise, st.binary(max_size=20))
def test_cutting_never_changes_a_head(data, sent, rest):
    whole = gather([sent + rest])
    cut = gather(data.draw(cuts(sent + rest)))
    # Two faults may be found in another order; that there is one is found in any case.
    if isinstance(whole, type):
        assert isinstance(cut, type)
    else:
        assert cut == whole


@given(requests)
def test_a_whole_head_is_found_whole(sent):
    assert gather([sent + b"rest"]) == ((sent, b"rest") if len(sent) <= LIMIT else HeadTooLarge)


# -- requests beside h11 --------------------------------------------------------------------------


def parsed(sent: bytes) -> tuple[RequestHead, Framing] | None:
    """A request and its body's framing, or None where it was refused; any other exception is a failure."""
    gathered = gather([sent])
    if gathered is None or isinstance(gathered, type):
        return None
    try:
        request = parse_request_head(gathered[0])
        return request, request_framing(request.http_version, request.headers)
    except ShimError:
        return None


def without(headers: Headers, name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in headers if field[0] != name]


def h11_framing(connection: h11.Connection) -> Framing:
    """How h11 would read the body, asked of the reader that it has chosen."""
    reader = type(connection._reader).__name__
    if reader == "ChunkedReader":
        return Framing(BodyKind.CHUNKED)
    if reader == "Http10Reader":
        return Framing(BodyKind.UNTIL_CLOSE)
    return Framing(BodyKind.LENGTH, connection._reader._length)


@given(requests.flatmap(mutated))
@example(b"GET http://a/ HTTP/1.1\r\n\r\n")
@example(b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
def test_requests_that_we_accept_h11_reads_alike(sent):
    ours = parsed(sent)
    assume(ours is not None)
    request, framing = ours
    connection = h11.Connection(h11.SERVER)
    # The one empty line that we pass over h11 does not know.
    connection.receive_data(sent.removeprefix(b"\r\n"))
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method.decode() == request.method
    assert event.http_version.decode() == request.http_version
    if event.target.startswith(b"/") or event.target == b"*":
        assert event.target == request.target
        assert [*map(tuple, event.headers)] == [*map(lower_coding, request.headers)]
    else:
        # We reduce the absolute form, and its authority takes the place of Host.
        assert event.target.endswith(request.target.removeprefix(b"/"))
        assert request.headers[0][1] in event.target
        assert without(tuple(map(tuple, event.headers)), b"host") == without(
            tuple(map(lower_coding, request.headers)), b"host"
        )
    # For h11 no framing and a length of 0 are one.
    assert h11_framing(connection) == (framing if framing.has_framing else Framing(BodyKind.LENGTH, 0))


def lower_coding(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """h11 gives Transfer-Encoding in lower case."""
    return (field[0], field[1].lower()) if field[0] == b"transfer-encoding" else field


@given(st.binary(max_size=80).map(lambda noise: noise + b"\r\n\r\n"))
def test_nothing_makes_the_request_parser_fail_otherwise(sent):
    parsed(sent)


@given(
    tokens.filter(lambda method: method != b"CONNECT"),
    st.lists(st.tuples(tokens.map(bytes.lower), values), max_size=4),
)
def test_requests_that_we_write_we_read(method, others):
    written = ((b"host", b"a"), *without(tuple(others), b"host"))
    sent = encode_request_head(method.decode(), b"/p?q", written)
    assert parse_request_head(sent) == RequestHead(method.decode(), b"/p?q", "1.1", written)


# RFC 9112 section 5, RFC 9110 section 5.5; as an expression too slow where a client chooses the white space.
FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rb"((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)


well_formed = st.from_regex(FIELD, fullmatch=True)
any_line = (
    st.binary(max_size=20)
    | well_formed
    # Of a name that is kept, and of one that is too long for it.
    | st.sampled_from([b"A-B: c", b"A" * LONGEST_NAME_KEPT + b": c", b"A" * (LONGEST_NAME_KEPT + 1) + b": c"])
    | st.text('aZ_:("= \t\r\n\0\x7f\x80\xff', max_size=8).map(lambda text: text.encode("latin-1"))
)


@given(st.lists(well_formed, max_size=2), any_line, st.lists(well_formed, max_size=2))
def test_a_field_is_what_its_grammar_says(before, line, after):
    lines = [*before, line, *after]
    assume(not any(b"\r\n" in line for line in lines))
    matches = [match for line in lines if (match := FIELD.fullmatch(line)) is not None]
    try:
        answer = parse_response_head(head(b"HTTP/1.1 200", lines))
    except UpstreamInvalid:
        assert len(matches) < len(lines)
    else:
        assert answer.headers == tuple((match[1].lower(), match[2]) for match in matches)
        assert len(matches) == len(lines)


# -- answers beside h11 ---------------------------------------------------------------------------


@given(answers.flatmap(mutated), st.sampled_from(["GET", "HEAD", "PUT"]))
def test_answers_that_we_accept_h11_reads_alike(sent, method):
    gathered = gather([sent])
    assume(gathered is not None and not isinstance(gathered, type))
    try:
        answer = parse_response_head(gathered[0])
        framing = response_framing(method, answer.status, answer.headers)
    except UpstreamInvalid:
        return
    # 101 would have to be asked for, and our caller refuses it.
    assume(answer.status != 101)
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(sent.removeprefix(b"\r\n"))
    event = connection.next_event()
    assert isinstance(event, h11.InformationalResponse if answer.status < 200 else h11.Response)
    assert (event.status_code, event.reason) == (answer.status, answer.reason)
    assert event.http_version.decode() == answer.http_version
    assert [*map(tuple, event.headers)] == [*map(lower_coding, answer.headers)]
    if answer.status >= 200:
        assert h11_framing(connection) == (framing if framing.has_framing else Framing(BodyKind.LENGTH, 0))


@given(st.binary(max_size=80).map(lambda noise: noise + b"\r\n\r\n"))
def test_nothing_makes_the_answer_parser_fail_otherwise(sent):
    with contextlib.suppress(UpstreamInvalid):
        parse_response_head(sent)


@given(st.integers(100, 599), st.lists(st.tuples(tokens.map(bytes.lower), values), max_size=4))
def test_answers_that_we_write_we_read(status, fields):
    sent = encode_response_head(status, b"Odd", fields)
    assert parse_response_head(sent) == ResponseHead(status, b"Odd", "1.1", tuple(fields))
