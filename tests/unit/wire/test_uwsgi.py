"""The uwsgi packet: its bytes written out by hand, its limits, and the variables of a request."""

import pytest

from shim.errors import HeadTooLarge
from shim.wire.uwsgi import (
    MAX_VARIABLES_SIZE,
    PING,
    PONG_MODIFIER,
    UwsgiRequest,
    encode_packet,
    request_variables,
    split_mount,
)
from tests.support.series import series

PLAIN = UwsgiRequest(
    method="GET",
    target=b"/",
    http_version="1.1",
    headers=[],
    mount="",
    length=None,
    scheme="http",
    remote="192.0.2.1",
    server=("10.0.0.9", 9292),
)


# -- the packet -----------------------------------------------------------------------------------


def test_golden_packet():
    request = PLAIN._replace(
        method="PUT",
        target=b"/image/v2/x%2Fy?z",
        mount="/image",
        length=6,
        headers=[(b"host", b"a"), (b"content-type", b"b/c"), (b"x-a", b"1"), (b"x-a", b"2")],
    )
    assert encode_packet(request_variables(request)) == (
        b"\x00\x26\x01\x00"  # 0x0126 = 294 bytes of variables
        b"\x0e\x00REQUEST_METHOD\x03\x00PUT"
        b"\x0b\x00REQUEST_URI\x11\x00/image/v2/x%2Fy?z"
        b"\x0b\x00SCRIPT_NAME\x06\x00/image"
        b"\x09\x00PATH_INFO\x07\x00/v2/x/y"
        b"\x0c\x00QUERY_STRING\x01\x00z"
        b"\x0f\x00SERVER_PROTOCOL\x08\x00HTTP/1.1"
        b"\x0e\x00REQUEST_SCHEME\x04\x00http"
        b"\x0b\x00SERVER_NAME\x08\x0010.0.0.9"
        b"\x0b\x00SERVER_PORT\x04\x009292"
        b"\x0b\x00REMOTE_ADDR\x09\x00192.0.2.1"
        b"\x0c\x00CONTENT_TYPE\x03\x00b/c"
        b"\x0e\x00CONTENT_LENGTH\x01\x006"
        b"\x09\x00HTTP_HOST\x01\x00a"
        b"\x08\x00HTTP_X_A\x04\x001, 2"
    )


def test_golden_packet_of_nothing():
    assert encode_packet({}) == b"\x00\x00\x00\x00"
    assert encode_packet({b"": b""}) == b"\x00\x04\x00\x00" + b"\x00\x00" * 2


def test_golden_packet_of_many_bytes():
    packet = encode_packet({b"A": b"x" * 0x1234})
    assert packet == b"\x00\x39\x12\x00" + b"\x01\x00A" + b"\x34\x12" + b"x" * 0x1234


def test_the_ping():
    assert PING == b"\x64\x00\x00\x00"
    assert PING[0] == PONG_MODIFIER


ONE_TOO_MANY = MAX_VARIABLES_SIZE + 1
FULL = [
    pytest.param([(b"A", 65_530)], id="one variable"),
    pytest.param([(b"A", 1), (b"B", 65_524)], id="two variables"),
    pytest.param([(b"A" * 65_531, 0)], id="a long name"),
]


@pytest.mark.parametrize("sizes", FULL)
def test_65_535_bytes_pass(sizes):
    packet = encode_packet({name: b"x" * size for name, size in sizes})
    assert packet[:4] == b"\x00\xff\xff\x00"
    assert len(packet) == 4 + 65_535


@pytest.mark.parametrize("sizes", FULL)
def test_65_536_bytes_are_refused(sizes):
    *others, (name, size) = sizes
    with pytest.raises(HeadTooLarge, match="65536 bytes"):
        encode_packet({**{name: b"x" * size for name, size in others}, name: b"x" * (size + 1)})


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({b"A": b"x" * ONE_TOO_MANY}, id="a value that its length cannot say"),
        pytest.param({b"A" * ONE_TOO_MANY: b""}, id="a name that its length cannot say"),
        pytest.param({b"%d" % number: b"" for number in range(20_000)}, id="many small ones"),
    ],
)
def test_more_is_refused(variables):
    with pytest.raises(HeadTooLarge):
        encode_packet(variables)


