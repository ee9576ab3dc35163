"""Bodies on the wire: each legal and illegal form whole, byte by byte, and with bytes following."""

import pytest

from shim.errors import BadFraming
from shim.wire.chunked import (
    ALIKE,
    LAST_CHUNK,
    MAX_EXTENSIONS,
    MAX_LINE,
    MAX_TRAILERS,
    MOST_AT_ONCE,
    BodyDecoder,
    ChunkedDecoder,
    LengthDecoder,
    UntilCloseDecoder,
    encode_chunk,
)
from tests.support.series import series

CUTS = {
    "whole": lambda data: [data],
    "bytes": lambda data: [data[index : index + 1] for index in range(len(data))],
    "sevens": lambda data: [data[index : index + 7] for index in range(0, len(data), 7)],
    "empty buffers between": lambda data: [b"", *(piece for byte in data for piece in (bytes([byte]), b""))],
}
DELIVERIES = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
FOLLOWERS = series(
    "rest",
    [
        pytest.param(b"", id="nothing after"),
        pytest.param(b"\r\n", id="CRLF after"),
        pytest.param(b"6\r\nfoobar\r\n0\r\n\r\n", id="chunks after"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="a request after"),
    ],
)


def take(decoder: BodyDecoder, pieces: list[bytes]) -> tuple[bytes, bytes] | bytes:
    """The payload and what came after it; the payload alone where the body did not end."""
    payload = b""
    for index, piece in enumerate(pieces):
        decoded = decoder.decode(memoryview(piece))
        payload += b"".join(decoded.payload)
        assert decoded.used <= len(piece)
        if decoded.ended:
            return payload, piece[decoded.used :] + b"".join(pieces[index + 1 :])
        assert decoded.used == len(piece)
    return payload


# -- chunked --------------------------------------------------------------------------------------

LEGAL = [
    # body, payload
    pytest.param(b"0\r\n\r\n", b"", id="empty"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n\r\n", b"foobar", id="one chunk"),
    pytest.param(b"3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n", b"foobar", id="two chunks of one size"),
    pytest.param(b"3\r\nfoo\r\n" * 5 + b"0\r\n\r\n", b"foo" * 5, id="five chunks of one size"),
    pytest.param(b"1\r\nf\r\n2\r\noo\r\n3\r\nbar\r\n0\r\n\r\n", b"foobar", id="chunks of many sizes"),
    pytest.param(
        b"3\r\nfoo\r\n3\r\nbar\r\n03\r\nfoo\r\n3;a\r\nbar\r\n3\r\nfoo\r\n0\r\n\r\n",
        b"foobarfoobarfoo",
        id="one size in many forms",
    ),
    pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="upper case"),
    pytest.param(b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="lower case"),
    pytest.param(b"1C\r\n" + b"x" * 28 + b"\r\n0\r\n\r\n", b"x" * 28, id="two digits"),
    pytest.param(b"006\r\nfoobar\r\n000\r\n\r\n", b"foobar", id="leading zeros"),
    pytest.param(b"0000000000000006\r\nfoobar\r\n0\r\n\r\n", b"foobar", id="16 digits"),
    pytest.param(b"0000000000000000\r\n\r\n", b"", id="last of 16 zeros"),
    pytest.param(b"6\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n", id="payload of line ends"),
    pytest.param(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", id="payload like the end"),
    pytest.param(b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256)), id="every byte"),
    *(
        pytest.param(b"6%b\r\nfoobar\r\n0%b\r\n\r\n" % (extension, extension), b"foobar", id=f"{extension!r}")
        for extension in (
            b";a",
            b";a=b",
            b";a=b;c;d=e",
            b"; a = b",
            b" ;a",
            b"\t;\ta\t=\tb",
            b';a=""',
            b';a="b"',
            b';a="b;c=d, e"',
            b';a="b\\"c\\\\"',
            b';a="\\b"',
            b';a="\t \x80\xff"',
            b";!#$%&'*+-.^_`|~=1",
        )
    ),
    pytest.param(b"0\r\nX: 1\r\n\r\n", b"", id="trailer"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX:1\r\nY:\r\nZ: a b\t\x80 \r\n\r\n", b"foobar", id="trailers"),
    pytest.param(b"0\r\nContent-Length: 6\r\nHost: a\r\n\r\n", b"", id="trailers that mean nothing"),
    pytest.param(b"0\r\n6: foobar\r\n\r\n", b"", id="trailer like a chunk"),
]


