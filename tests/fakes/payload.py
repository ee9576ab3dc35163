"""Payloads that show what was lost, doubled or mixed up; made quickly, for tests take dozens of megabytes."""

import functools

# A prime number of bytes: no power of two, as buffers and pipes have, falls on the same one again.
_BLOCK = bytes(position * 7 % 251 for position in range(251))


# Tests that stand beside each other take the same size.
@functools.lru_cache(maxsize=2)
def numbered(size: int) -> bytes:
    """Bytes that are different wherever one looks."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]
