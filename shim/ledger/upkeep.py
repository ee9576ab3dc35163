"""Room for the parts of the shared table, and what is done about a process that lives no more."""

import errno
import os

from shim.errors import DiskError
from shim.ledger import layout
from shim.ledger.counts import Resource

# For whoever reads that a table cannot be used; what lies in it is of use to the living only.
RECOVERY = "Stop all glance-shim processes that use it, remove it, and start again."


def allocate(descriptor: int, name: str, offset: int, size: int) -> None:
    """Take room on the disk for a part of the table; raises DiskError."""
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as error:
        advice = "; make room, or set server.state_directory" if error.errno == errno.ENOSPC else ""
        raise DiskError(
            "The shim cannot count its uploads; its log says why.",
            for_operator=f"{name} cannot have {size} bytes: {error.strerror}{advice}.",
        ) from error


def clear_slot(words: memoryview, slot: int) -> None:
    """Forget what a slot held; whoever calls this knows that nobody lives in it, or is its new owner."""
    if words[layout.HAS_REGION + slot]:
        # Without a holder's name nobody finds what he had: that is left to the slot's next owner, for it is
        # much to write while others wait for the lock.
        first = layout.digests(slot)
        words[first : first + layout.CAPACITY + layout.WINDOW] = memoryview(
            bytes((layout.CAPACITY + layout.WINDOW) * layout.WORD)
        ).cast("q")
    words[layout.HAS_REGION + slot] = 0
    for resource in Resource:
        words[layout.column(resource) + slot] = 0
    for area in range(layout.AREAS):
        # One that has no room on the disk must not even be looked at.
        if words[layout.AREA_KEYS + area]:
            clear_rows(words, area, slot)


def clear_entries(words: memoryview, slot: int) -> None:
    """Forget the holders of a slot and what they had; for its new owner, who has room for them on disk."""
    first, count = layout.digests(slot), layout.REGION_SIZE // layout.WORD
    words[first : first + count] = memoryview(bytes(layout.REGION_SIZE)).cast("q")


def clear_rows(words: memoryview, area: int, slot: int) -> None:
    """Forget the rows of a slot in one line, with the lock held."""
    header = layout.area_header(area)
    for place in range(min(words[header + layout.TOP], layout.ROWS)):
        first = layout.row(area, place)
        if words[first + layout.STATE] and words[first + layout.OWNER] == slot:
            words[header + layout.CHANGES] += 1
            words[first + layout.STATE] = layout.FREE
