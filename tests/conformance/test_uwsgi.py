"""The uwsgi protocol (case 18, and the variables of 19).

The packet byte for byte, its limits, and that no name in it ever comes from a client.
"""

import re
import struct

import pytest

from tests.support import replies
from tests.support.client import HOST, chunked, get, head, put, put_chunked
from tests.support.rig import REQUEST_ID, Rig, cases
from tests.support.series import series
from tests.support.stub import encode_variables
from tests.support.wire import eventually

CASES = cases("uwsgi-tcp-plain", "uwsgi-unix-fast")

KIB = 1 << 10

CGI = {
    "REQUEST_METHOD",
    "REQUEST_URI",
    "PATH_INFO",
    "QUERY_STRING",
    "SCRIPT_NAME",
    "SERVER_PROTOCOL",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "REQUEST_SCHEME",
    "HTTPS",
    "DOCUMENT_ROOT",
    "UWSGI_SCHEME",
}
"""Variables that may be there beside HTTP_*; all others have power over the worker or no business here."""

NEEDED = CGI - {
    "REMOTE_PORT",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "REQUEST_SCHEME",
    "HTTPS",
    "DOCUMENT_ROOT",
    "UWSGI_SCHEME",
}

SET = {
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_OPENSTACK_REQUEST_ID",
    "HTTP_X_REQUEST_ID",
}
"""What the shim adds to every request."""


@series(
    ("request_", "body"),
    [
        pytest.param(put_chunked("/v2/images/1/file?a=b%20c", chunked(b"foobar")), b"foobar", id="chunked"),
        pytest.param(put("/v2/images/1/file?a=b%20c", b"foobar"), b"foobar", id="length"),
        pytest.param(get("/v2/images/1/file?a=b%20c"), b"", id="GET"),
        pytest.param(put_chunked("/v2/images/1/file?a=b%20c", chunked(b"")), b"", id="empty"),
    ],
)
def test_golden_packet(rig: Rig, request_, body):
    lines = (
        b"X-Auth-Token: secret\r\nContent-Type: application/octet-stream\r\nAccept: a\r\nAccept: b\r\n\r\n"
    )
    request = request_.replace(b"\r\n\r\n", b"\r\n" + lines, 1)
    assert rig.ask(request).status == 200
    seen = rig.stub.only()

    # the packet: modifier1 0, size of the variables, modifier2 0, and they fill it exactly
    assert seen.raw[:1] == b"\0"
    assert struct.unpack("<H", seen.raw[1:3]) == (len(seen.raw) - 4,)
    assert seen.raw[3:4] == b"\0"
    assert encode_variables(seen.fields) == seen.raw

    variables = seen.variables
    method = request_.split(b" ", 1)[0].decode()
    expected = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": "/v2/images/1/file?a=b%20c",
        "PATH_INFO": "/v2/images/1/file",
        "QUERY_STRING": "a=b%20c",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/octet-stream",
        "HTTP_HOST": HOST,
        "HTTP_X_AUTH_TOKEN": "secret",
        "HTTP_ACCEPT": "a, b",
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert re.fullmatch("[0-9]{1,5}", variables["SERVER_PORT"])
    assert variables["SERVER_NAME"]
    if method == "GET":
        assert not variables.get("CONTENT_LENGTH")
    else:
        assert variables["CONTENT_LENGTH"] == str(len(body))
    assert seen.body == body

    web = {name for name in variables if name.startswith("HTTP_")}
    assert web - {"HTTP_X_FORWARDED_PREFIX"} == {"HTTP_HOST", "HTTP_X_AUTH_TOKEN", "HTTP_ACCEPT"} | SET
    assert NEEDED <= variables.keys() - web <= CGI
    assert REQUEST_ID.fullmatch(variables["HTTP_X_OPENSTACK_REQUEST_ID"])
    assert len(variables) <= 128


