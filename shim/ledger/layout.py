"""How the shared table lies in its file: header, columns of counts, a region for each process, rows of lines.

Of the counts a process writes only those where its slot is, so that giving back needs no lock and a dead
process's part can be cleared whole. Rows of lines are everybody's, and changed with the lock held. Numbers
are signed or unsigned words of eight bytes in the machine's order: one machine's processes use it, and a
store of one aligned word is never seen half done.
"""

import struct

from shim.ledger.counts import Resource

MAGIC = b"glance-shim lease"
VERSION = 2
# Processes at once: workers, and those of earlier configurations that still drain.
SLOTS = 128
# Holders that one process can tell apart, and how far from its place a holder's entry may stand.
CAPACITY = 16 * 1024
WINDOW = 32

WORD = 8
_HEADER = struct.Struct("=24sIIII16s")
SECRET_SIZE = 16

# In words, from the beginning of the file.
HIGHEST = 8  # one more than the highest slot that was ever in use
HAS_REGION = 16  # by slot: 1 where its process tells holders apart
_COLUMNS = HAS_REGION + SLOTS
AREAS = 32
AREA_KEYS = (
    _COLUMNS + len(Resource) * SLOTS
)  # by area: whose line it is, 0 where it has no room on the disk yet
COMMON_SIZE = 8192
"""Bytes of header and columns: what every process uses."""
_ENTRIES = CAPACITY + WINDOW
_REGION_WORDS = -(-(1 + len(Resource)) * _ENTRIES // 512) * 512
REGION_SIZE = _REGION_WORDS * WORD
_FIRST_REGION = COMMON_SIZE // WORD

# Lines for the slots of upstreams (``rows.py``): what one is, and what a row is, in words.
ROWS = 4096
ROW = 8
_AREA_HEADER = 8
# Words of an area's header, and of a row.
CHANGES, TOP, TURN, PASSED_OVER = range(4)
STATE, OWNER, NUMBER, KIND, PROJECT, AVOIDED, LAST_TURN = range(7)
# The state of a row that nobody has, and of one that waits; one that holds has this and its server more.
FREE, WAITING, HOLDING = range(3)
_AREA_WORDS = _AREA_HEADER + ROWS * ROW
AREA_SIZE = -(-_AREA_WORDS * WORD // 4096) * 4096
_FIRST_AREA = _FIRST_REGION + SLOTS * _REGION_WORDS
FILE_SIZE = COMMON_SIZE + SLOTS * REGION_SIZE + AREAS * AREA_SIZE

assert _HEADER.size <= HIGHEST * WORD
assert (AREA_KEYS + AREAS) * WORD <= COMMON_SIZE


def header(secret: bytes) -> bytes:
    """The first bytes of a table of this version."""
    return _HEADER.pack(MAGIC, VERSION, SLOTS, CAPACITY, WINDOW, secret)


def read_header(data: bytes) -> tuple[bytes | None, str]:
    """The secret of a table of this version, or None and what is wrong with it."""
    if len(data) < _HEADER.size:
        return None, "is too short"
    magic, version, slots, capacity, window, secret = _HEADER.unpack_from(data)
    if magic.rstrip(b"\0") != MAGIC:
        return None, "is no table of leases"
    if version != VERSION:
        return None, f"has version {version}, and this program knows version {VERSION}"
    if (slots, capacity, window) != (SLOTS, CAPACITY, WINDOW):
        return None, "is damaged"
    return secret, ""


def column(resource: Resource) -> int:
    """The first word of a resource's counts, a word a slot."""
    return _COLUMNS + resource * SLOTS


def region_offset(slot: int) -> int:
    """The first byte of a slot's region."""
    return COMMON_SIZE + slot * REGION_SIZE


def area_offset(area: int) -> int:
    """The first byte of an area."""
    return area_header(area) * WORD


def area_header(area: int) -> int:
    """The first word of an area."""
    return _FIRST_AREA + area * AREA_SIZE // WORD


def row(area: int, place: int) -> int:
    """The first word of a row."""
    return area_header(area) + _AREA_HEADER + place * ROW


def digests(slot: int) -> int:
    """The first word of a slot's entries: whose they are (0: nobody's yet)."""
    return _FIRST_REGION + slot * _REGION_WORDS


def share(slot: int, entry: int, resource: Resource) -> int:
    """The word that holds how much of a resource an entry's holder has."""
    return _FIRST_REGION + slot * _REGION_WORDS + _ENTRIES * (1 + resource) + entry
