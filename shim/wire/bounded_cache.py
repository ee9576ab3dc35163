"""What was worked out of octets, kept for those that come again and again: names, status lines, options.

Bounded twice, for what comes is a client's choice: so many keys, and none longer than those are; and nothing
that is secret may go in. A look-up takes a third of what it takes by ``functools.lru_cache`` (measured).
"""

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class BoundedCache(dict[bytes, Value]):
    """A mapping that works out what it does not have."""

    __slots__ = ("_longest", "_most", "_work_out")

    def __init__(self, work_out: Callable[[bytes], Value], *, most: int, longest: int) -> None:
        """Keep what ``work_out`` gives without raising, for ``most`` keys of up to ``longest`` octets."""
        super().__init__()
        self._work_out = work_out
        self._most = most
        self._longest = longest

    def __missing__(self, key: bytes) -> Value:
        value = self._work_out(key)
        if len(key) <= self._longest:
            if len(self) >= self._most:
                # All of them, and not the oldest: those that do come again are soon back.
                self.clear()
            self[key] = value
        return value
