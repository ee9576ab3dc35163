"""The edges of the proxied listener: what it never shows, and what a client cannot write into the log."""

import pytest

from tests.support.client import get, head, put_chunked
from tests.support.rig import EACH_ONCE, Rig
from tests.support.series import series
from tests.support.wire import eventually

CASES = EACH_ONCE
ADMIN = ["/", "/healthz", "/readyz", "/metrics", "/status.json", "/uploads"]


@series("path", ADMIN)
def test_no_admin_page_is_reached_through_the_proxied_listener(rig: Rig, path):
    """Whatever is asked for goes up, by whatever name of the admin listener it is asked."""
    with rig.client() as client:
        client.send(head("GET", path, host=f"127.0.0.1:{rig.shim.admin_port}"))
        assert client.answer().status == 200
    assert rig.stub.only().target == path


SECRET = "s3cr3t-of-the-client"
HOSTILE = [
    pytest.param(get("/x", f"X-Auth-Token: {SECRET}", f"Cookie: {SECRET}"), id="values of headers"),
    pytest.param(get("/x%0d%0a%1b[31m{"), id="escapes in the path"),
    pytest.param(get(b"/x\xe2\x80\xa8\xff".decode("latin-1")), id="bytes in the path"),
    pytest.param(
        b"GET /x HTTP/1.1\r\nHost: a\r\n\x1b[31m" + SECRET.encode() + b": 1\r\n\r\n", id="a field's name"
    ),
    pytest.param(get("/x", b"X: \x1b[31m" + SECRET.encode()), id="a field's value"),
    pytest.param(get("/x", f"X-Openstack-Request-Id: req-{SECRET}\x7f"), id="a request id"),
    pytest.param(get("/x", "X-Forwarded-For: \x1b[31m" + SECRET), id="an address"),
    pytest.param(b"\x1b]0;" + SECRET.encode() + b"\x07 / HTTP/1.1\r\nHost: a\r\n\r\n", id="a method"),
    pytest.param(head("PUT", "/x", "Transfer-Encoding: \x0b" + SECRET), id="a coding"),
    pytest.param(put_chunked("/x", SECRET.encode() + b"\r\n"), id="a chunk size"),
    pytest.param(head("PUT", "/x", f"Expect: {SECRET}", "Content-Length: 1"), id="an expectation"),
    pytest.param(head("PUT", "/x", f"X-Openstack-Image-Size: {SECRET}", "Content-Length: 1"), id="a size"),
    pytest.param(head("GET", "/x", host=f"a b{SECRET}"), id="a host"),
    pytest.param(get("/x", "X-Auth-Token: a", f" {SECRET}"), id="a folded value"),
]


@series("request_", HOSTILE)
def test_a_client_writes_nothing_into_the_log_but_its_path(rig: Rig, request_):
    before = rig.shim.log_size()
    with rig.client() as client:
        client.offer(request_)
        own = client.answer().header("X-Openstack-Request-Id")
    eventually(lambda: own in rig.shim.log_text(before), "the request is written down")
    text = rig.shim.log_text(before)
    # Every line is a whole object of ours, and printable: nobody's terminal is told what to do.
    assert len(rig.shim.log_lines(before)) == len(text.splitlines())
    assert all(line.isascii() and line.isprintable() for line in text.splitlines())
    assert SECRET not in text
