"""Encrypted files: any appends and reads give back the bytes, and none of them stand in the file."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.spool.encrypted import CHUNK, TAG, EncryptedFile, is_available
from tests.unit.spool.test_encrypted import MemoryFile

pytestmark = pytest.mark.skipif(not is_available(), reason="the cryptography library is not installed")

# Around the edges of chunks, where mistakes would be.
sizes = st.one_of(
    st.integers(0, 300),
    st.integers(CHUNK - 2, CHUNK + 2),
    st.integers(2 * CHUNK - 2, 2 * CHUNK + 2),
)
appends = st.lists(st.lists(sizes, max_size=3), min_size=1, max_size=5)
BLOCK = 16


def content_of(size: int, start: int) -> bytes:
    """Bytes no two blocks of which are alike, so that each says where it belongs."""
    first, last = start // BLOCK, (start + size) // BLOCK + 1
    blocks = b"".join(b"plain%011d" % number for number in range(first, last))
    return blocks[start - first * BLOCK :][:size]


@given(appends, st.data())
def test_what_was_appended_comes_back(steps, data):
    below = MemoryFile()
    with ThreadPoolExecutor(1) as threads:
        file = EncryptedFile(below, threads)
        length = 0
        for step in steps:
            pieces, start = [], length
            for size in step:
                pieces.append(content_of(size, length))
                length += size
            file.write_now(start, pieces)
            offset = data.draw(st.integers(0, length))
            size = data.draw(st.integers(0, length - offset))
            assert file._read_now(offset, size) == content_of(size, offset)
        assert file._read_now(0, length) == content_of(length, 0)
    assert len(below.data) == length // CHUNK * (CHUNK + TAG)
    assert b"plain" not in below.data
    # Written once each, one after the other: a chunk's number is its nonce.
    assert below.writes == sorted(set(below.writes))
    assert sum(size for _, size in below.writes) == len(below.data)
