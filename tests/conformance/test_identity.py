"""What a request becomes (cases 19 and 20).

The path goes up byte for byte; headers are dropped, set and kept; nobody gets another's cookies; no
proxy variable is heeded.
"""

import re

from tests.support import replies
from tests.support.client import HOST, chunked, get, head, put, put_chunked
from tests.support.rig import EACH_ONCE, REQUEST_ID, Rig, only, several
from tests.support.series import series
from tests.support.stub import Seen
from tests.support.wire import eventually

CASES = EACH_ONCE

# -- the path -------------------------------------------------------------------------------------------

TARGETS = [
    # target, PATH_INFO decoded
    ("/", "/"),
    ("/v2/images", "/v2/images"),
    ("/v2/images/", "/v2/images/"),
    ("/v2/x%2Fy?z", "/v2/x/y"),
    ("/v2/x%2fy", "/v2/x/y"),
    ("//v2//images", "//v2//images"),
    ("/a/../b", "/a/../b"),
    ("/a/./b", "/a/./b"),
    ("/a/%2e%2e/b", "/a/../b"),
    ("/a/%2E%2E/b", "/a/../b"),
    ("/..", "/.."),
    ("/a;b=c", "/a;b=c"),
    ("/caf%C3%A9", "/caf\xc3\xa9"),
    ("/%FF", "/\xff"),
    ("/a%20b", "/a b"),
    ("/a+b", "/a+b"),
    ("/%25", "/%"),
    ("/%2525", "/%25"),
    ("/a%3Fb?c", "/a?b"),
    ("/a%23b", "/a#b"),
    ("/x?", "/x"),
    ("/x??", "/x"),
    ("/x?a=b&c=%20d+e", "/x"),
    ("/x?/../y", "/x"),
    ("/!$&'()*,;=:@-._~", "/!$&'()*,;=:@-._~"),
    ("/x?y=http://z/", "/x"),
    ("/http://other/", "/http://other/"),
    ("/a%5Cb", "/a\\b"),
    ("/a%09b", "/a\tb"),
]


@series(("target", "decoded"), TARGETS)
def test_path_goes_up_byte_for_byte(rig: Rig, target, decoded):
    assert rig.ask(get(target)).status == 200
    seen = rig.stub.only()
    assert seen.target == target
    if rig.protocol == "uwsgi":
        assert (seen.variables["PATH_INFO"], seen.variables["SCRIPT_NAME"]) == (decoded, "")
        assert seen.variables["QUERY_STRING"] == target.partition("?")[2]
    else:
        assert seen.raw.startswith(b"GET %b HTTP/1.1\r\n" % target.encode())


@series("target", ["/%", "/%2", "/%zz", "/%00", "/a%0d%0aX: y".replace(": ", ":%20"), "/x?%"])
def test_odd_escapes_go_up_unaltered_or_not_at_all(rig: Rig, target):
    with rig.client() as client:
        client.send(get(target))
        answer = client.answer()
    if answer.status == 200:
        assert rig.stub.only().target == target
    else:
        rig.assert_problem(answer, "bad_request")
        rig.assert_untouched()


@series(
    ("target", "decoded"),
    [
        ("/image/v2/x%2Fy?z", "/v2/x/y"),
        ("/image/v2/images", "/v2/images"),
        ("/image/", "/"),
        ("/image", ""),
        ("/image/image/x", "/image/x"),
        ("/image//x", "//x"),
        ("/image?x", ""),
        ("/image/%69mage", "/image"),
    ],
)
def test_mount(rig_with, target, decoded):
    rig = rig_with(plan=several, ready=None)
    assert rig.ask(put_chunked(target, chunked(b"foobar"))).status == 200
    seen = rig.stub.only()
    assert seen.target == target
    assert seen.body == b"foobar"
    # WSGI has it as SCRIPT_NAME, and what reads X-Forwarded-Prefix adds the two.
    assert seen.joined("X-Forwarded-Prefix") == ("/image" if rig.protocol == "http" else None)
    if rig.protocol == "uwsgi":
        assert (seen.variables["SCRIPT_NAME"], seen.variables["PATH_INFO"]) == ("/image", decoded)


