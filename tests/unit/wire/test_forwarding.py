"""What a request's fields become on their way up: whose word is believed, what is dropped, what is set."""

import ipaddress

import pytest

from shim.wire import hops
from shim.wire.forwarding import FORWARDED_NAMES, forwarded_headers
from shim.wire.headers import HOP_BY_HOP, get_all
from shim.wire.hops import parse_node
from shim.wire.peer import Peer, TrustedProxies, peer_of
from tests.support.series import series

ID = "req-00000000-0000-4000-8000-000000000001"
STRANGER = Peer("203.0.113.9", "http")
FRIEND = Peer("10.0.0.1", "http")
TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")))
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
    headers = ((b"host", host), *fields)
    return forwarded_headers(headers, told_by(peer, headers), identity=ID, prefix=prefix)


def told_by(peer: Peer, headers: tuple[tuple[bytes, bytes], ...], *, unix: bool = False) -> Peer:
    """The peer with what it is believed to say."""
    return peer_of(peer.address, peer.scheme, headers, TrustedProxies(TRUSTED.networks, unix=unix))


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
        Peer("2001:db9::9", "http"),
        (),
        "",
        (b"2001:db9::9", b"http", b"glance", None, b'for="[2001:db9::9]";proto=http;host=glance'),
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
            b"for=198.51.100.1;proto=https;host=cloud.example, for=10.0.0.1",
        ),
        id="a trusted proxy is believed and added to",
    ),
    pytest.param(
        FRIEND,
        ((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.1, 10.0.0.7")),
        "",
        (
            b"198.51.100.1, 10.0.0.7, 10.0.0.1",
            b"http",
            b"glance",
            None,
            b"for=198.51.100.1;proto=http;host=glance, for=10.0.0.7, for=10.0.0.1",
        ),
        id="hops in several lines stay in order, up to the first stranger",
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


@series(("peer", "fields", "prefix", "told"), BELIEVED)
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


@series("host", [b'a", for=6.6.6.6;a="\\', b"a, for=6.6.6.6", b"glance:9292", b"[::1]", b"a b"])
def test_a_host_that_needs_quotes_is_left_to_host(host):
    """oslo.middleware would take the quotes for a part of the name."""
    assert get_all(forward(host=host), b"forwarded") == [b"for=203.0.113.9;proto=http"]


@series("hop", [b"", b'"x', b"a;b=c", b"secret", b"[::1]x", b"1.2.3.4:"])
def test_what_a_trusted_proxy_says_is_no_element_of_its_own(hop):
    (value,) = get_all(forward((b"x-forwarded-for", hop), peer=FRIEND), b"forwarded")
    assert value == b"for=10.0.0.1;proto=http;host=glance"


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
@series("name", DROPPED)
def test_dropped(name, peer):
    assert name not in dict(forward((name, b"evil"), peer=peer))
    assert b"evil" not in dict(forward((name, b"evil"), peer=peer)).values()


@series("name", [b"x-forwarded-port", b"x-forwarded-ssl", b"x-forwarded-user", b"x-forwarded-"])
def test_what_else_proxies_say_is_believed_of_them_alone(name):
    fields = ((b"connection", name), (name, b"1"))
    assert name not in dict(forward(*fields))
    assert (name, b"1") in forward(*fields, peer=FRIEND)


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


@series(
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


def test_via_tells_what_the_client_spoke():
    headers = forwarded_headers((), STRANGER, identity=ID, prefix="", http_version="1.0")
    assert get_all(headers, b"via") == [b"1.0 glance-shim"]


# -- request ids ----------------------------------------------------------------------------------

OTHER_ID = b"req-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def test_the_identity_replaces_what_the_client_sent():
    headers = forward((b"x-request-id", b"\x01evil"), (b"x-openstack-request-id", OTHER_ID))
    assert joined(headers, b"x-request-id") == ID.encode()
    assert joined(headers, b"x-openstack-request-id") == ID.encode()


# -- who is who -----------------------------------------------------------------------------------


def listed(*lines: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"x-forwarded-for", line) for line in lines)


def elements(*lines: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"forwarded", line) for line in lines)


CLIENTS = [
    # peer, fields, client
    pytest.param(STRANGER, (), "203.0.113.9", id="a client"),
    pytest.param(STRANGER, listed(b"198.51.100.1"), "203.0.113.9", id="a client that names another"),
    pytest.param(STRANGER, elements(b"for=198.51.100.1"), "203.0.113.9", id="or in Forwarded"),
    pytest.param(FRIEND, (), "10.0.0.1", id="a proxy that names none"),
    pytest.param(FRIEND, listed(b"198.51.100.1"), "198.51.100.1", id="a proxy that names one"),
    pytest.param(FRIEND, elements(b"for=198.51.100.1"), "198.51.100.1", id="in Forwarded"),
    pytest.param(FRIEND, listed(b"6.6.6.6, 198.51.100.1"), "198.51.100.1", id="the last stranger counts"),
    pytest.param(FRIEND, listed(b"6.6.6.6", b"198.51.100.1"), "198.51.100.1", id="the last line counts"),
    pytest.param(
        FRIEND, listed(b"6.6.6.6, 198.51.100.1, 10.0.0.7,10.0.0.8"), "198.51.100.1", id="over trusted hops"
    ),
    pytest.param(
        FRIEND, elements(b"for=6.6.6.6", b"for=198.51.100.1, for=10.0.0.7"), "198.51.100.1", id="in both ways"
    ),
    pytest.param(FRIEND, listed(b"10.0.0.9, 10.0.0.7"), "10.0.0.9", id="all trusted: the outermost"),
    pytest.param(
        FRIEND,
        listed(b"198.51.100.1") + elements(b"for=6.6.6.6"),
        "198.51.100.1",
        id="X-Forwarded-For wins over Forwarded",
    ),
    pytest.param(FRIEND, listed(b"") + elements(b"for=6.6.6.6"), "10.0.0.1", id="also where it is empty"),
    pytest.param(FRIEND, listed(b"6.6.6.6,"), "10.0.0.1", id="an empty last hop names nobody"),
    pytest.param(FRIEND, listed(b"198.51.100.1, unknown, 10.0.0.7"), "10.0.0.7", id="a hidden hop ends it"),
    pytest.param(FRIEND, elements(b"for=6.6.6.6, for=_secret"), "10.0.0.1", id="in Forwarded too"),
    pytest.param(FRIEND, elements(b"for=unknown"), "10.0.0.1", id="unknown"),
    pytest.param(FRIEND, elements(b"proto=https"), "10.0.0.1", id="no for"),
    pytest.param(FRIEND, elements(b'for="[2001:db9::1]:4711"'), "2001:db9::1", id="IPv6 with a port"),
    pytest.param(FRIEND, elements(b'for="198.51.100.1:_port"'), "10.0.0.1", id="a hidden port is refused"),
    pytest.param(FRIEND, elements(b'FOR="198.51.100.1:80" ; Proto=http'), "198.51.100.1", id="lenient names"),
    pytest.param(FRIEND, elements(b'for="198.51.100.1";host="a, for=6.6.6.6"'), "198.51.100.1", id="quoted"),
    pytest.param(
        FRIEND, elements(b'for=198.51.100.1;host="a\\", for=6.6.6.6'), "10.0.0.1", id="no end quote"
    ),
    pytest.param(FRIEND, elements(b'for=6.6.6.6", for=198.51.100.1'), "10.0.0.1", id="a stray quote"),
    pytest.param(FRIEND, elements(b"for=198.51.100.1;for=6.6.6.6"), "10.0.0.1", id="for twice"),
    pytest.param(FRIEND, elements(b"198.51.100.1"), "10.0.0.1", id="no pair"),
    pytest.param(FRIEND, elements(b",, for=198.51.100.1;; ,"), "198.51.100.1", id="empty elements"),
    pytest.param(FRIEND, listed(b"198.51.100.1:4711"), "198.51.100.1", id="a port"),
    pytest.param(FRIEND, listed(b"[2001:db9::1]:4711"), "2001:db9::1", id="brackets"),
    pytest.param(FRIEND, listed(b"2001:DB9::1"), "2001:db9::1", id="IPv6, however it is written"),
    pytest.param(FRIEND, listed(b"::ffff:198.51.100.1"), "198.51.100.1", id="IPv4 in IPv6"),
    pytest.param(FRIEND, listed(b"6.6.6.6, ::ffff:10.0.0.7"), "6.6.6.6", id="trusted as IPv4 in IPv6"),
    pytest.param(FRIEND, listed(b", ".join([b"6.6.6.6"] + 200 * [b"10.0.0.7"])), "10.0.0.7", id="200 hops"),
    pytest.param(Peer(None, "http"), (), "unix", id="a unix socket"),
    *(
        pytest.param(FRIEND, listed(b"6.6.6.6, " + hop), "10.0.0.1", id=f"no address: {hop!r}")
        for hop in (
            b"\xff",
            b"a\x00b",
            b"1.2.3",
            b"01.2.3.4",
            b"1.2.3.4:",
            b"1.2.3.4:123456",
            b"[1.2.3.4",
            b"fe80::1%eth0",
            b"'; drop",
            b'"1.2.3.4"',
            b"host.example",
            b"\xd9\xa1.2.3.4",
            b":" * 60_000,
        )
    ),
]


@series(("peer", "fields", "client"), CLIENTS)
def test_who_the_client_is(peer, fields, client):
    told = told_by(peer, fields)
    assert told.client == client
    # Whatever was sent, what goes on are addresses that were believed.
    (sent,) = get_all(forwarded_headers(fields, told, identity=ID, prefix=""), b"x-forwarded-for")
    assert sent.decode().split(", ")[0] == client


def test_a_proxy_on_a_unix_socket_is_believed_where_it_is_trusted():
    assert told_by(Peer(None, "http"), listed(b"::1"), unix=True).client == "::1"
    assert told_by(Peer(None, "http"), listed(b"::1")).client == "unix"
    headers = forwarded_headers(
        (), told_by(Peer(None, "http"), listed(b"::1"), unix=True), identity=ID, prefix=""
    )
    assert joined(headers, b"x-forwarded-for") == b"::1, unix"
    assert joined(headers, b"forwarded") == b'for="[::1]";proto=http, for=unknown'


SAID = [
    # fields of a trusted proxy; proto, host and prefix as they go on
    pytest.param(
        elements(b'for=6.6.6.6;proto=HTTPS;host="a.example:8443"'), (b"https", b"a.example:8443"), id="all"
    ),
    pytest.param(
        elements(b"for=6.6.6.6;proto=https;host=a, for=10.0.0.7;proto=http;host=b"),
        (b"https", b"a"),
        id="of the client's hop, not of one inside",
    ),
    pytest.param(
        elements(b"for=6.6.6.6;proto=https;host=evil, for=198.51.100.1;proto=http;host=b"),
        (b"http", b"b"),
        id="not of what a stranger wrote",
    ),
    pytest.param(
        ((b"x-forwarded-proto", b"http"), *elements(b"for=6.6.6.6;proto=https")),
        (b"http", b"glance"),
        id="X-Forwarded-Proto wins",
    ),
    pytest.param(((b"x-forwarded-proto", b"https, http"),), (b"http", b"glance"), id="the last of a list"),
    pytest.param(((b"x-forwarded-proto", b"gopher"),), (b"http", b"glance"), id="no scheme for a worker"),
    pytest.param(((b"x-forwarded-host", b'a"b'),), (b"http", b"glance"), id="no host"),
    pytest.param(((b"x-forwarded-host", b"a b"),), (b"http", b"glance"), id="no host either"),
    pytest.param(elements(b'for=6.6.6.6;proto="a b";host="/x"'), (b"http", b"glance"), id="neither"),
    pytest.param(((b"x-forwarded-prefix", b"//evil/"),), (b"http", b"glance"), id="no prefix"),
    pytest.param(((b"x-forwarded-prefix", b"relative"),), (b"http", b"glance"), id="no prefix either"),
]


@series(("fields", "told"), SAID)
def test_scheme_and_host_of_the_way_here(fields, told):
    headers = forward(*fields, peer=FRIEND)
    assert (joined(headers, b"x-forwarded-proto"), joined(headers, b"x-forwarded-host")) == told
    assert joined(headers, b"x-forwarded-prefix") is None


def test_no_more_hops_are_looked_at_than_are_believed(monkeypatch):
    """A client may have put thousands before them, in 64 KiB of each request."""
    seen = []

    def look(node):
        seen.append(node)
        return parse_node(node)

    monkeypatch.setattr(hops, "parse_node", look)
    lines = [(b"x-forwarded-for", b"1.1.1.1," * 4000 + b"1.1.1.1"), (b"x-forwarded-for", b"10.0.0.2")]
    assert hops.find_origin(lines, {"10.0.0.2"}.__contains__).hops == ("1.1.1.1", "10.0.0.2")
    assert len(seen) == hops.MOST_HOPS


@pytest.mark.parametrize("more", [0, 1])
def test_no_longer_forwarded_is_read_than_hops_can_be(more):
    """Of a longer one nothing is believed: its last hops are found by a look at each octet before them."""
    ours = b",for=10.0.0.2"
    lines = [(b"forwarded", b";" * (hops.LONGEST_FORWARDED - len(ours) + more) + ours)]
    assert hops.find_origin(lines, {"10.0.0.2"}.__contains__).hops == (() if more else ("10.0.0.2",))
