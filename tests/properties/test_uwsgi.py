"""The uwsgi packet reads back as it was written; no client can make up a variable that is not HTTP_*."""

import re
import urllib.parse
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from shim.errors import HeadTooLarge
from shim.wire.forwarding import forwarded_headers
from shim.wire.peer import Peer, TrustedProxies, peer_of
from shim.wire.uwsgi import MAX_VARIABLES_SIZE, UwsgiRequest, encode_packet, request_variables

ID = "req-00000000-0000-4000-8000-000000000001"
OWN = {
    b"REQUEST_METHOD",
    b"REQUEST_URI",
    b"SCRIPT_NAME",
    b"PATH_INFO",
    b"QUERY_STRING",
    b"SERVER_PROTOCOL",
    b"REQUEST_SCHEME",
    b"SERVER_NAME",
    b"SERVER_PORT",
    b"REMOTE_ADDR",
    b"CONTENT_TYPE",
    b"CONTENT_LENGTH",
}
NEVER = {
    b"HTTP_CONTENT_LENGTH",
    b"HTTP_CONTENT_TYPE",
    b"HTTP_TRANSFER_ENCODING",
    b"HTTP_PROXY",
    b"HTTP_EXPECT",
}
# A header's name in upper case, without the underscore that would make two names one.
FROM_A_HEADER = re.compile(rb"HTTP_[!#$%&'*+.^_`|~0-9A-Z]+")

# What a client would have to call a header for it to have power over the worker.
tempting = st.sampled_from(
    [
        *OWN,
        *NEVER,
        b"UWSGI_POSTFILE",
        b"UWSGI_SETENV",
        b"UWSGI_FILE",
        b"UWSGI_CHDIR",
        b"HTTPS",
        b"HTTP_HOST",
        b"X_FORWARDED_FOR",
        b"X-FORWARDED-FOR",
        b"X-FORWARDED-PROTO",
        b"FORWARDED",
        b"CONNECTION",
        b"WSGI.INPUT",
    ]
)
names = st.one_of(
    st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9a-z]{1,12}", fullmatch=True),
    tempting.map(bytes.lower),
    tempting.map(lambda name: name.lower().replace(b"_", b"-")),
    tempting.map(lambda name: name.lower().removeprefix(b"http_").replace(b"_", b"-")),
)
values = st.one_of(
    st.from_regex(rb"[\t \x21-\x7e\x80-\xff]{0,20}", fullmatch=True),
    st.lists(names, min_size=1, max_size=4).map(b", ".join),
)
headers = st.lists(st.tuples(names, values), max_size=12).map(tuple)
targets = st.from_regex(rb"/[\x21\x22\x24-\x7e]{0,30}", fullmatch=True)
mounts = st.sampled_from(["", "/image", "/a/b"])
lengths = st.none() | st.integers(0, 2**63)


def request(
    fields: tuple[tuple[bytes, bytes], ...], target: bytes, mount: str, length: int | None, *, trusted: bool
) -> UwsgiRequest:
    """What the proxy makes of a client's request."""
    proxies = TrustedProxies((ip_network("192.0.2.0/24"),) if trusted else ())
    peer = peer_of("192.0.2.1", "http", fields, proxies)
    return UwsgiRequest(
        method="PUT",
        target=target,
        http_version="1.1",
        headers=forwarded_headers(fields, peer, identity=ID, prefix=mount),
        mount=mount,
        length=length,
        scheme="http",
        remote=peer.address,
        server=("10.0.0.9", 9292),
    )


def read_packet(packet: bytes) -> dict[bytes, bytes]:
    """The variables, as uWSGI reads them; nothing may be left over, and none come twice."""
    assert packet[0] == packet[3] == 0
    assert int.from_bytes(packet[1:3], "little") == len(packet) - 4
    words, rest = [], packet[4:]
    while rest:
        size = int.from_bytes(rest[:2], "little")
        words.append(rest[2 : 2 + size])
        assert len(words[-1]) == size
        rest = rest[2 + size :]
    variables = dict(zip(words[::2], words[1::2], strict=True))
    assert len(variables) == len(words) // 2
    return variables


@given(st.dictionaries(st.binary(max_size=30), st.binary(max_size=60), max_size=20))
def test_any_variables_read_back(variables):
    assert read_packet(encode_packet(variables)) == variables


@given(st.integers(65_400, 65_600), st.integers(1, 60))
def test_the_limit_is_one_of_the_whole(size, name):
    variables = {b"A" * name: b"x" * (size - name - 4)}
    try:
        packet = encode_packet(variables)
    except HeadTooLarge:
        assert size > MAX_VARIABLES_SIZE
    else:
        assert size <= MAX_VARIABLES_SIZE
        assert read_packet(packet) == variables


@given(headers, targets, mounts, lengths, st.booleans())
def test_any_request_reads_back(fields, target, mount, length, trusted):
    variables = request_variables(request(fields, target, mount, length, trusted=trusted))
    assert read_packet(encode_packet(variables)) == variables


@given(headers, targets, mounts, lengths, st.booleans())
def test_a_client_makes_up_no_variables(fields, target, mount, length, trusted):
    variables = request_variables(request(fields, target, mount, length, trusted=trusted))
    plain = request_variables(request((), target, mount, length, trusted=trusted))
    assert not variables.keys() & NEVER
    assert all(name in OWN or FROM_A_HEADER.fullmatch(name) for name in variables)
    assert (b"CONTENT_LENGTH" in variables) is (length is not None)
    # Of the fixed list only the type is the client's to say.
    types = b", ".join(value for name, value in fields if name == b"content-type")
    assert {name: variables[name] for name in OWN & plain.keys()} == {
        **{name: plain[name] for name in OWN & plain.keys()},
        b"CONTENT_TYPE": types,
    }


@given(headers, mounts)
def test_a_stranger_has_no_say_in_who_it_is(fields, mount):
    variables = request_variables(request(fields, b"/", mount, None, trusted=False))
    plain = request_variables(request((), b"/", mount, None, trusted=False))
    for name in (b"HTTP_X_FORWARDED_FOR", b"HTTP_X_FORWARDED_PROTO", b"HTTP_X_FORWARDED_PREFIX"):
        assert variables.get(name) == plain.get(name)
    assert b"HTTP_X_REAL_IP" not in variables
    assert variables[b"HTTP_X_REQUEST_ID"] == variables[b"HTTP_X_OPENSTACK_REQUEST_ID"] == ID.encode()


@given(headers)
def test_two_headers_never_share_a_variable(fields):
    kept = {name for name, _ in forwarded_headers(fields, Peer(None, "http"), identity=ID, prefix="")}
    variables = {name.upper().replace(b"-", b"_") for name in kept}
    assert len(variables) == len(kept)


@given(targets, mounts)
def test_the_path_is_divided_and_nothing_of_it_lost(target, mount):
    variables = request_variables(request((), target, mount, None, trusted=False))
    path, _, query = target.partition(b"?")
    assert variables[b"REQUEST_URI"] == target
    assert variables[b"SCRIPT_NAME"] in (b"", mount.encode())
    assert variables[b"SCRIPT_NAME"] + variables[b"PATH_INFO"] == urllib.parse.unquote_to_bytes(path)
    assert variables[b"QUERY_STRING"] == query