@series("target", ["http://glance.example:9292/v2/images?a=b", "HTTP://glance.example:9292/v2/images?a=b"])
def test_absolute_target(rig: Rig, target):
    """RFC 9112 3.2.2: taken, in origin form; its authority counts, not the Host header."""
    answer = rig.ask(get(target).replace(b"Host: " + HOST.encode(), b"Host: evil.example"))
    if answer.status != 200:
        rig.assert_problem(answer, "bad_request")
        rig.assert_untouched()
        return
    seen = rig.stub.only()
    assert seen.target == "/v2/images?a=b"
    assert (seen.joined("Host"), seen.joined("X-Forwarded-Host")) == (HOST, HOST)
    assert b"evil.example" not in seen.raw


@series(("target", "path"), [("http://a.example", "/"), ("http://a.example?x", "/?x")])
def test_absolute_target_without_a_path(rig: Rig, target, path):
    with rig.client() as client:
        client.send(get(target))
        answer = client.answer()
    if answer.status == 200:
        assert (rig.stub.only().target, rig.stub.only().joined("Host")) == (path, "a.example")
    else:
        rig.assert_problem(answer, "bad_request")
        rig.assert_untouched()


def test_options_asterisk(rig: Rig):
    answer = rig.ask(head("OPTIONS", "*"))
    if answer.status == 200:
        assert rig.stub.only().target == "*"
    else:
        rig.assert_problem(answer, "bad_request")


# -- what is set ----------------------------------------------------------------------------------------


def assert_forwarded(rig: Rig, seen: Seen, via: str = "1.1") -> None:
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == [rig.scheme]
    assert seen.all("X-Forwarded-Host") == [HOST]
    (forwarded,) = seen.all("Forwarded")
    pairs = dict(re.findall(r'(\w+)=("[^"]*"|[^;,]+)', forwarded.lower()))
    assert (pairs["for"].strip('"'), pairs["proto"].strip('"')) == ("127.0.0.1", rig.scheme), forwarded
    assert pairs.get("host", HOST).strip('"') == HOST, forwarded
    assert re.fullmatch(rf"(?:.*, )?{re.escape(via)} \S+.*", seen.joined("Via") or ""), seen.joined("Via")
    for name in ("X-Openstack-Request-Id", "X-Request-Id"):
        (value,) = seen.all(name)
        assert REQUEST_ID.fullmatch(value), value


@series("request_", [get("/x"), put_chunked("/x", chunked(b"foobar")), put("/x", b"foobar")])
def test_forwarded_headers_are_set(rig: Rig, request_):
    assert rig.ask(request_).status == 200
    seen = rig.stub.only()
    assert seen.all("Host") == [HOST]
    assert_forwarded(rig, seen)


@series(
    "header",
    [
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 6.6.6.6",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Host: evil",
        "Forwarded: for=6.6.6.6;proto=https;host=evil",
        "X_Forwarded_For: 6.6.6.6",
        "X_Forwarded_Proto: HTTPS",
        "X-Forwarded_For: 6.6.6.6",
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Port: 666",
        "X-Forwarded-User: evil",
        "Content_Length: 99",
        "Proxy: http://evil",
        "proxy: evil",
        "Transfer_Encoding: chunked",
    ],
)
def test_no_client_says_where_it_comes_from(rig: Rig, header):
    assert rig.ask(put_chunked("/x", chunked(b"foobar"), header, header)).status == 200
    seen = rig.stub.only()
    assert_forwarded(rig, seen)
    name, _, value = header.partition(": ")
    assert (seen.body, seen.length, seen.codings) == (b"foobar", "6", [])
    assert value not in [other for _, other in seen.fields]
    assert "6.6.6.6" not in seen.raw.decode("latin-1")
    assert "evil" not in seen.raw.decode("latin-1")
    if "_" in name or name.lower() == "proxy":
        variable = f"HTTP_{name.upper().replace('-', '_')}"
        ours = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")
        assert name.lower() not in seen.names or (rig.protocol == "uwsgi" and name == "Content_Length")
        assert variable in ours or variable.lower() not in seen.names


