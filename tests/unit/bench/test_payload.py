"""The images' bytes: the same however they are cut, and never the same after a fault."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.bench.payload import PERIOD, SMALLEST, Filling, Payload
from tests.support.series import series

FILLING = Filling("0123456789ab")
SIZES = st.integers(SMALLEST, 3 * PERIOD)


def whole(payload: Payload, length: int = 1 << 20) -> bytes:
    return b"".join(payload.pieces(length))


@given(SIZES, st.integers(1000, 1 << 20))
def test_however_it_is_cut(size, length):
    payload = Payload(FILLING, size, 7)
    pieces = list(payload.pieces(length))
    assert {len(piece) for piece in pieces[:-1]} <= {length}
    data = b"".join(pieces)
    assert len(data) == size
    assert data == whole(payload)
    assert payload.digest("sha256") == hashlib.sha256(data).hexdigest()


@given(SIZES, st.data())
def test_what_comes_back_is_compared_where_it_stands(size, data):
    payload = Payload(FILLING, size, 3)
    sent = whole(payload)
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    part = bytearray(sent[start:end])
    assert payload.difference(start, bytes(part)) is None
    at = data.draw(st.integers(0, len(part) - 1))
    part[at] ^= 1
    assert payload.difference(start, bytes(part)) == start + at
    assert payload.difference(size - 1, sent[-1:] + b"x") == size, "more than was sent"


@series("block", [512, 4096, 65536, 1 << 20])
def test_a_block_lost_or_moved_is_seen(block):
    sent = whole(Payload(FILLING, 3 * PERIOD, 1))
    blocks = [sent[start : start + block] for start in range(0, 3 * (1 << 20), block)]
    assert all(one != other for one, other in itertools.pairwise(blocks))
    assert len(set(blocks)) == len(blocks)


def test_images_differ_and_can_be_made_again():
    one, other = Payload(FILLING, 1000, 1), Payload(FILLING, 1000, 2)
    assert whole(one) != whole(other)
    assert whole(one) == whole(Payload(Filling("0123456789ab"), 1000, 1))
    assert whole(one) != whole(Payload(Filling("ba9876543210"), 1000, 1))


def test_a_hash_is_given_up_with_the_run():
    filling = Filling("0123456789ab")
    filling.give_up()
    with pytest.raises(ValueError, match="ended"):
        Payload(filling, 1 << 20, 1).digest("sha512")
    with pytest.raises(ValueError, match="unsupported"):
        Payload(FILLING, 100, 1).digest("no such")