@series("target", ["/", "/?", "/v2//images", "/v2/images?a", "//", "/x?y?z", "/%2F?%3F"])
def test_script_name_is_always_there(rig: Rig, target):
    assert rig.ask(get(target)).status == 200
    variables = rig.stub.only().variables
    assert variables["SCRIPT_NAME"] == ""
    assert variables["REQUEST_URI"] == target
    path, _, query = target.partition("?")
    assert variables["PATH_INFO"] == path.replace("%2F", "/")
    assert variables["QUERY_STRING"] == query


BIG = {"limits.max_head": "256KiB"}


@pytest.mark.parametrize("headers", [1, 4])
def test_variables_fill_the_packet_to_the_last_byte(rig_with, headers):
    """65,535 bytes of variables pass, 65,536 do not."""
    rig = rig_with(BIG)

    def request(total: int) -> bytes:
        share = total // headers
        sizes = [share] * (headers - 1) + [total - share * (headers - 1)]
        return put_chunked(
            "/x", chunked(b"foobar"), *(f"X-{n}: {'y' * size}" for n, size in enumerate(sizes))
        )

    assert rig.ask(request(1000)).status == 200
    fixed = len(rig.stub.only().raw) - 4 - 1000
    rig.stub.forget()
    assert rig.ask(request(65_535 - fixed)).status == 200
    seen = rig.stub.only()
    assert seen.raw[1:3] == b"\xff\xff"
    assert (len(seen.raw), seen.body) == (65_535 + 4, b"foobar")
    rig.stub.forget()
    rig.assert_refused(request(65_536 - fixed), "head_too_large")


@series(
    "request_",
    [
        pytest.param(get("/x", "X: " + "y" * 66_000), id="one value"),
        pytest.param(get("/x", *(f"X-{n}: " + "y" * 1000 for n in range(80))), id="80 headers"),
        pytest.param(get("/" + "x" * 33_000), id="target, there twice"),
        pytest.param(get("/x", *["X: " + "y" * 1000] * 80), id="80 equal headers"),
    ],
)
def test_head_that_does_not_fit_the_packet(rig_with, request_):
    rig_with(BIG).assert_refused(request_, "head_too_large")


@series("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
def test_head_that_does_not_fit_is_refused_before_the_body(rig_with, framing):
    """Nobody uploads an image only to hear that its head was too large: no 100, no waiting for the body."""
    request = head("PUT", "/x", framing, "Expect: 100-continue", "X: " + "y" * 66_000)
    rig_with(BIG).assert_refused(request, "head_too_large", hidden=False)


def test_name_of_a_header_that_fits(rig: Rig):
    name = "X-" + "a" * 1000
    assert rig.ask(get("/x", f"{name}: y")).status == 200
    assert rig.stub.only().variables[f"HTTP_{name.upper().replace('-', '_')}"] == "y"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(get("/x"), id="GET"),
        pytest.param(put_chunked("/x", chunked(b"foobar")), id="PUT"),
        pytest.param(put_chunked("/x", chunked(bytes(2048 * KIB))), id="large PUT"),
    ],
)
@pytest.mark.parametrize("after", [0, None])
def test_instant_end_names_buffer_size_in_the_log(rig: Rig, request_, after):
    start = rig.shim.log_size()
    rig.stub.answer(replies.vanish(after))
    rig.assert_problem(rig.ask(request_), "upstream_closed")
    assert len(rig.stub.requests) == 1
    eventually(
        lambda: any("buffer-size" in str(line) for line in rig.shim.log_lines(start)),
        "a log line that names buffer-size",
    )


