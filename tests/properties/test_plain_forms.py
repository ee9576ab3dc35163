"""What is kept, looked up or left out to save time changes no result: beside each stands its plain form.

All is asked twice, for the first time with nothing kept; and of what a client may send at its worst.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.errors import BadFraming, BadRequest, NoUpstream, ShimError, UpstreamInvalid
from shim.routes.route import Route
from shim.routes.table import RouteTable
from shim.wire import fields as fields_room
from shim.wire import headers as headers_room
from shim.wire import http1
from shim.wire.fields import parse_fields
from shim.wire.forwarding import forwarded_headers
from shim.wire.framing import BodyKind, Framing, request_framing
from shim.wire.headers import (
    FORWARDED_PREFIX,
    HOP_BY_HOP,
    KEPT_DESPITE_CONNECTION,
    USUAL_NAMES,
    Headers,
    connection_options,
    end_to_end,
)
from shim.wire.hops import Origin
from shim.wire.http1 import parse_request_head, parse_response_head
from shim.wire.peer import NOTHING_SAID, Peer
from shim.wire.uwsgi import UwsgiRequest, request_variables

Result = TypeVar("Result")
ID = "req-00000000-0000-4000-8000-000000000001"

KEPT = (
    fields_room._names,
    headers_room._OPTIONS,
    headers_room._FIELDS_OF_THIS_HOP,
    http1._STATUS_LINES,
    http1._HOSTS,
)


def outcome(ask: Callable[[], Result]) -> Result | tuple[type[ShimError], str]:
    try:
        return ask()
    except ShimError as error:
        return type(error), error.detail


def twice(ask: Callable[[], Result]) -> Result | tuple[type[ShimError], str]:
    """What is found, with nothing kept and then again."""
    for kept in KEPT:
        kept.clear()
    first = outcome(ask)
    assert outcome(ask) == first
    return first


# -- lines ----------------------------------------------------------------------------------------

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

# Names in all letters' cases, too long to be kept, and none; values with what is forbidden in them.
raw_names = st.one_of(
    st.sampled_from(
        [b"Host", b"HOST", b"Connection", b"X-Auth-Token", b"x" * 64, b"X" * 65, b"", b"a b", b"\xe4"]
    ),
    st.binary(max_size=4),
)
raw_values = st.one_of(
    st.sampled_from([b"", b" a", b"\t a b \t", b"close", b"a\0", b"a\rb", b"\x7f", b"\xff", b"a" * 200]),
    st.binary(max_size=6),
)
lines = st.lists(
    st.tuples(raw_names, st.sampled_from([b":", b":", b""]), raw_values).map(b"".join),
    max_size=6,
)


def plain_fields(lines: list[bytes]) -> Headers:
    read = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not (colon and TOKEN.fullmatch(name) and VALUE.fullmatch(value)):
            told = TOKEN.match(line) if colon else None
            raise BadRequest(
                f"The header field {told[0][:40].decode()!r} is malformed."
                if told
                else "A header field is malformed."
            )
        read.append((name.lower(), value.strip(b" \t")))
    return tuple(read)


@given(lines)
@example([b"Host: a", b"Host", b"Host: b"])
@example([b"Host: a\0", b"a b: c"])
def test_lines(lines):
    assert twice(lambda: parse_fields(lines, BadRequest)) == outcome(lambda: plain_fields(lines))


STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
status_lines = st.one_of(
    st.from_regex(STATUS_LINE, fullmatch=True),
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 " + b"x" * 65, b"HTTP/1.1 600", b"HTTP/1.1 200 \0", b""]
    ),
)


@given(status_lines)
def test_status_lines(line):
    match = STATUS_LINE.fullmatch(line)
    found = twice(lambda: parse_response_head(line + b"\r\n\r\n"))
    if match is None:
        assert found == (UpstreamInvalid, "The upstream's answer has no valid status line.")
    else:
        assert found[:3] == (int(match[2]), match[3] or b"", f"1.{match[1].decode()}")


HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+;=%\-]*)(?::[0-9]*)?")


@given(st.from_regex(HOST, fullmatch=True) | st.text("a@:[]/1.", max_size=6).map(str.encode))
@example(b"a" * 65)
@example(b"a" * 65 + b"/")
def test_hosts(host):
    found = twice(lambda: parse_request_head(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"))
    if HOST.fullmatch(host):
        assert found.headers == ((b"host", host),)
    else:
        assert found == (BadRequest, "The Host field is malformed.")


@given(
    st.text("0129 +-,\u00b2\u0661", max_size=22).map(str.encode)
    | st.from_regex(rb"[0-9]{1,22}", fullmatch=True)
)
@example(b"9" * 19)
@example(b"9" * 20)
def test_lengths(value):
    found = outcome(lambda: request_framing("1.1", ((b"content-length", value),)))
    if re.fullmatch(rb"[0-9]{1,19}", value):
        assert found == Framing(BodyKind.LENGTH, int(value))
    else:
        assert found == (BadFraming, "Content-Length must be one plain number.")


# -- fields ---------------------------------------------------------------------------------------

names = st.one_of(
    st.sampled_from(sorted(USUAL_NAMES | HOP_BY_HOP | KEPT_DESPITE_CONNECTION)),
    st.sampled_from(
        [b"x-forwarded-port", b"x-forwarded-prefix", b"x_auth_token", b"proxy", b"expect", b"a", b"close"]
    ),
)
connections = st.lists(names | st.sampled_from([b"Close", b"", b"a b", b"x" * 80]), max_size=5).map(
    b" , ".join
)
headers = st.lists(
    st.tuples(names, st.sampled_from([b"", b"a", b"b"])) | st.tuples(st.just(b"connection"), connections),
    max_size=12,
).map(tuple)


def plain_options(headers: Headers) -> set[bytes]:
    return {
        member.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for member in value.split(b",")
    }


def plain_end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    removable = plain_options(headers) - KEPT_DESPITE_CONNECTION
    dropped = HOP_BY_HOP | {name for name in removable if not name.startswith(FORWARDED_PREFIX)}
    return [field for field in headers if field[0] not in dropped]


@given(headers)
def test_what_connection_says(headers):
    assert twice(lambda: connection_options(headers)) == plain_options(headers)
    assert twice(lambda: end_to_end(headers)) == plain_end_to_end(headers)


NEVER = {
    b"expect",
    b"proxy",
    b"content-length",
    b"via",
    b"x-openstack-request-id",
    b"x-request-id",
    b"forwarded",
}
NEVER |= {b"x-real-ip", *(FORWARDED_PREFIX + name for name in (b"for", b"host", b"prefix", b"proto"))}


@given(headers, st.sampled_from([NOTHING_SAID, Origin(address="198.51.100.1")]))
def test_what_goes_on(headers, origin):
    """The client's own fields stand first, in their order; then begin those that the shim sets."""
    sent = twice(
        lambda: forwarded_headers(headers, Peer("192.0.2.1", "http", origin), identity=ID, prefix="")
    )
    kept = [field for field in plain_end_to_end(headers) if field[0] not in NEVER and b"_" not in field[0]]
    if origin is NOTHING_SAID:
        kept = [field for field in kept if not field[0].startswith(FORWARDED_PREFIX)]
    assert sent[: len(kept)] == kept
    assert sent[len(kept)][0] == b"x-forwarded-for"
    via = b", ".join([*(value for name, value in headers if name == b"via"), b"1.1 glance-shim"])
    assert sent[-3:] == [
        (b"via", via),
        (b"x-openstack-request-id", ID.encode()),
        (b"x-request-id", ID.encode()),
    ]