@DELIVERIES
@FOLLOWERS
@series(("body", "payload"), LEGAL)
def test_legal_bodies(body, payload, cut, rest):
    assert take(ChunkedDecoder(), cut(body + rest)) == (payload, rest)


@DELIVERIES
def test_what_follows_the_end_is_left_alone_though_it_looks_like_the_chunks_before(cut):
    # The end's CRLF and the bytes after it are together the line that the decoder expects next.
    body = b"3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"
    rest = b"3\r\nbad\r\n0\r\n\r\n"
    assert take(ChunkedDecoder(), cut(body + rest)) == (b"foobar", rest)


@DELIVERIES
@series(("body", "payload"), LEGAL)
def test_a_body_cut_short_never_ends(body, payload, cut):
    for length in range(len(body)):
        got = take(ChunkedDecoder(), cut(body[:length]))
        assert isinstance(got, bytes)
        assert payload.startswith(got)


SIZES = [
    b"",
    b" ",
    b" 5",
    b"5 ",
    b"5\t",
    b"+5",
    b"-5",
    b"0x5",
    b"0X5",
    b"5_0",
    b"5h",
    b"g",
    b"5,",
    b"5.0",
    b"5 5",
    b"\xb2",
    b"5\x00",
    b"\x005",
    b"5\x0b",
    b"0" * 17,
    b"0" * 16 + b"5",
    b"1" + b"0" * 16,
    b";a",
    b"5;",
    b"5; ",
    b"5;;a",
    b"5;a;",
    b"5;a=",
    b"5;=b",
    b"5;a=b=c",
    b"5;a b",
    b"5;a=b c",
    b'5;a="b',
    b'5;a=b"',
    b'5;a="b"c',
    b'5;a="\\',
    b'5;a="\\"',
    b'5;a="\x00"',
    b'5;a="\\\x00"',
    b'5;a="\x7f"',
    b"5;a=\x7f",
    b"5;\x00",
    b"5;\xe4",
    b"5;a,b",
    b"5 a",
]
ILLEGAL = [
    *(pytest.param(size + b"\r\nfooba\r\n0\r\n\r\n", id=f"first size {size[:24]!r}") for size in SIZES),
    *(
        pytest.param(b"1\r\na\r\n" * 2 + size + b"\r\nfooba\r\n0\r\n\r\n", id=f"later size {size[:24]!r}")
        for size in SIZES
    ),
    pytest.param(b"\r\n5\r\nfooba\r\n0\r\n\r\n", id="CRLF first"),
    pytest.param(b"\n5\r\nfooba\r\n0\r\n\r\n", id="LF first"),
    pytest.param(b"5\nfooba\r\n0\r\n\r\n", id="LF after a size"),
    pytest.param(b"5\rfooba\r\n0\r\n\r\n", id="CR after a size"),
    pytest.param(b"5\rXfooba\r\n0\r\n\r\n", id="CR and X after a size"),
    pytest.param(b"5\n\rfooba\r\n0\r\n\r\n", id="LF and CR after a size"),
    pytest.param(b"5\r\r\nfooba\r\n0\r\n\r\n", id="two CRs after a size"),
    pytest.param(b"5;a\nfooba\r\n0\r\n\r\n", id="LF after an extension"),
    pytest.param(b"5;a\rb\r\nfooba\r\n0\r\n\r\n", id="CR in an extension"),
    pytest.param(b'5;a="\n"\r\nfooba\r\n0\r\n\r\n', id="LF in quotes"),
    pytest.param(b'5;a="\r\n"\r\nfooba\r\n0\r\n\r\n', id="CRLF in quotes"),
    pytest.param(b"5\r\nfooba\n0\r\n\r\n", id="LF after a chunk"),
    pytest.param(b"5\r\nfooba\r0\r\n\r\n", id="CR after a chunk"),
    pytest.param(b"5\r\nfooba\rX0\r\n\r\n", id="CR and X after a chunk"),
    pytest.param(b"5\r\nfooba0\r\n\r\n", id="nothing after a chunk"),
    pytest.param(b"5\r\nfoobaXX0\r\n\r\n", id="XX after a chunk"),
    pytest.param(b"5\r\nfoobar\r\n0\r\n\r\n", id="a chunk longer than its size"),
    pytest.param(b"5\r\nfoob\r\n0\r\n\r\n", id="a chunk shorter than its size"),
    pytest.param(b"5\r\nfooba\r\n\r\n0\r\n\r\n", id="an empty line between chunks"),
    pytest.param(b"0\n\r\n", id="LF after the last size"),
    pytest.param(b"0\r\n\n", id="LF as the end"),
    pytest.param(b"0\r\n\rX\n", id="CR and X as the end"),
    pytest.param(b"0\r\n\r\r\n", id="two CRs as the end"),
    pytest.param(b"0\r\nX: 1\n\r\n", id="LF after a trailer"),
    pytest.param(b"0\r\nX: a\rb\r\n\r\n", id="CR in a trailer"),
    pytest.param(b"0\r\nX: a\x00b\r\n\r\n", id="NUL in a trailer"),
    pytest.param(b"0\r\nX\r\n\r\n", id="trailer without colon"),
    pytest.param(b"0\r\n: 1\r\n\r\n", id="trailer without name"),
    pytest.param(b"0\r\nX : 1\r\n\r\n", id="space before a trailer's colon"),
    pytest.param(b"0\r\nX: 1\r\n 2\r\n\r\n", id="folded trailer"),
    pytest.param(b"0\r\n X: 1\r\n\r\n", id="trailer after a space"),
    pytest.param(b"0\r\nGET / HTTP/1.1\r\n\r\n", id="a request instead of the end"),
]