POWERFUL = [
    "UWSGI_POSTFILE: /etc/passwd",
    "Uwsgi-Postfile: /etc/passwd",
    "UWSGI-POSTFILE: /etc/passwd",
    "Uwsgi_Setenv: A=B",
    "Uwsgi-Setenv: A=B",
    "Uwsgi-Chdir: /",
    "Uwsgi-Touch-Reload: /evil",
    "Uwsgi-File: /evil",
    "UWSGI_FILE: /evil",
    "Script-Name: /evil",
    "SCRIPT_NAME: /evil",
    "Script_Name: /evil",
    "Path-Info: /evil",
    "PATH_INFO: /evil",
    "Request-Method: EVIL",
    "REQUEST_METHOD: EVIL",
    "Remote-Addr: 6.6.6.6",
    "REMOTE_ADDR: 6.6.6.6",
    "Remote-User: admin",
    "REMOTE_USER: admin",
    "Content_Length: 99",
    "CONTENT_LENGTH: 99",
    "HTTP_X_FORWARDED_FOR: 6.6.6.6",
    "X_Forwarded_For: 6.6.6.6",
    "Proxy: http://evil",
    "PROXY: http://evil",
    "X-Auth_Token: evil",
    "Document-Root: /",
    "Https: on",
    "Server-Name: evil",
]


@series("header", POWERFUL)
def test_no_variable_comes_from_a_client(rig: Rig, header):
    assert rig.ask(put_chunked("/x", chunked(b"foobar"), header)).status == 200
    seen = rig.stub.only()
    name = header.partition(":")[0]
    plain = {variable for variable in seen.variables if not variable.startswith("HTTP_")}
    assert plain <= CGI
    assert not [variable for variable in seen.variables if variable.startswith("UWSGI_")]
    assert (
        seen.variables["REQUEST_METHOD"],
        seen.variables["PATH_INFO"],
        seen.variables["SCRIPT_NAME"],
        seen.variables["CONTENT_LENGTH"],
        seen.variables["REMOTE_ADDR"],
    ) == ("PUT", "/x", "", "6", "127.0.0.1")
    assert seen.variables["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert "HTTP_CONTENT_LENGTH" not in seen.variables
    assert "HTTP_CONTENT_TYPE" not in seen.variables
    assert "HTTP_PROXY" not in seen.variables
    if "_" in name:
        assert header.partition(": ")[2] not in seen.variables.values()
        assert "HTTP_" + name.upper() not in seen.variables.keys() - SET


def test_header_with_underscore_does_not_join_the_real_one(rig: Rig):
    assert rig.ask(get("/x", "X-Auth-Token: own", "X_Auth_Token: evil", "X-Auth_Token: evil")).status == 200
    assert rig.stub.only().variables["HTTP_X_AUTH_TOKEN"] == "own"


@series(
    ("lines", "name", "value"),
    [
        (["X-A: 1", "X-B: 2", "x-a: 3"], "HTTP_X_A", "1, 3"),
        (["Cookie: a=1", "Cookie: b=2"], "HTTP_COOKIE", "a=1; b=2"),
        (["X-A:", "X-A: 1"], "HTTP_X_A", ", 1"),
        (["X-A: a,b", "X-A: c"], "HTTP_X_A", "a,b, c"),
        (["X-A: \xe9"], "HTTP_X_A", "\xe9"),
        (["X-A: a\tb"], "HTTP_X_A", "a\tb"),
    ],
)
def test_repeated_headers_become_one_variable(rig: Rig, lines, name, value):
    assert rig.ask(get("/x", *lines)).status == 200
    assert rig.stub.only().variables[name] == value


def test_more_than_128_variables_are_refused(rig: Rig):
    """uWSGI would drop the request without an answer, and look as if it had failed."""
    assert rig.ask(get("/x", *(f"X-{number}: y" for number in range(100)))).status == 200
    assert {f"HTTP_X_{number}" for number in range(100)} <= rig.stub.only().variables.keys()
    for body in ([], ["Content-Length: 5"]):
        with rig.client() as client:
            client.send(get("/x", *body, *(f"X-{number}: y" for number in range(128))))
            rig.assert_problem(client.answer(), "head_too_large")
    rig.stub.only()


def test_answer_ended_by_close(rig: Rig):
    rig.stub.answer(replies.until_close(b"hello"))
    assert rig.ask(get("/x")).body == b"hello"


def test_every_request_has_its_own_connection(rig: Rig):
    for number in range(4):
        assert rig.ask(get(f"/{number}")).status == 200
    assert len({seen.connection for seen in rig.stub.requests}) == 4
