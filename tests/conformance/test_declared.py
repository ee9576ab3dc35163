"""Sizes that a client declares beside the framing (``x-openstack-image-size``; cases 10 and 23).

It counts as a declared length also where the shim knows nothing of the service behind: a body that is
not as long as it was said to be is never forwarded.
"""

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