TRUSTED = {"server.trusted_proxies": ["127.0.0.0/8"]}


@only("http-tcp")
def test_trusted_proxy_is_believed(rig_with):
    rig = rig_with(TRUSTED)
    lines = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: front.example"]
    assert rig.ask(get("/x", *lines)).status == 200
    seen = rig.stub.only()
    assert seen.joined("X-Forwarded-For") == "6.6.6.6, 127.0.0.1"
    assert seen.joined("X-Forwarded-Proto") == "https"
    assert seen.joined("X-Forwarded-Host") == "front.example"


NAMED = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Forwarded",
    "Via",
    "X-Request-Id",
    "X-Openstack-Request-Id",
    "x-forwarded-for, X-FORWARDED-HOST",
    "close, X-Forwarded-For",
    "Host",
    "Content-Length",
    "Transfer-Encoding",
]


@series("named", NAMED)
@series("framing", ["length", "chunked"])
def test_connection_header_removes_nothing_that_matters(rig: Rig, named, framing):
    line = f"Connection: {named}"
    request = (
        put("/x", b"foobar", line) if framing == "length" else put_chunked("/x", chunked(b"foobar"), line)
    )
    with rig.client() as client:
        client.offer(request)
        answer = client.answer()
    if answer.status == 200:
        seen = rig.stub.only()
        assert_forwarded(rig, seen)
        assert seen.all("Host") == [HOST]
        assert (seen.body, seen.length) == (b"foobar", "6")
    else:  # a Connection that names framing or Host is an attack, and may be refused
        assert named in ("Host", "Content-Length", "Transfer-Encoding"), answer
        rig.assert_problem(answer, "bad_request", "bad_framing")
        rig.assert_untouched()


# -- what is dropped and what is kept -----------------------------------------------------------------------


