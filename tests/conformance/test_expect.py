"""Expect (case 13): 100 Continue is a promise.

Who is admitted gets it before the body, who is refused gets the refusal in its place, and the
upstream never hears of either.
"""

import pytest

from tests.support.client import chunked, get, head
from tests.support.rig import EACH_ONCE, TIGHT, Rig
from tests.support.series import series
from tests.support.wire import eventually

CASES = EACH_ONCE
EXPECT = "Expect: 100-continue"
KIB, MIB = 1 << 10, 1 << 20


@series(
    ("headers", "body"),
    [
        pytest.param(["Content-Length: 6"], b"foobar", id="length"),
        pytest.param(["Transfer-Encoding: chunked"], chunked(b"foobar"), id="chunked"),
        pytest.param(["Transfer-Encoding: chunked"], chunked(b"foobar", 1), id="chunked in ones"),
    ],
)
@series("expect", ["Expect: 100-continue", "expect:100-Continue", "EXPECT: 100-CONTINUE "])
def test_admitted_gets_100_then_sends(rig: Rig, headers, body, expect):
    with rig.client() as client:
        client.send(head("PUT", "/x", *headers, expect))
        status, _, interim_headers, _ = client.head()
        assert status == 100
        assert not [
            name for name, _ in interim_headers if name.lower() in ("content-length", "transfer-encoding")
        ]
        assert rig.stub.touched == 0
        client.send(body)
        answer = client.answer()
        assert (answer.status, answer.interim) == (200, ())
    seen = rig.stub.only()
    assert (seen.body, seen.length) == (b"foobar", "6")
    assert seen.all("Expect") == []
    assert b"expect" not in seen.raw.lower()


@series(
    ("headers", "body"),
    [
        pytest.param(["Content-Length: 6"], b"foobar", id="length"),
        pytest.param(["Transfer-Encoding: chunked"], chunked(b"foobar"), id="chunked"),
    ],
)
def test_client_that_does_not_wait(rig: Rig, headers, body):
    answer = rig.ask(head("PUT", "/x", *headers, EXPECT) + body)
    assert answer.status == 200
    assert answer.interim in ((), (100,))
    assert rig.stub.only().body == b"foobar"


@series(
    "request_",
    [
        pytest.param(get("/x", EXPECT), id="GET"),
        pytest.param(head("POST", "/x", EXPECT), id="POST"),
        pytest.param(head("PUT", "/x", "Content-Length: 0", EXPECT), id="length 0"),
    ],
)
def test_expect_without_a_body_does_not_hang(rig: Rig, request_):
    answer = rig.ask(request_)
    assert answer.status == 200
    assert answer.interim in ((), (100,))
    assert rig.stub.only().all("Expect") == []


def test_connection_serves_on_after_100(rig: Rig):
    with rig.client() as client:
        for number in range(3):
            client.send(head("PUT", f"/{number}", "Transfer-Encoding: chunked", EXPECT))
            assert client.head()[0] == 100
            client.send(chunked(b"foobar"))
            assert client.answer().body == b"PUT /%d" % number
    assert [seen.body for seen in rig.stub.requests] == [b"foobar"] * 3


@series(
    "expect",
    [
        "200-ok",
        "100-continue, 200-ok",
        "200-ok, 100-continue",
        "100-continue;x=y",
        "100-continu",
        "x100-continue",
        '"100-continue"',
        "100",
        "100 continue",
    ],
)
def test_unknown_expectation(rig: Rig, expect):
    rig.assert_refused(
        head("PUT", "/x", "Content-Length: 6", f"Expect: {expect}") + b"foobar", "expectation_failed"
    )


def test_unknown_expectation_without_a_body(rig: Rig):
    rig.assert_refused(get("/x", "Expect: 200-ok"), "expectation_failed")


def test_unknown_expectation_beside_the_known_one(rig: Rig):
    rig.assert_refused(
        head("PUT", "/x", "Content-Length: 6", EXPECT, "Expect: 200-ok") + b"foobar", "expectation_failed"
    )


@series("expect", [EXPECT, "Expect: 200-ok"])
def test_http_1_0_gets_no_100(rig: Rig, expect):
    with rig.client() as client:
        client.send(head("PUT", "/x", "Content-Length: 6", expect, version="1.0"))
        if not client.quiet(0.1):  # an unknown expectation may be refused, or ignored as HTTP/1.0 has none
            assert expect != EXPECT
            rig.assert_problem(client.answer(), "expectation_failed")
            client.close()
            rig.assert_untouched()
            return
        client.send(b"foobar")
        answer = client.answer()
        assert (answer.status, answer.interim) == (200, ())
        assert client.ending() == "fin"
    seen = rig.stub.only()
    assert (seen.body, seen.all("Expect")) == (b"foobar", [])


# -- refused before the body --------------------------------------------------------------------------


def assert_refused_without_100(rig: Rig, request: bytes, code: str) -> None:
    """The first and only thing that comes is the refusal; nothing has been spooled for it."""
    before = rig.shim.metrics()
    rig.assert_refused(request, code, hidden=False)
    after = rig.shim.metrics()
    spooled = [
        (name, labels)
        for name, labels in after
        if name == "glance_shim_body_bytes_total" and after[name, labels] != before.get((name, labels), 0.0)
    ]
    assert not spooled
    assert rig.shim.spool_files() == []


def test_too_large_gets_no_100(rig_with):
    rig = rig_with(TIGHT)
    assert_refused_without_100(
        rig, head("PUT", "/x", f"Content-Length: {4 * MIB + 1}", EXPECT), "body_too_large"
    )


def test_budget_spent_gets_no_100(rig_with):
    rig = rig_with(TIGHT)
    with rig.client() as first:
        first.send(head("PUT", "/first", f"Content-Length: {4 * MIB}"), bytes(3 * MIB))
        eventually(lambda: rig.shim.metric("spool_bytes") == 3 * MIB, "the first body is there")
        with rig.client() as second:
            second.send(head("PUT", "/second", f"Content-Length: {3 * MIB}", EXPECT))
            answer = second.answer()
            rig.assert_problem(answer, "spool_full")
            assert answer.interim == ()
            assert second.wire.rest() == (b"", "fin")
        assert rig.stub.touched == 0
        first.send(bytes(MIB))
        assert first.answer().status == 200
    assert rig.stub.only().received == 4 * MIB


@series(
    "headers",
    [
        ["Content-Length: 6", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Content-Length: +6"],
    ],
)
def test_bad_framing_gets_no_100(rig: Rig, headers):
    rig.assert_refused(
        head("PUT", "/x", *headers, EXPECT), "bad_framing", "bad_request", "unknown_coding", hidden=False
    )
