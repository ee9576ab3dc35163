"""Chunked bodies: what was sent comes out, however it is cut; nothing is read that h11 reads otherwise."""

import re
from typing import TypeAlias

import h11
from hypothesis import assume, given
from hypothesis import strategies as st

from shim.errors import BadFraming
from shim.wire.chunked import (
    ALIKE,
    LAST_CHUNK,
    BodyDecoder,
    ChunkedDecoder,
    Decoded,
    LengthDecoder,
    UntilCloseDecoder,
    encode_chunk,
)
from tests.properties.cutting import cuts, mutated

Outcome: TypeAlias = tuple[bytes, bytes | None]
"""The payload, and what came after the end; None where there was no end."""

tokens = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
quoted = st.from_regex(
    rb'"([\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff]){0,6}"', fullmatch=True
)
extensions = st.lists(
    st.one_of(
        tokens.map(lambda name: b";" + name),
        st.builds(lambda name, value: b";" + name + b"=" + value, tokens, tokens | quoted),
    ),
    max_size=2,
).map(b"".join)
# h11 holds trailers to the rules of these two fields, which here mean nothing (they are dropped).
trailers = st.lists(
    st.builds(
        lambda name, value: name + b":" + value + b"\r\n",
        tokens.filter(lambda name: name.lower() not in (b"content-length", b"transfer-encoding")),
        st.from_regex(rb"[ \t]*[\x21-\x7e\x80-\xff]{0,6}", fullmatch=True),
    ),
    max_size=2,
).map(b"".join)
sizes = st.builds(
    lambda zeros, form: lambda size: (zeros + form % size).encode(),
    st.sampled_from(["", "0", "0000"]),
    st.sampled_from(["%x", "%X"]),
)
# So many of one size that the decoder takes them all at once, and then something else.
runs = st.lists(
    st.builds(
        lambda piece, count: [piece] * count,
        st.binary(min_size=1, max_size=6),
        st.sampled_from([1, 2, ALIKE, ALIKE + 1, ALIKE + 2, ALIKE + 20]),
    ),
    min_size=1,
    max_size=3,
).map(lambda drawn: [piece for run in drawn for piece in run])
payloads = st.lists(st.binary(min_size=1, max_size=40) | st.just(b"same"), max_size=8) | runs


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body and its payload."""
    pieces = draw(payloads)
    size = draw(sizes)
    lines = [size(len(piece)) + draw(extensions) + b"\r\n" + piece + b"\r\n" for piece in pieces]
    end = draw(st.sampled_from([b"0", b"000"])) + draw(extensions) + b"\r\n" + draw(trailers) + b"\r\n"
    return b"".join(lines) + end, b"".join(pieces)


followers = st.binary(max_size=20) | st.sampled_from(
    [LAST_CHUNK, b"4\r\nsame\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)


def check(decoded: Decoded, buffer: bytes) -> None:
    """What holds of every answer of every decoder."""
    assert 0 <= decoded.used <= len(buffer)
    assert decoded.ended or decoded.used == len(buffer)
    assert sum(map(len, decoded.payload)) <= decoded.used
    assert all(len(piece) for piece in decoded.payload)
    # The slices lie in the part that was used, in order and apart.
    position = 0
    for piece in decoded.payload:
        position = buffer.index(piece.tobytes(), position) + len(piece)
    assert position <= decoded.used


def take(decoder: BodyDecoder, pieces: list[bytes]) -> Outcome:
    payload = b""
    for index, piece in enumerate(pieces):
        decoded = decoder.decode(memoryview(piece))
        check(decoded, piece)
        payload += b"".join(decoded.payload)
        if decoded.ended:
            return payload, piece[decoded.used :] + b"".join(pieces[index + 1 :])
    return payload, None


def verdict(pieces: list[bytes]) -> Outcome | None:
    """The outcome, or None where the body was refused; any other exception is a failure."""
    try:
        return take(ChunkedDecoder(), pieces)
    except BadFraming:
        return None


# -- our own words --------------------------------------------------------------------------------


@given(st.data(), bodies(), followers)
def test_any_payload_in_any_chunks_cut_anywhere(data, body, rest):
    encoded, payload = body
    assert take(ChunkedDecoder(), data.draw(cuts(encoded + rest))) == (payload, rest)


@given(st.data(), payloads, followers)
def test_what_we_encode_we_decode(data, pieces, rest):
    encoded = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    assert take(ChunkedDecoder(), data.draw(cuts(encoded + rest))) == (b"".join(pieces), rest)


@given(st.data(), bodies())
def test_a_body_cut_short_gives_a_beginning_and_no_end(data, body):
    encoded, payload = body
    length = data.draw(st.integers(0, len(encoded) - 1))
    got, rest = take(ChunkedDecoder(), data.draw(cuts(encoded[:length])))
    assert rest is None
    assert payload.startswith(got)


@given(st.data(), bodies(), followers)
def test_cutting_never_changes_the_verdict(data, body, rest):
    changed = data.draw(mutated(body[0] + rest))
    assert verdict(data.draw(cuts(changed))) == verdict([changed])


@given(st.data(), st.binary(max_size=60))
def test_nothing_makes_it_fail_otherwise(data, noise):
    assert verdict(data.draw(cuts(noise))) == verdict([noise])


@given(st.data(), st.binary(max_size=60), st.integers(0, 80))
def test_a_known_length_cut_anywhere(data, body, length):
    got, rest = take(LengthDecoder(length), data.draw(cuts(body)))
    assert got == body[:length]
    assert rest == (body[length:] if length <= len(body) else None)


@given(st.data(), st.binary(max_size=60))
def test_until_close_cut_anywhere(data, body):
    assert take(UntilCloseDecoder(), data.draw(cuts(body))) == (body, None)


# -- beside h11 -----------------------------------------------------------------------------------

HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
# h11 knows no white space before a semicolon, which RFC 9112 section 7.1.1 has recipients take.
SPACE_BEFORE_EXTENSION = re.compile(rb"[ \t];")


def as_h11_reads_it(body: bytes) -> Outcome:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD + body)
    payload = b""
    while True:
        match connection.next_event():
            case h11.Data(data=data):
                payload += data
            case h11.EndOfMessage():
                return payload, connection.trailing_data[0]
            case h11.NEED_DATA:
                return payload, None
            case event:
                assert isinstance(event, h11.Request)


@given(st.data(), bodies(), followers)
def test_what_we_accept_h11_reads_alike(data, body, rest):
    changed = data.draw(mutated(body[0] + rest))
    ours = verdict([changed])
    assume(ours is not None and ours[1] is not None)
    assume(not SPACE_BEFORE_EXTENSION.search(changed))
    assert as_h11_reads_it(changed) == ours


@given(st.data(), bodies())
def test_what_h11_refuses_we_refuse(data, body):
    changed = data.draw(mutated(body[0]))
    try:
        as_h11_reads_it(changed)
    except h11.RemoteProtocolError:
        ours = verdict([changed])
        # Where the body has not ended, the fault may still be ahead of us: then it is not accepted either.
        assert ours is None or ours[1] is None or SPACE_BEFORE_EXTENSION.search(changed)