# -- the path -------------------------------------------------------------------------------------

PATHS = [
    # target, mount, SCRIPT_NAME, PATH_INFO, QUERY_STRING
    pytest.param(b"/", "", b"", b"/", b"", id="root"),
    pytest.param(b"/v2/images", "", b"", b"/v2/images", b"", id="no mount"),
    pytest.param(b"/v2?a=b&c=%2F", "", b"", b"/v2", b"a=b&c=%2F", id="query stays raw"),
    pytest.param(b"/v2?a?b", "", b"", b"/v2", b"a?b", id="only the first ? counts"),
    pytest.param(b"/v2?", "", b"", b"/v2", b"", id="empty query"),
    pytest.param(b"/a%2Fb", "", b"", b"/a/b", b"", id="escaped slash is decoded"),
    pytest.param(b"/%61%C3%A4%00%0A", "", b"", b"/a\xc3\xa4\x00\n", b"", id="any byte is decoded"),
    pytest.param(b"/%zz%2", "", b"", b"/%zz%2", b"", id="what is no escape stays"),
    pytest.param(b"/%253F", "", b"", b"/%3F", b"", id="decoded once"),
    pytest.param(b"/a+b", "", b"", b"/a+b", b"", id="a plus is a plus"),
    pytest.param(b"//v2/../x/.", "", b"", b"//v2/../x/.", b"", id="nothing is normalised"),
    pytest.param(b"*", "", b"", b"*", b"", id="asterisk"),
    pytest.param(b"/image/v2/x%2Fy?z", "/image", b"/image", b"/v2/x/y", b"z", id="mount"),
    pytest.param(b"/image", "/image", b"/image", b"", b"", id="the mount itself"),
    pytest.param(b"/image/", "/image", b"/image", b"/", b"", id="the mount with slash"),
    pytest.param(b"/image?z", "/image", b"/image", b"", b"z", id="the mount with query"),
    pytest.param(b"/%69mage/v2", "/image", b"/image", b"/v2", b"", id="the mount escaped"),
    pytest.param(b"/images/v2", "/image", b"", b"/images/v2", b"", id="longer than the mount"),
    pytest.param(b"/v2/image", "/image", b"", b"/v2/image", b"", id="outside the mount"),
    pytest.param(b"/Image/v2", "/image", b"", b"/Image/v2", b"", id="mounts are case-sensitive"),
    pytest.param(b"/a/b/c", "/a/b", b"/a/b", b"/c", b"", id="a mount of two segments"),
    pytest.param(b"/b%C3%A4/c", "/b\u00e4", b"/b\xc3\xa4", b"/c", b"", id="a mount beyond ASCII"),
]


@series(("target", "mount", "script_name", "path_info", "query"), PATHS)
def test_paths(target, mount, script_name, path_info, query):
    variables = request_variables(PLAIN._replace(target=target, mount=mount))
    assert variables[b"REQUEST_URI"] == target
    assert variables[b"SCRIPT_NAME"] == script_name
    assert variables[b"PATH_INFO"] == path_info
    assert variables[b"QUERY_STRING"] == query


def test_split_mount():
    assert split_mount(b"/a/b", b"") == (b"", b"/a/b")
    assert split_mount(b"/a/b", b"/a") == (b"/a", b"/b")


# -- the other variables --------------------------------------------------------------------------

FIXED = {
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
}

REQUESTS = [
    # what differs from the plain request, the variables that differ
    pytest.param({}, {}, id="plain"),
    pytest.param({"length": None}, {b"CONTENT_LENGTH": None}, id="no body, no length"),
    pytest.param({"length": 0}, {b"CONTENT_LENGTH": b"0"}, id="an empty body"),
    pytest.param({"length": 2**40}, {b"CONTENT_LENGTH": b"1099511627776"}, id="a large body"),
    pytest.param({"http_version": "1.0"}, {b"SERVER_PROTOCOL": b"HTTP/1.0"}, id="HTTP/1.0"),
    pytest.param({"scheme": "https"}, {b"REQUEST_SCHEME": b"https", b"HTTPS": b"on"}, id="https"),
    pytest.param({"remote": "::1"}, {b"REMOTE_ADDR": b"::1"}, id="IPv6"),
    pytest.param({"remote": None}, {b"REMOTE_ADDR": b"127.0.0.1"}, id="a client on a unix socket"),
    pytest.param(
        {"server": ("/run/shim.sock", None)},
        {b"SERVER_NAME": b"/run/shim.sock", b"SERVER_PORT": b"0"},
        id="listening on a unix socket",
    ),
]


