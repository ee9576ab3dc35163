"""What is kept for keys that come again: worked out once, bounded in number and length, and no failures."""

import pytest

from shim.wire.bounded_cache import BoundedCache


def counting(most: int, longest: int) -> tuple[BoundedCache[bytes], list[bytes]]:
    """What gives keys in upper case, and the keys that it had to work out."""
    asked: list[bytes] = []

    def work_out(key: bytes) -> bytes:
        asked.append(key)
        if key == b"bad":
            raise ValueError(key)
        return key.upper()

    return BoundedCache(work_out, most=most, longest=longest), asked


def test_what_comes_again_is_worked_out_once():
    kept, asked = counting(most=2, longest=4)
    assert [kept[key] for key in (b"a", b"b", b"a", b"b")] == [b"A", b"B", b"A", b"B"]
    assert asked == [b"a", b"b"]


def test_what_is_too_long_is_not_kept():
    kept, asked = counting(most=2, longest=4)
    assert [kept[key] for key in (b"aaaa", b"aaaaa", b"aaaaa")] == [b"AAAA", b"AAAAA", b"AAAAA"]
    assert asked == [b"aaaa", b"aaaaa", b"aaaaa"]
    assert [*kept] == [b"aaaa"]


def test_there_is_never_more_than_the_most():
    kept, _ = counting(most=10, longest=4)
    for number in range(1000):
        key = b"%d" % number
        assert kept[key] == key
        assert key in kept
        assert len(kept) <= 10


def test_a_failure_is_not_kept():
    kept, asked = counting(most=2, longest=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            kept[b"bad"]
    assert asked == [b"bad", b"bad"]
    assert not kept