def test_hop_by_hop_headers_stay_behind(rig: Rig):
    lines = [
        "Connection: keep-alive, X-Private",
        "Connection: X-Secret",
        "X-Private: 1",
        "X-Secret: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: X-Sum",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Proxy-Authorization: Basic x",
        "X-Public: 3",
    ]
    assert rig.ask(put_chunked("/x", chunked(b"foobar"), *lines)).status == 200
    seen = rig.stub.only()
    for name in ("X-Private", "X-Secret", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"):
        assert seen.all(name) == [], name
    assert not {value.lower() for value in seen.all("Connection")} - {"close", "keep-alive"}
    assert seen.joined("X-Public") == "3"
    assert seen.body == b"foobar"


@series(
    "lines",
    [
        [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    ],
)
def test_upgrade_is_not_taken_up(rig: Rig, lines):
    with rig.client() as client:
        client.send(get("/x", *lines))
        answer = client.answer()
        assert (answer.status, answer.interim, answer.body) == (200, (), b"GET /x")
        client.send(get("/y"))
        assert client.answer().body == b"GET /y"
    assert rig.stub.requests[0].all("Upgrade") == []


def test_other_headers_arrive_unaltered(rig: Rig):
    lines = [
        "X-Auth-Token: gAAAAA==",
        "X-Image-Meta-Property: a b  c",
        "Accept: */*",
        "User-Agent: python-glanceclient",
        "Content-Type: application/octet-stream",
        "X-Empty:",
        "X-High: \xe9\xff",
        "X-Tab: a\tb",
        'X-Quote: "a, b\\""',
        "Range: bytes=0-1",
        'If-None-Match: "x"',
        "Authorization: Basic YTpi",
        "X-Openstack-Image-Size: 6",
        "Accept-Encoding: gzip, identity",
        "x-lower: 1",
        "X-UPPER: 2",
        "X.Dotted!: 3",
    ]
    assert rig.ask(put_chunked("/x", chunked(b"foobar"), *lines)).status == 200
    seen = rig.stub.only()
    for line in lines:
        name, _, value = line.partition(":")
        assert seen.all(name) == [value.strip()], name


def test_repeated_headers_keep_their_order(rig: Rig):
    lines = [
        "X-A: 1",
        "X-B: 2",
        "X-A: 3",
        "Cookie: a=1",
        "X-A: 2",
        "Cookie: b=2",
        "Accept: text/html",
        "Accept: */*",
    ]
    assert rig.ask(get("/x", *lines)).status == 200
    seen = rig.stub.only()
    assert (seen.joined("X-A"), seen.joined("Cookie"), seen.joined("Accept")) == (
        "1, 3, 2",
        "a=1; b=2",
        "text/html, */*",
    )


def test_no_length_of_a_client_survives_beside_ours(rig: Rig):
    assert (
        rig.ask(put_chunked("/x", chunked(b"foobar", 2), "Content_Length: 3", "X-Content-Length: 4")).status
        == 200
    )
    seen = rig.stub.only()
    assert (seen.length, seen.joined("X-Content-Length")) == ("6", "4")
    assert len([name for name in seen.names if name.replace("_", "-").endswith("content-length")]) == 2


# -- request ids ----------------------------------------------------------------------------------------

OWN_ID = "req-0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@series("name", ["X-Openstack-Request-Id", "X-Request-Id", "x-openstack-request-id"])
def test_well_formed_request_id_is_kept(rig: Rig, name):
    assert rig.ask(get("/x", f"{name}: {OWN_ID}")).status == 200
    seen = rig.stub.only()
    assert seen.all("X-Openstack-Request-Id") == seen.all("X-Request-Id") == [OWN_ID]


@series(
    "value",
    [
        "evil",
        "req-",
        "req-1",
        OWN_ID + "x",
        "x" + OWN_ID,
        OWN_ID[4:],
        "req-" + "x" * 36,
        "req-" + "0" * 1000,
        OWN_ID.replace("-", "_"),
        f"{OWN_ID}, {OWN_ID}",
        "",
    ],
)
def test_malformed_request_id_is_replaced(rig: Rig, value):
    assert rig.ask(get("/x", f"X-Openstack-Request-Id: {value}")).status == 200
    seen = rig.stub.only()
    for name in ("X-Openstack-Request-Id", "X-Request-Id"):
        (found,) = seen.all(name)
        assert REQUEST_ID.fullmatch(found)
        assert found != value


def test_request_ids_differ_and_stand_in_the_log(rig: Rig):
    start = rig.shim.log_size()
    with rig.client() as client:
        for _ in range(3):
            client.send(get("/x"))
            assert client.answer().status == 200
    found = {seen.joined("X-Openstack-Request-Id") for seen in rig.stub.requests}
    assert len(found) == 3
    for value in found:
        eventually(lambda value=value: value in rig.shim.log_text(start), f"{value} stands in the log")


def test_refusal_carries_the_clients_request_id(rig: Rig):
    answer = rig.assert_refused(
        head("PUT", "/x", "Expect: x", "Content-Length: 6", f"X-Request-Id: {OWN_ID}"), "expectation_failed"
    )
    assert answer.problem["request_id"] == OWN_ID


# -- cookies and proxy variables -----------------------------------------------------------------------------


def test_cookies_of_one_client_never_reach_another(rig: Rig):
    rig.stub.answer(replies.normal(200, b"ok", "Set-Cookie: session=secret; Path=/"))
    with rig.client() as first, rig.client() as second:
        first.send(get("/a", "Cookie: mine=1"))
        assert first.answer().all("Set-Cookie") == ["session=secret; Path=/"]
        for client in (second, first):
            client.send(get("/b"))
            assert client.answer().all("Set-Cookie") == []
    assert [seen.joined("Cookie") for seen in rig.stub.requests] == ["mine=1", None, None]
    assert all(b"secret" not in seen.raw for seen in rig.stub.requests)


def test_proxy_variables_are_ignored(rig: Rig, pool):
    """Every test shim has HTTP_PROXY and its kind set to an address that must never be used."""
    assert rig.ask(put_chunked("/x", chunked(b"foobar"))).status == 200
    assert rig.stub.only().body == b"foobar"
    assert pool.trap.touched == 0