@series(("differs", "changed"), REQUESTS)
def test_variables(differs, changed):
    expected = request_variables(PLAIN) | changed
    expected = {name: value for name, value in expected.items() if value is not None}
    assert request_variables(PLAIN._replace(**differs)) == expected


def test_the_fixed_list():
    assert request_variables(PLAIN) == {
        b"REQUEST_METHOD": b"GET",
        b"REQUEST_URI": b"/",
        b"SCRIPT_NAME": b"",
        b"PATH_INFO": b"/",
        b"QUERY_STRING": b"",
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"REQUEST_SCHEME": b"http",
        b"SERVER_NAME": b"10.0.0.9",
        b"SERVER_PORT": b"9292",
        b"REMOTE_ADDR": b"192.0.2.1",
        b"CONTENT_TYPE": b"",
    }


HEADERS = [
    # fields, the variables they become
    pytest.param([(b"host", b"a")], {b"HTTP_HOST": b"a"}, id="host"),
    pytest.param([(b"x-auth-token", b"t")], {b"HTTP_X_AUTH_TOKEN": b"t"}, id="hyphens"),
    pytest.param([(b"x-a", b"")], {b"HTTP_X_A": b""}, id="empty value"),
    pytest.param([(b"x-a", b"1"), (b"x-b", b"2")], {b"HTTP_X_A": b"1", b"HTTP_X_B": b"2"}, id="two"),
    pytest.param([(b"x-a", b"1"), (b"x-a", b"2")], {b"HTTP_X_A": b"1, 2"}, id="repeated"),
    pytest.param([(b"x-a", b""), (b"x-a", b"2")], {b"HTTP_X_A": b", 2"}, id="repeated, first empty"),
    pytest.param(
        [(b"x-a", b"1"), (b"x-b", b""), (b"x-a", b"3")], {b"HTTP_X_A": b"1, 3", b"HTTP_X_B": b""}, id="apart"
    ),
    pytest.param([(b"cookie", b"a=b"), (b"cookie", b"c=d")], {b"HTTP_COOKIE": b"a=b; c=d"}, id="cookies"),
    pytest.param([(b"content-type", b"a/b")], {b"CONTENT_TYPE": b"a/b"}, id="content type"),
    pytest.param([(b"content-length", b"7")], {}, id="content length is not the client's to say"),
    pytest.param([(b"https", b"on")], {b"HTTP_HTTPS": b"on"}, id="https"),
    pytest.param([(b"script-name", b"/x")], {b"HTTP_SCRIPT_NAME": b"/x"}, id="script-name"),
    pytest.param([(b"remote-addr", b"::")], {b"HTTP_REMOTE_ADDR": b"::"}, id="remote-addr"),
    pytest.param([(b"uwsgi-postfile", b"/x")], {b"HTTP_UWSGI_POSTFILE": b"/x"}, id="uwsgi-postfile"),
]


@series(("fields", "added"), HEADERS)
def test_header_variables(fields, added):
    assert request_variables(PLAIN._replace(headers=fields)) == request_variables(PLAIN) | added


@pytest.mark.parametrize("length", [None, 0, 6], ids=str)
def test_what_must_never_appear(length):
    headers = [(b"content-type", b"a/b"), (b"content-length", b"7"), (b"x-a", b"1")]
    names = request_variables(PLAIN._replace(headers=headers, length=length)).keys()
    assert not names & {b"HTTP_CONTENT_LENGTH", b"HTTP_CONTENT_TYPE", b"HTTP_TRANSFER_ENCODING"}
    assert (b"CONTENT_LENGTH" in names) is (length is not None)
    assert names >= FIXED


def test_uwsgi_takes_128_variables():
    assert encode_packet({b"X%d" % number: b"" for number in range(128)})
    with pytest.raises(HeadTooLarge, match="129 uwsgi variables; uWSGI takes 128"):
        encode_packet({b"X%d" % number: b"" for number in range(129)})