@DELIVERIES
@FOLLOWERS
@series("body", ILLEGAL)
def test_illegal_bodies(body, cut, rest):
    with pytest.raises(BadFraming):
        take(ChunkedDecoder(), cut(body + rest))


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**40], ids=hex)
def test_the_largest_chunks(size):
    decoder = ChunkedDecoder()
    assert take(decoder, [b"%x\r\n" % size, b"foobar"]) == b"foobar"
    assert take(decoder, [b"\r\n"]) == b"\r\n"


# -- bounds ---------------------------------------------------------------------------------------


def sized_extension(size: int) -> bytes:
    return b";" + b"a" * (size - 1)


@DELIVERIES
@pytest.mark.parametrize("before", [b"", b"1\r\na\r\n"], ids=["first line", "later line"])
def test_a_chunk_line_up_to_its_bound(before, cut):
    longest = b"1" + sized_extension(MAX_LINE - 3)
    end = b"\r\na\r\n0\r\n\r\n"
    ended = take(ChunkedDecoder(), cut(before + longest + end))
    assert isinstance(ended, tuple)
    with pytest.raises(BadFraming, match="too long"):
        take(ChunkedDecoder(), cut(before + longest + b"a" + end))


@DELIVERIES
def test_a_trailer_line_up_to_its_bound(cut):
    longest = b"X: " + b"a" * (MAX_LINE - 5)
    assert take(ChunkedDecoder(), cut(b"0\r\n" + longest + b"\r\n\r\n")) == (b"", b"")
    with pytest.raises(BadFraming, match="too long"):
        take(ChunkedDecoder(), cut(b"0\r\n" + longest + b"a\r\n\r\n"))


@DELIVERIES
def test_a_line_without_end_is_refused_at_its_bound(cut):
    assert take(ChunkedDecoder(), cut(b"1;" + b"a" * (MAX_LINE - 3))) == b""
    with pytest.raises(BadFraming, match="too long"):
        take(ChunkedDecoder(), cut(b"1;" + b"a" * (MAX_LINE - 2)))