def plain_variables(fields: Headers, mount: bytes) -> dict[bytes, bytes]:
    variables: dict[bytes, bytes] = {}
    for name, value in fields:
        told = value.removesuffix(mount) if name == b"x-forwarded-prefix" else value
        if name == b"content-length" or (name == b"x-forwarded-prefix" and not told):
            continue
        own = b"CONTENT_TYPE" if name == b"content-type" else b"HTTP_" + name.upper().replace(b"-", b"_")
        joined_by = b"; " if name == b"cookie" else b", "
        variables[own] = variables[own] + joined_by + told if own in variables else told
    return variables


@given(headers, st.sampled_from(["", "/a", "a"]))
def test_variables(headers, mount):
    bare = UwsgiRequest("GET", b"/", "1.1", [], mount, None, "http", None, ("a", 1))
    told = twice(lambda: request_variables(bare._replace(headers=list(headers))))
    assert told == request_variables(bare) | plain_variables(headers, mount.encode())


# -- routes ---------------------------------------------------------------------------------------

METHODS = ["GET", "PUT", "get", "X"]
routes = st.builds(
    Route,
    st.uuids().map(str),
    st.just("up"),
    st.frozensets(st.sampled_from(METHODS[:3])),
    st.sampled_from(["/**", "/a", "/*", "/**/a", "/a/**"]),
)


@given(
    st.lists(routes, max_size=5),
    st.sampled_from(METHODS),
    st.sampled_from([b"/", b"/a", b"/a/b", b"/b/a", b"/%61", b"/a%2Fb", b"/%"]),
)
def test_the_route_is_the_first_that_matches(routes, method, path):
    table = RouteTable(routes)
    plain = [route for route in routes if route.matches(method, path)]
    if plain:
        assert table.find(method, path) is plain[0]
    else:
        with pytest.raises(NoUpstream):
            table.find(method, path)
