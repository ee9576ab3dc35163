"""A spool whose disk fails when a test says so: a library between shim and kernel (``faulty_disk.c``).

The real process makes its real calls; those on files of the spool fail, are short or stall.
"""

import contextlib
import ctypes
import errno
import mmap
from collections.abc import Iterator, Mapping
from enum import IntEnum, IntFlag
from pathlib import Path

from tests.support.building import build


class Calls(IntFlag):
    """Kinds of calls."""

    OPEN = 1
    WRITE = 2
    READ = 4
    SEND = 8


class What(IntEnum):
    """What happens to them."""

    NONE = 0
    FAIL = 1
    SHORTEN = 2
    STALL = 3
    END = 4


class _Table(ctypes.Structure):
    # As ``struct table`` has it.
    _fields_ = (
        ("calls", ctypes.c_int),
        ("what", ctypes.c_int),
        ("number", ctypes.c_int),
        ("hits", ctypes.c_int),
        ("after", ctypes.c_long),
    )


class FaultyDisk:
    """The faults of one spool directory; none until one is set."""

    def __init__(self, folder: Path, place: Path) -> None:
        """Build the library in ``folder``, for which there must be a compiler; ``place`` is the spool."""
        self._library = build("faulty_disk", folder)
        self._place = place
        self._file = folder / "faults"
        self._file.write_bytes(bytes(ctypes.sizeof(_Table)))
        with self._file.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)
        self._table = _Table.from_buffer(self._mapped)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process with that spool is started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAULTY_DISK_TABLE": str(self._file),
            "FAULTY_DISK_PLACE": str(self._place),
        }

    @property
    def hits(self) -> int:
        """How many calls were not let pass since the fault was set."""
        return int(self._table.hits)

    @contextlib.contextmanager
    def fault(self, calls: Calls, what: What, *, after: int = 0, number: int = errno.EIO) -> Iterator[None]:
        """Let calls fail while the block runs, once ``after`` bytes have passed."""
        self._table.calls, self._table.number, self._table.after = calls, number, after
        self._table.hits = 0
        # Last, for it is what makes the rest count.
        self._table.what = what
        try:
            yield
        finally:
            self._table.what = What.NONE
