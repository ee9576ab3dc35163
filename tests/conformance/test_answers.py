"""The shim's own answers: their form by Accept, their code in answer, log and metric.

And the admin listener, which tells the same truth and is never reachable through the proxied one.
"""

import json
import time

import pytest

from tests.support.client import Answer, chunked, get, head, put_chunked
from tests.support.rig import EACH_ONCE, Rig, only
from tests.support.series import series
from tests.support.stub import Stub
from tests.support.wire import eventually

CASES = EACH_ONCE
REFUSED = ["PUT", "/x", "Content-Length: 6", "Expect: nonsense"]
CODE = "expectation_failed"


def ask(rig: Rig, *headers: str) -> Answer:
    with rig.client() as client:
        client.send(head(*REFUSED, *headers))
        answer = client.answer()
        assert client.wire.rest() == (b"", "fin")
    assert answer.status == 417
    assert answer.complete
    assert "close" in (answer.header("Connection") or "").lower()
    return answer


@series(
    "accept",
    [
        None,
        "Accept: application/json",
        "Accept: application/problem+json",
        "Accept: application/json, */*",
        "Accept: */*, application/json",
        "Accept: application/json;q=0.9, text/plain;q=0.1",
        "Accept:application/JSON",
    ],
)
def test_problem_document(rig: Rig, accept):
    answer = ask(rig, *([accept] if accept else []))
    rig.assert_problem(answer, CODE)


@series(
    "accept",
    [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "TEXT/HTML",
    ],
)
def test_page(rig: Rig, accept):
    answer = ask(rig, f"Accept: {accept}")
    assert answer.media_type == "text/html"
    text = answer.body.decode()
    assert "<" in text
    assert CODE in text
    assert "417" in text


def test_line_for_the_glance_command(rig: Rig):
    answer = ask(rig, "Accept: */*")
    assert answer.media_type == "text/plain"
    text = answer.body.decode()
    assert len(text.splitlines()) == 1
    assert "417" in text
    assert CODE in text
    assert len(text) > len(f"417 {CODE}") + 10, "no detail"


def test_nothing_of_the_client_is_shown_unescaped(rig: Rig):
    evil = "<script>alert(1)</script>"
    with rig.client() as client:
        client.send(
            head(
                "PUT",
                "/" + evil.replace("<", "%3C").replace(">", "%3E"),
                "Content-Length: 6",
                "Expect: " + evil,
                "Accept: text/html",
            )
        )
        assert evil.encode() not in client.answer().body


def test_answer_to_head_has_no_body(rig: Rig):
    with rig.client() as client:
        client.send(head("HEAD", "/x", "Expect: nonsense"))
        assert client.answer("HEAD").status == 417
        assert client.wire.rest() == (b"", "fin")


@only("http-tcp")
@series(
    ("request_", "code"),
    [
        pytest.param(head(*REFUSED), CODE, id="Expect"),
        pytest.param(head("PUT", "/x", "Transfer-Encoding: gzip"), "unknown_coding", id="coding"),
        pytest.param(put_chunked("/x", b"0x6\r\nfoobar\r\n"), "bad_framing", id="chunk"),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "unknown_method", id="CONNECT"),
        pytest.param(get("/x", "X: " + "y" * 70_000), "head_too_large", id="large head"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "bad_request", id="two Hosts"),
    ],
)
def test_code_is_the_same_in_answer_log_and_metric(rig: Rig, request_, code):
    before = rig.shim.metric("refusals_total", code=code)
    start = rig.shim.log_size()
    with rig.client() as client:
        client.send(request_)
        answer = client.answer()
        rig.assert_problem(answer, code)
    eventually(
        lambda: rig.shim.metric("refusals_total", code=code) == before + 1, "the refusal is counted once"
    )
    request_id = answer.problem["request_id"]

    def logged() -> list[dict]:
        return [
            line
            for line in rig.shim.log_lines(start)
            if code in line.values() and request_id in json.dumps(line)
        ]

    assert len(eventually(logged, "the refusal is logged with its code and request id")) == 1


