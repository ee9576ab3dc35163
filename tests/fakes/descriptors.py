"""Counts this process's descriptors: whatever opens one must give it back on every path."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path("/proc/self/fd")


def open_descriptors() -> dict[int, str]:
    """Every open descriptor and what it is."""
    found = {}
    for entry in _FOLDER.iterdir():
        with contextlib.suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    return {number: place for number, place in found.items() if place != f"/proc/{os.getpid()}/fd"}


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """Fail where the block leaves more descriptors open than it found, or closes one that it did not open."""
    before = open_descriptors()
    yield
    after = open_descriptors()
    assert after == before
