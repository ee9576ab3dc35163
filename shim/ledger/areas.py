"""Which area of the shared table a line has: found by the line's name, or made for it.

An area is free when no process that uses it lives, which the locks on the table's bytes say; so nobody has to
give one back, and one that was left is made anew for the next line.
"""

import hashlib

from shim.errors import DiskError
from shim.ledger import layout
from shim.ledger.table import LeaseTable

# Words have a sign, keys have none.
_BITS = 63


def claim_area(table: LeaseTable, name: str) -> int:
    """The area of the line of this name, shared with all processes that use it too.

    Raises:
        LimitReached: There is no place for one more, no room on the disk, or the lock was not to be had.
    """
    table.lock()
    try:
        area = _find_or_make(table, _key_of(name))
        table.share_area(area)
        return area
    finally:
        table.unlock()


def _find_or_make(table: LeaseTable, key: int) -> int:
    keys = table.words[layout.AREA_KEYS : layout.AREA_KEYS + layout.AREAS].tolist()
    if key in keys:
        return keys.index(key)
    area = _free_area(table, keys)
    # A mapped page without room on the disk would be a SIGBUS at some later step (decision 16).
    table.allocate(layout.area_offset(area), layout.AREA_SIZE)
    first = layout.area_header(area)
    nothing = memoryview(bytes(layout.AREA_SIZE)).cast("q")
    table.words[first : first + layout.AREA_SIZE // layout.WORD] = nothing
    table.words[layout.AREA_KEYS + area] = key
    return area


def _free_area(table: LeaseTable, keys: list[int]) -> int:
    for area, key in enumerate(keys):
        if key == 0 or not table.is_shared(area):
            return area
    raise DiskError(
        "The shim cannot count its requests; its log says why.",
        for_operator=f"The table of leases has place for {layout.AREAS} upstreams, and all are in use.",
    )


def _key_of(name: str) -> int:
    """A line's name as a word of the table, never 0."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> (64 - _BITS) or 1
