"""What people are told of answers and connections that fail."""

import ssl

import httpx
import pytest

from shim.bench.faults import ADVICE, BenchFault, Refused, in_words, reason_in
from tests.support.series import series


@series(("body", "reason"), [
    (b"", ""),
    (b"413 body_too_large: over the limit\n", "413 body_too_large: over the limit"),
    (b'{"code": "spool_full", "detail": "no room", "status": 503}', "spool_full: no room"),
    (b'{"error": "x"}', '{"error": "x"}'),
    (b"[1, 2", "[1, 2"),
    (b"<html><head><title>403</title></head><h1>403</h1>Quota &lt; size</html>", "403 Quota < size"),
    (b"<script>alert(1)</script>no", "no"),
    (b"a\x1b]0;title\x07b\r\nc\xff", "a ]0;title b c�"),
    (b"x" * 1000, "x" * 299 + "…"),
])  # fmt: skip
def test_reasons(body, reason):
    assert reason_in(body) == reason


@series(("status", "is_certain"), [(401, True), (409, True), (500, False), (503, False)])
def test_a_refusal_says_what_to_do_and_whether_anything_was_done(status, is_certain):
    fault = Refused("uploading", status, "because")
    assert str(fault).startswith(f"uploading: {status} ")
    assert ADVICE[status] in str(fault)
    assert str(fault).endswith("it says: because")
    assert fault.is_certain is is_certain
    assert str(Refused("uploading", 799, "")) == "uploading: 799"


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@series(("error", "kind", "words"), [
    (caused(httpx.ConnectError("All failed"), ConnectionRefusedError(111, "Connect call failed ('::1', 1)")),
     "unreachable", "no connection: Connection refused"),
    (caused(httpx.ConnectError(""), ssl.SSLCertVerificationError(1, "certificate verify failed")),
     "unreachable", "certificate verify failed"),
    (httpx.ConnectTimeout(""), "unreachable", "no connection within 10 s"),
    (httpx.ReadTimeout(""), "late", "no answer in time"),
    (httpx.WriteTimeout(""), "late", "took no more of the body"),
    (httpx.ReadError(""), "cut", "cut before the answer"),
    (httpx.WriteError(""), "cut", "while the body was being sent"),
    (httpx.RemoteProtocolError("Server disconnected"), "cut", "Server disconnected"),
    (httpx.TooManyRedirects("x"), "cut", "x"),
])  # fmt: skip
def test_connections(error, kind, words):
    with pytest.raises(BenchFault, match="asking: ") as raised, in_words("asking", 10):
        raise error
    assert raised.value.kind == kind
    assert words in str(raised.value)
    assert raised.value.is_certain is (kind == "unreachable")
