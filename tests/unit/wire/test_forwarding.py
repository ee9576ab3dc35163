"""What a request's fields become on their way up: whose word is believed, what is dropped, what is set."""

import ipaddress
import re

import pytest

from shim.wire.forwarding import (
    FORWARDED_NAMES,
    Peer,
    TrustedProxies,
    client_address,
    forwarded_headers,
    request_id,
)
from shim.wire.headers import HOP_BY_HOP, get_all

ID = "req-00000000-0000-4000-8000-000000000001"
STRANGER = Peer("203.0.113.9", "http")
FRIEND = Peer("10.0.0.1", "http", trusted=True)
# What an outer proxy says, in every field there is.
CLAIMS = (
    (b"x-forwarded-for", b"198.51.100.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"cloud.example"),
    (b"x-forwarded-prefix", b"/outer"),
    (b"forwarded", b"for=198.51.100.1;proto=https"),
    (b"x-real-ip", b"198.51.100.1"),
)


def forward(
    *fields: tuple[bytes, bytes], peer: Peer = STRANGER, prefix: str = "", host: bytes = b"glance"
) -> list[tuple[bytes, bytes]]:
    return forwarded_headers(((b"host", host), *fields), peer, identity=ID, prefix=prefix)


def joined(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A field's value; its lines joined as any reader would."""
    values = get_all(headers, name)
    return b", ".join(values) if values else None


# -- whose word is believed -----------------------------------------------------------------------

BELIEVED = [
    # peer, fields, prefix, what the upstream is told: for, proto, host, prefix, forwarded
    pytest.param(
        STRANGER,
        (),
        "",
        (b"203.0.113.9", b"http", b"glance", None, b"for=203.0.113.9;proto=http;host=glance"),
        id="a client that says nothing",
    ),
    pytest.param(
        STRANGER,
        CLAIMS,
        "",
        (b"203.0.113.9", b"http", b"glance", None, b"for=203.0.113.9;proto=http;host=glance"),
        id="a client that says everything is not believed",
    ),
    pytest.param(
        Peer("203.0.113.9", "https"),
        (),
        "/image",
        (b"203.0.113.9", b"https", b"glance", b"/image", b"for=203.0.113.9;proto=https;host=glance"),
        id="TLS and a mount",
    ),
    pytest.param(
        Peer("2001:db8::9", "http"),
        (),
        "",
        (b"2001:db8::9", b"http", b"glance", None, b'for="[2001:db8::9]";proto=http;host=glance'),
        id="IPv6 is bracketed and quoted in Forwarded",
    ),
    pytest.param(
        Peer(None, "http"),
        (),
        "",
        (b"unix", b"http", b"glance", None, b"for=unknown;proto=http;host=glance"),
        id="a unix socket",
    ),
    pytest.param(
        FRIEND,
        (),
        "",
        (b"10.0.0.1", b"http", b"glance", None, b"for=10.0.0.1;proto=http;host=glance"),
        id="a trusted proxy that says nothing",
    ),
    pytest.param(
        FRIEND,
        CLAIMS,
        "/image",
        (
            b"198.51.100.1, 10.0.0.1",
            b"https",
            b"cloud.example",
            b"/outer/image",
            b"for=198.51.100.1;proto=https, for=10.0.0.1;proto=http",
        ),
        id="a trusted proxy is believed and added to",
    ),
    pytest.param(
        FRIEND,
        ((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.1, 10.0.0.7")),
        "",
        (
            b"6.6.6.6, 198.51.100.1, 10.0.0.7, 10.0.0.1",
            b"http",
            b"glance",
            None,
            b"for=6.6.6.6;proto=http;host=glance, for=198.51.100.1, for=10.0.0.7, for=10.0.0.1",
        ),
        id="hops in several lines stay in order",
    ),
    pytest.param(
        FRIEND,
        ((b"x-forwarded-proto", b"http"), (b"x-forwarded-proto", b"https")),
        "",
        (b"10.0.0.1", b"https", b"glance", None, b"for=10.0.0.1;proto=https;host=glance"),
        id="the last line counts, for the nearest proxy wrote it",
    ),
    pytest.param(
        FRIEND,
        ((b"x-forwarded-prefix", b"/outer"),),
        "",
        (b"10.0.0.1", b"http", b"glance", b"/outer", b"for=10.0.0.1;proto=http;host=glance"),
        id="a prefix without a mount",
    ),
]


@pytest.mark.parametrize(("peer", "fields", "prefix", "told"), BELIEVED)
def test_what_the_upstream_is_told_of_the_client(peer, fields, prefix, told):
    headers = forward(*fields, peer=peer, prefix=prefix)
    names = (
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"forwarded",
    )
    assert tuple(joined(headers, name) for name in names) == told
    assert joined(headers, b"x-real-ip") is None


@pytest.mark.parametrize("peer", [STRANGER, FRIEND], ids=["stranger", "friend"])
@pytest.mark.parametrize(
    "names",
    [
        b"X-Forwarded-For",
        b"x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-prefix, forwarded",
    ],
    ids=["one", "all"],
)
def test_connection_cannot_remove_them(peer, names):
    with_connection = forward(*CLAIMS, (b"connection", names), peer=peer, prefix="/image")
    assert with_connection == forward(*CLAIMS, peer=peer, prefix="/image")


@pytest.mark.parametrize(
    "host", [b'a", for=6.6.6.6;a="\\', b"a, for=6.6.6.6", b"glance:9292", b"[::1]", b"a b"]
)
def test_a_host_that_needs_quotes_is_left_to_host(host):
    """oslo.middleware would take the quotes for a part of the name."""
    assert get_all(forward(host=host), b"forwarded") == [b"for=203.0.113.9;proto=http"]


@pytest.mark.parametrize("hop", [b"", b'"x', b"a;b=c", b"secret", b"[::1]x", b"1.2.3.4:80"])
def test_what_a_trusted_proxy_says_is_no_element_of_its_own(hop):
    (value,) = get_all(forward((b"x-forwarded-for", hop), peer=FRIEND), b"forwarded")
    assert value == b"for=unknown;proto=http;host=glance, for=10.0.0.1"


def test_without_host_none_is_made_up():
    headers = forwarded_headers((), STRANGER, identity=ID, prefix="")
    assert joined(headers, b"forwarded") == b"for=203.0.113.9;proto=http"
    assert joined(headers, b"host") is None


# -- what is dropped and what is set --------------------------------------------------------------

DROPPED = [
    *(pytest.param(name, id=name.decode()) for name in sorted(HOP_BY_HOP)),
    pytest.param(b"content-length", id="content-length is written anew"),
    pytest.param(b"expect", id="expect is answered by the shim"),
    pytest.param(b"proxy", id="proxy would be HTTP_PROXY"),
    pytest.param(b"x-real-ip", id="x-real-ip"),
    pytest.param(b"content_length", id="content_length"),
    pytest.param(b"content_type", id="content_type"),
    pytest.param(b"x_forwarded_for", id="x_forwarded_for"),
    pytest.param(b"x-forwarded_for", id="x-forwarded_for"),
    pytest.param(b"x_auth_token", id="x_auth_token"),
    pytest.param(b"_", id="an underscore alone"),
    pytest.param(b"uwsgi_postfile", id="uwsgi_postfile"),
]


@pytest.mark.parametrize("peer", [STRANGER, FRIEND], ids=["stranger", "friend"])
@pytest.mark.parametrize("name", DROPPED)
def test_dropped(name, peer):
    assert name not in dict(forward((name, b"evil"), peer=peer))
    assert b"evil" not in dict(forward((name, b"evil"), peer=peer)).values()


KEPT = (
    (b"accept", b"*/*"),
    (b"content-type", b"application/octet-stream"),
    (b"cookie", b"a=b"),
    (b"authorization", b"Basic eA=="),
    (b"x-auth-token", b"secret"),
    (b"x-image-meta-name", b"\xc3\xa4"),
    (b"x-many", b"1"),
    (b"x-many", b"2"),
    (b"uwsgi-postfile", b"/etc/passwd"),
    (b"x-openstack-image-size", b"6"),
)


def test_all_else_is_kept_in_order():
    assert forward(*KEPT)[: len(KEPT) + 1] == [(b"host", b"glance"), *KEPT]


def test_no_field_of_ours_comes_twice():
    headers = forward(*CLAIMS, (b"via", b"1.1 a"), (b"x-request-id", b"mine"), peer=FRIEND, prefix="/image")
    ours = [name for name, _ in headers if name in FORWARDED_NAMES | {b"via", b"x-request-id"}]
    assert len(ours) == len(set(ours))


@pytest.mark.parametrize(
    ("fields", "via"),
    [
        pytest.param((), b"1.1 glance-shim", id="first"),
        pytest.param(((b"via", b"1.0 a, 1.1 b"),), b"1.0 a, 1.1 b, 1.1 glance-shim", id="after others"),
        pytest.param(((b"via", b"1.0 a"), (b"via", b"1.1 b")), b"1.0 a, 1.1 b, 1.1 glance-shim", id="lines"),
        pytest.param(((b"connection", b"via"), (b"via", b"1.0 a")), b"1.0 a, 1.1 glance-shim", id="named"),
    ],
)
def test_via(fields, via):
    assert get_all(forward(*fields), b"via") == [via]


# -- request ids ----------------------------------------------------------------------------------

OTHER_ID = b"req-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
NEW = object()


@pytest.mark.parametrize(
    ("fields", "identity"),
    [
        pytest.param((), NEW, id="none"),
        pytest.param(((b"x-openstack-request-id", OTHER_ID),), OTHER_ID, id="OpenStack's"),
        pytest.param(((b"x-request-id", OTHER_ID),), OTHER_ID, id="X-Request-Id"),
        pytest.param(
            ((b"x-request-id", ID.encode()), (b"x-openstack-request-id", OTHER_ID)),
            OTHER_ID,
            id="OpenStack's goes first",
        ),
        pytest.param(
            ((b"x-openstack-request-id", b"nonsense"), (b"x-request-id", OTHER_ID)),
            OTHER_ID,
            id="only one good",
        ),
        *(
            pytest.param(((b"x-openstack-request-id", value),), NEW, id=repr(value))
            for value in (
                b"",
                b"req-",
                OTHER_ID.removeprefix(b"req-"),
                OTHER_ID.upper(),
                OTHER_ID + b"a",
                OTHER_ID[:-1],
                OTHER_ID + b"\n",
                b" " + OTHER_ID,
                OTHER_ID.replace(b"a", b"g"),
                OTHER_ID.replace(b"-", b""),
                OTHER_ID + b", " + OTHER_ID,
            )
        ),
    ],
)
def test_request_ids(fields, identity):
    got = request_id(fields)
    if identity is NEW:
        assert re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", got)
        assert got != request_id(fields)
    else:
        assert got == identity.decode()


def test_the_identity_replaces_what_the_client_sent():
    headers = forward((b"x-request-id", b"\x01evil"), (b"x-openstack-request-id", OTHER_ID))
    assert joined(headers, b"x-request-id") == ID.encode()
    assert joined(headers, b"x-openstack-request-id") == ID.encode()


# -- who is who -----------------------------------------------------------------------------------

TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")))


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("::1", False),
        (None, False),
        ("unix", False),
        ("", False),
        ("testclient", False),
        ("10.0.0.1:80", False),
    ],
)
def test_trusted_proxies(address, trusted):
    assert TRUSTED.trusts(address) is trusted
    assert TrustedProxies().trusts(address) is False


def test_unix_peers_are_trusted_by_name():
    assert TrustedProxies(unix=True).trusts(None)
    assert not TrustedProxies(unix=True).trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("peer", "hops", "address"),
    [
        pytest.param(STRANGER, [], "203.0.113.9", id="a client"),
        pytest.param(STRANGER, [b"198.51.100.1"], "203.0.113.9", id="a client that names another"),
        pytest.param(FRIEND, [], "10.0.0.1", id="a proxy that names none"),
        pytest.param(FRIEND, [b"198.51.100.1"], "198.51.100.1", id="a proxy that names one"),
        pytest.param(FRIEND, [b"6.6.6.6, 198.51.100.1"], "198.51.100.1", id="the last hop counts"),
        pytest.param(FRIEND, [b"6.6.6.6", b"198.51.100.1"], "198.51.100.1", id="the last line counts"),
        pytest.param(FRIEND, [b"6.6.6.6,"], "10.0.0.1", id="an empty last hop names nobody"),
        pytest.param(FRIEND, [b""], "10.0.0.1", id="an empty field names nobody"),
        pytest.param(Peer(None, "http"), [], "unix", id="a unix socket"),
        pytest.param(Peer(None, "http", trusted=True), [b"::1"], "::1", id="a proxy on a unix socket"),
        pytest.param(FRIEND, [b"\xff"], "\ufffd", id="no address at all"),
    ],
)
def test_client_address(peer, hops, address):
    assert client_address(tuple((b"x-forwarded-for", hop) for hop in hops), peer) == address
