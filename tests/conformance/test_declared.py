"""What a client declares of its body beside the framing: ``x-openstack-image-size`` (cases 10, 23), digests.

The size counts as a declared length also where the shim knows nothing of the service behind: a body that
is not as long as it was said to be, or not what its digest says, is never forwarded.
"""

import hashlib
import random
from base64 import b64encode

from tests.support.client import chunked, get, head, put, put_chunked
from tests.support.rig import BAD_HEAD, EACH_ONCE, HIDDEN, TIGHT, Rig
from tests.support.series import series
from tests.support.wire import eventually

CASES = EACH_ONCE
MIB = 1 << 20
BODY = chunked(b"foobar", 4)


def size(value: object) -> str:
    return f"X-Openstack-Image-Size: {value}"


@series("declared", ["6", "0", "006", "6 "])
@series("framing", ["length", "chunked"])
def test_met_size_passes(rig: Rig, declared, framing):
    request = (
        put("/x", b"foobar", size(declared))
        if framing == "length"
        else put_chunked("/x", BODY, size(declared))
    )
    assert rig.ask(request).status == 200
    seen = rig.stub.only()
    assert (seen.body, seen.length, seen.joined("X-Openstack-Image-Size")) == (
        b"foobar",
        "6",
        declared.strip(),
    )


@series("declared", [1, 5, 7, 1000, 10 * MIB])
def test_chunked_body_of_another_size(rig: Rig, declared):
    rig.assert_refused(put_chunked("/x", BODY, size(declared)), "size_mismatch")


def test_large_body_of_another_size(rig: Rig):
    rig.assert_refused(put_chunked("/x", chunked(bytes(MIB), 65_536), size(MIB + 1)), "size_mismatch")
    assert rig.shim.spool_files() == []


@series("declared", [5, 7, 1 << 60])
def test_length_of_another_size_is_refused_before_the_body(rig: Rig, declared):
    """Before 100 Continue, and without waiting for the body."""
    rig.assert_refused(
        head("PUT", "/x", "Content-Length: 6", size(declared), "Expect: 100-continue"), "size_mismatch"
    )


def test_size_of_no_body_is_refused(rig: Rig):
    rig.assert_refused(head("PUT", "/x", size(6)), "size_mismatch")


@series("declared", ["six", "-6", "+6", "6.0", "0x6", "6 6", "6,6", "", "6_0", "9" * 30, "\xb2"])
def test_size_that_is_no_number(rig: Rig, declared):
    request = head("PUT", "/x", "Transfer-Encoding: chunked", size(declared), "Expect: 100-continue")
    rig.assert_refused(request, "size_mismatch", "body_too_large", *BAD_HEAD)


@series("second", [7, 6])
def test_two_sizes(rig: Rig, second):
    """Also twice the same: WSGI makes one value of both, which Glance refuses after the body."""
    rig.assert_refused(put_chunked("/x", BODY, size(6), size(second)), "size_mismatch", *BAD_HEAD)


def test_size_is_refused_like_a_length(rig_with):
    rig = rig_with(TIGHT)
    request = head("PUT", "/x", "Transfer-Encoding: chunked", size(4 * MIB + 1), "Expect: 100-continue")
    rig.assert_refused(request, "body_too_large", hidden=False)


def test_client_gone_before_the_size_is_met(rig: Rig):
    with rig.client() as client:
        client.send(head("PUT", "/x", "Transfer-Encoding: chunked", size(MIB)), chunked(bytes(1000))[:-5])
        client.finish()
        assert client.wire.rest()[0][:13] in (b"", b"HTTP/1.1 400 ")
    rig.assert_untouched()


def test_mismatch_keeps_nothing_of_the_next_request(rig: Rig):
    with rig.client() as client:
        client.offer(put_chunked("/x", BODY, size(60)), HIDDEN, get("/hidden"))
        rig.assert_problem(client.answer(), "size_mismatch")
        assert client.wire.rest() == (b"", "fin")
    rig.assert_untouched()
    eventually(lambda: rig.shim.metric("spool_bytes") == 0, "nothing is held")


