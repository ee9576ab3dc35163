"""Declared digests: which count, what is refused before the body, and one verdict however a body is cut."""

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import BadRequest, DigestMismatch
from shim.wire.digest import MOST_MEMBERS, BodyDigest, Declared, declared_digests
from tests.properties.cutting import cuts, mutated
from tests.support.series import series

DATA = b"foobar"
SHA256 = b64encode(hashlib.sha256(DATA).digest())
SHA512 = b64encode(hashlib.sha512(DATA).digest())
MD5 = b64encode(hashlib.md5(DATA).digest())
OTHER = b64encode(hashlib.sha256(b"other").digest())
BY_256 = b"sha-256=:%b:" % SHA256
BY_512 = b"sha-512=:%b:" % SHA512


def content(*values):
    return tuple((b"content-digest", value) for value in values)


def sums(*values):
    return tuple((b"content-md5", value) for value in values)


def names(headers):
    return [declared.name for declared in declared_digests(headers)]


# -- which count ----------------------------------------------------------------------------------


@series(
    ("headers", "found"),
    [
        ((), []),
        (content(BY_256), ["sha-256"]),
        (content(BY_512), ["sha-512"]),
        (sums(MD5), ["md5"]),
        (content(BY_256 + b", " + BY_512), ["sha-256", "sha-512"]),
        (content(BY_256 + b"\t ,\t " + BY_512), ["sha-256", "sha-512"]),
        (content(BY_512, BY_256) + sums(MD5), ["sha-512", "sha-256", "md5"]),
        # Padding may be missing, and the same may be said twice.
        (content(BY_256.replace(b"=:", b":").replace(b"256:", b"256=:")), ["sha-256"]),
        (sums(MD5.rstrip(b"=")), ["md5"]),
        (content(BY_256, BY_256 + b"," + BY_256) + sums(MD5, MD5), ["sha-256", "md5"]),
        # Parameters mean nothing (yet).
        (content(BY_256 + b';by="a, b";x ,' + BY_512), ["sha-256", "sha-512"]),
        # Other algorithms, of whatever type, also one that is registered for the field.
        (content(b"md5=:%b:" % OTHER), []),
        (content(b"unixsum=30637, crc32c=?1, a=1.5;q, *b, c=(1 2), d=Tok/en:1"), []),
        (content(b'a="' + BY_256 + b', \\" , ", ' + BY_512), ["sha-512"]),
        (content(b"sha-2567=:%b:" % OTHER, b"sha=:AA==:", BY_256), ["sha-256"]),
        (content(b""), []),
        # Of the representation, not of this content; or of something else.
        (((b"repr-digest", BY_256), (b"digest", b"sha-256=" + SHA256), (b"want-content-digest", b"x")), []),
    ],
)
def test_what_is_declared(headers, found):
    assert names(headers) == found
    digest = BodyDigest(declared_digests(headers))
    digest.update([DATA])
    digest.check()


def test_a_declared_digest():
    expected = hashlib.sha256(DATA).digest()
    assert declared_digests(content(BY_256)) == (Declared("Content-Digest", "sha-256", "sha256", expected),)
    assert repr(BodyDigest(declared_digests(content(BY_256, BY_512)))) == "<BodyDigest sha-256, sha-512>"


# -- what is refused before the body ----------------------------------------------------------------