@only("http-tcp")
def test_requests_are_counted(rig: Rig):
    def count(status: str) -> float:
        return rig.shim.metric("requests_total", method="PUT", status=status)

    before = count("200"), count("417")
    assert rig.ask(put_chunked("/x", chunked(b"foobar"))).status == 200
    ask(rig)
    eventually(lambda: (count("200"), count("417")) == (before[0] + 1, before[1] + 1), "both are counted")


@series("size", [100_000, 3_000_000])
def test_bytes_of_bodies_are_counted(rig: Rig, size):
    before = rig.shim.metric("body_bytes_total", mode="spool")
    assert rig.ask(put_chunked("/x", chunked(bytes(size), 999))).status == 200
    eventually(lambda: rig.shim.metric("body_bytes_total", mode="spool") == before + size, "they are counted")


@only("http-tcp")
@series(
    "name",
    [
        "spool_bytes",
        "spool_limit_bytes",
        "spool_files",
        "disk_free_bytes",
        "uploads",
        "build_info",
    ],
)
def test_metrics_are_there_from_the_start(rig_with, name):
    shim = rig_with().shim
    assert f"glance_shim_{name}" in {sample for sample, _ in shim.metrics()}


def test_upstream_is_in_the_metrics(rig: Rig):
    assert rig.ask(get("/x")).status == 200
    assert rig.shim.metric("upstream_up") == 1
    assert rig.shim.metric("upstream_inflight") == 0


@series(
    "request_",
    [
        pytest.param(get("/x", "Expect: nonsense"), id="nothing left to read"),
        pytest.param(
            put_chunked("/x", chunked(b"foobar"), "X-Openstack-Image-Size: 7"), id="read to its end"
        ),
        pytest.param(put_chunked("/x", b"0x6\r\n"), id="not read to its end"),
    ],
)
def test_refusal_survives_what_is_sent_after_it(rig: Rig, request_):
    """What comes after a refusal went out must not reset the connection: it would be lost on its way."""
    with rig.client() as client:
        client.send(request_)
        assert client.wire.stirs(client.patience)
        for _ in range(3):  # a reset answers the first, and fails the others
            client.send(get("/hidden"))
            time.sleep(0.005)
        rig.assert_problem(client.answer(), CODE, "size_mismatch", "bad_framing")
        assert client.wire.rest() == (b"", "fin")
    rig.assert_untouched()


@series("path", ["/healthz", "/readyz", "/metrics", "/status.json", "/uploads", "/"])
def test_admin_is_not_reachable_through_the_proxy(rig: Rig, path):
    assert rig.ask(get(path)).body == f"GET {path}".encode()
    assert rig.stub.only().target == path


def test_live_uploads_are_listed(rig: Rig):
    with rig.client() as client:
        client.send(head("PUT", "/v2/images/1/file", "Content-Length: 200000"), bytes(100_000))
        eventually(
            lambda: any(upload["bytes"] == 100_000 for upload in rig.shim.uploads()), "the upload is listed"
        )
        (upload,) = rig.shim.uploads()
        assert (upload["method"], upload["path"], upload["length"]) == ("PUT", "/v2/images/1/file", 200_000)
        assert upload["phase"] in ("receive", "receiving")
        assert upload["project"] == "127.0.0.1"
        assert {"id", "image", "rate", "age"} <= upload.keys()
        client.send(bytes(100_000))
        assert client.answer().status == 200
    eventually(lambda: rig.shim.uploads() == [], "the list is empty again")


def not_yet(stub, folder, others):
    """The only server's address is there, and refuses."""
    path = folder / "late.sock" if stub.path else None
    others["late"] = Stub(stub.protocol, path, listening=False)
    return {"upstream": others["late"].url}, []


def test_readiness_follows_the_upstream(rig_with):
    """A server that refuses is down; one that takes the connection and answers nothing is busy, and up."""
    rig = rig_with(plan=not_yet, ready=503, fresh=True)
    assert rig.shim.admin("/healthz").status == 200
    assert rig.shim.metric("upstream_up") == 0
    rig.others["late"].listen_deaf()
    eventually(lambda: rig.shim.admin("/readyz").status == 200, "a busy server is up")
    assert rig.shim.metric("upstream_up") == 1