@pytest.mark.parametrize("size", [1024, 4000])
def test_extensions_together_up_to_their_bound(size):
    # The 4000 do not divide the bound, so the rest of it goes into one more line.
    chunk = b"1" + sized_extension(size) + b"\r\na\r\n"
    count, rest = divmod(MAX_EXTENSIONS, size)
    body = chunk * count + (b"1" + sized_extension(rest) + b"\r\na\r\n" if rest else b"")
    assert take(ChunkedDecoder(), [body, LAST_CHUNK]) == (b"a" * (count + bool(rest)), b"")
    with pytest.raises(BadFraming, match="extensions are too long"):
        take(ChunkedDecoder(), [body, b"1;a\r\n"])


def test_trailers_together_up_to_their_bound():
    trailer = b"X:" + b"a" * 1022 + b"\r\n"
    body = b"0\r\n" + trailer * (MAX_TRAILERS // 1024)
    assert take(ChunkedDecoder(), [body, b"\r\n"]) == (b"", b"")
    with pytest.raises(BadFraming, match="trailers are too long"):
        take(ChunkedDecoder(), [body, b"X:\r\n"])


@pytest.mark.parametrize("size", [1, 10, 4096])
@pytest.mark.parametrize("count", [ALIKE + 1, ALIKE + 2, ALIKE + MOST_AT_ONCE, 2 * MOST_AT_ONCE + ALIKE])
@pytest.mark.parametrize(
    ("end", "last"),
    [(b"0\r\n\r\n", b""), (b"2\r\nxy\r\n0\r\n\r\n", b"xy"), (b"0001\r\nx\r\n0\r\n\r\n", b"x")],
    ids=["the end", "another size", "another form"],
)
def test_many_chunks_of_one_size(size, count, end, last):
    chunks = [index.to_bytes(2, "big")[:size].ljust(size, b"\n") for index in range(count)]
    body = b"".join(map(encode_chunk, chunks)) + end
    expected = b"".join(chunks) + last
    for cut in (len(body), 65536, 5003):
        pieces = [body[begin : begin + cut] for begin in range(0, len(body), cut)]
        assert take(ChunkedDecoder(), pieces) == (expected, b"")


@pytest.mark.parametrize("place", [0, ALIKE - 1, ALIKE, ALIKE + 1, ALIKE + 100])
def test_one_bad_chunk_among_many_alike(place):
    chunks = [encode_chunk(b"abc")] * (ALIKE + 200)
    chunks[place] = b"3\r\nabcd\r\n"
    with pytest.raises(BadFraming, match="not followed by CRLF"):
        take(ChunkedDecoder(), [b"".join(chunks) + LAST_CHUNK])


def test_payload_is_not_copied():
    buffer = bytearray(b"6\r\nfoobar\r\n0\r\n\r\n")
    (piece,) = ChunkedDecoder().decode(memoryview(buffer)).payload
    assert piece.obj is buffer


@pytest.mark.parametrize("data", [b"a", b"foobar", b"x" * 4096], ids=len)
def test_encoded_chunks_are_decoded(data):
    assert take(ChunkedDecoder(), [encode_chunk(data), encode_chunk(data), LAST_CHUNK]) == (data * 2, b"")


def test_the_size_is_written_in_hexadecimal():
    assert encode_chunk(b"x" * 28) == b"1c\r\n" + b"x" * 28 + b"\r\n"


# -- by length, and until the connection closes ---------------------------------------------------


@DELIVERIES
@FOLLOWERS
@series("body", [b"a", b"foobar", b"0\r\n\r\n", b"\x00" * 100])
def test_a_known_length(body, cut, rest):
    assert take(LengthDecoder(len(body)), cut(body + rest)) == (body, rest)


def test_a_length_not_yet_reached():
    assert take(LengthDecoder(7), [b"foo", b"bar"]) == b"foobar"


def test_a_length_of_nothing_ends_before_any_byte():
    decoded = LengthDecoder(0).decode(memoryview(b"GET"))
    assert (decoded.payload, decoded.used, decoded.ended) == ([], 0, True)


@DELIVERIES
def test_until_close_everything_is_payload(cut):
    assert take(UntilCloseDecoder(), cut(b"0\r\n\r\nfoobar")) == b"0\r\n\r\nfoobar"