@series(
    "value",
    [
        b"sha-256",
        b"sha-256;a=1",
        b"sha-256=",
        b"sha-256=::",
        b"sha-256=:" + SHA256,
        b"sha-256=" + SHA256,
        b'sha-256="%b"' % SHA256,
        b"sha-256=?1",
        b"sha-256=1",
        b"sha-256=(:%b:)" % SHA256,
        b"sha-256=:%b:x" % SHA256,
        b"sha-256=:%b: ;a" % SHA256,
        b"sha-256 =:%b:" % SHA256,
        b"sha-256= :%b:" % SHA256,
        b"sha-256=:%b:" % SHA512,
        b"sha-512=:%b:" % SHA256,
        b"sha-256=:%b:" % SHA256[4:],
        b"sha-256=:%b:" % SHA256[:-2],
        b"sha-256=:%b=:" % SHA256,
        b"sha-256=:=%b:" % SHA256,
        b"sha-256=:%b=%b:" % (SHA256[:20], SHA256[20:]),
        b"sha-256=:%b:" % SHA256.replace(SHA256[:1], b"_"),
        b"sha-256=:%b:" % SHA256.replace(SHA256[:1], b" "),
        b"sha-256=:%b:" % hashlib.sha256(DATA).hexdigest().encode(),
        b"SHA-256=:%b:" % SHA256,
        BY_256 + b",",
        b"," + BY_256,
        BY_256 + b",," + BY_512,
        BY_256 + b" " + BY_512 + b'"',
        b'a="' + BY_256,
        b'a="\\x", ' + BY_256,
        b"=1",
        b"1=1",
        b"\xff",
        b"sha-256=:%b:, sha-256=:%b:" % (SHA256, OTHER),
    ],
)
def test_a_malformed_field(value):
    with pytest.raises(BadRequest, match="Content-Digest"):
        declared_digests(content(value))


@series("value", [b"", b":%b:" % MD5, MD5[:-4], MD5 + b", " + MD5, SHA256, b"00" * 16, b"\xff", MD5 + b"\n"])
def test_a_malformed_sum(value):
    with pytest.raises(BadRequest, match="Content-MD5"):
        declared_digests(sums(value))


@pytest.mark.parametrize(
    "headers",
    [content(BY_256, b"sha-256=:%b:" % OTHER), sums(MD5, b64encode(bytes(16)))],
    ids=["Content-Digest", "Content-MD5"],
)
def test_two_values_that_contradict_each_other(headers):
    with pytest.raises(BadRequest, match="two different values"):
        declared_digests(headers)


@series("members", [MOST_MEMBERS, MOST_MEMBERS + 1])
def test_members_have_a_limit(members):
    headers = content(*[b"a=1"] * (members - 1), BY_256)
    if members <= MOST_MEMBERS:
        assert names(headers) == ["sha-256"]
    else:
        with pytest.raises(BadRequest):
            declared_digests(headers)


@series(
    "value",
    [b'a="' + b"\\\\" * 32_000, b"a" * 64_000 + b'"', b'a=""' * 16_000 + b'"', b"sha-256=:" + b"A" * 64_000],
)
def test_a_hostile_field_costs_little(value):
    """Of a whole head's size: what grew with its square would not end before the test's timeout."""
    with pytest.raises(BadRequest):
        declared_digests(content(value))


@given(mutated(BY_256 + b', a="b, c";d, ' + BY_512, most=6) | st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused(value):
    try:
        declared = declared_digests(content(value) + sums(MD5))
    except BadRequest:
        return
    assert {len(digest.value) for digest in declared} <= {16, 32, 64}


# -- the verdict ----------------------------------------------------------------------------------


@given(st.data())
def test_the_verdict_is_the_same_however_a_body_is_cut(data):
    body = data.draw(st.binary(max_size=200))
    came = data.draw(st.just(body) | mutated(body))
    fields = content(b"sha-512=:%b:" % b64encode(hashlib.sha512(body).digest()))
    digest = BodyDigest(declared_digests(fields + sums(b64encode(hashlib.md5(body).digest()))))
    for piece in data.draw(cuts(came)):
        digest.update([memoryview(piece), b""])
    if came == body:
        digest.check()
    else:
        with pytest.raises(DigestMismatch):
            digest.check()


@series(
    ("headers", "words"),
    [
        (content(b"sha-256=:%b:" % OTHER), f"its sha-256 is {SHA256.decode()}, but Content-Digest declares"),
        (
            content(BY_512) + sums(b64encode(bytes(16))),
            f"its md5 is {MD5.decode()}, but Content-MD5 declares",
        ),
        (content(BY_256, b"sha-512=:%b:" % b64encode(bytes(64))), "its sha-512 is"),
    ],
)
def test_a_mismatch_names_what_differs(headers, words):
    digest = BodyDigest(declared_digests(headers))
    digest.update([DATA])
    with pytest.raises(DigestMismatch) as raised:
        digest.check()
    assert "did not arrive as it was sent" in raised.value.detail
    assert words in raised.value.detail
    assert raised.value.code == "size_mismatch"