# -- digests --------------------------------------------------------------------------------------


def sha_256(data: bytes) -> str:
    return f"Content-Digest: sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def sha_512(data: bytes) -> str:
    return f"Content-Digest: sha-512=:{b64encode(hashlib.sha512(data).digest()).decode()}:"


def md5(data: bytes) -> str:
    return f"Content-MD5: {b64encode(hashlib.md5(data).digest()).decode()}"


# In memory where there is one, in a file, and more than a pump takes in a turn.
BODIES = {"nothing": b"", "small": b"foobar", "large": random.Random(16).randbytes(3 * MIB)}
FRAMED = {
    "length": lambda body, *headers: put("/x", body, *headers),
    "chunked": lambda body, *headers: put_chunked("/x", chunked(body, 50_000), *headers),
    "small chunks": lambda body, *headers: put_chunked("/x", chunked(body, [7, 300] * 1000), *headers),
}
framed = series("framing", FRAMED)


@series("name", BODIES)
@framed
def test_met_digests_pass(rig: Rig, name, framing):
    """All of them, and on to the server as they came."""
    body = BODIES[name]
    declared = (sha_256(body), sha_512(body), md5(body))
    assert rig.ask(FRAMED[framing](body, *declared)).status == 200
    seen = rig.stub.only()
    assert (seen.received, seen.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen.joined("Content-Digest") == ", ".join(line.partition(": ")[2] for line in declared[:2])
    assert seen.joined("Content-MD5") == declared[2].partition(": ")[2]


@series("name", BODIES)
@framed
@series("declare", [sha_256, sha_512, md5])
def test_a_body_of_another_digest(rig: Rig, name, framing, declare):
    """One bit in its last byte is enough; what else is declared of it, and met, helps nothing."""
    body = BODIES[name]
    sent = body[:-1] + bytes([body[-1] ^ 1]) if body else b"?"
    answer = rig.assert_refused(FRAMED[framing](body, size(len(body)), declare(sent)), "size_mismatch")
    assert "did not arrive as it was sent" in answer.problem["detail"]
    assert rig.shim.spool_files() == []


@series(
    "declared",
    [
        "Content-Digest: sha-256",
        "Content-Digest: sha-256=:AAAA:",
        f"{sha_256(b'foobar')},",
        f"{sha_256(b'foobar')}\r\n{sha_256(b'other')}",
        "Content-MD5: 3858f62230ac3c915f300c664312c63f",
        "Content-MD5:",
    ],
)
def test_a_malformed_digest_is_refused_before_the_body(rig: Rig, declared):
    request = head("PUT", "/x", "Transfer-Encoding: chunked", declared, "Expect: 100-continue")
    rig.assert_refused(request, "bad_request")


@series(
    "declared", ["Content-Digest: md5=:AAAA:, a=1", "Repr-Digest: sha-256=:AAAA:", "Digest: sha-256=AAAA"]
)
def test_other_digests_are_the_servers_to_judge(rig: Rig, declared):
    assert rig.ask(put_chunked("/x", BODY, declared)).status == 200
    name, _, value = declared.partition(": ")
    assert rig.stub.only().joined(name) == value


def test_the_digest_of_no_body(rig: Rig):
    assert rig.ask(get("/x", sha_256(b""))).status == 200
    rig.stub.forget()
    rig.assert_refused(get("/x", sha_256(b"foobar")), "size_mismatch")


def test_a_digest_in_a_trailer_is_dropped_with_it(rig: Rig):
    trailers = sha_256(b"other").encode() + b"\r\n"
    assert rig.ask(put_chunked("/x", chunked(b"foobar", trailers=trailers))).status == 200
    assert rig.stub.only().joined("Content-Digest") is None
