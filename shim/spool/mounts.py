"""The file system that a directory lies on, as the kernel's table of mounts tells it (proc(5), mountinfo).

For what ``check`` tells operators; where it cannot be found out they are told nothing of it.
"""

import os
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """A mounted file system.

    Attributes:
        kind: Its type: ``ext4``, ``tmpfs``.
        options: Of the mount, and then those of the file system itself.
    """

    kind: str
    options: tuple[str, ...]


def mount_of(directory: Path, mounts: Path = MOUNTS) -> Mount | None:
    """The mount of a directory; None where /proc is silent, or there is no such directory."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
        device = directory.stat().st_dev
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        # Of variable number are only the fields before the dash; the source after it may be empty.
        of_mount, _, of_file_system = line.partition(" - ")
        if of_mount.split()[2] == number and of_file_system:
            kind, *_, own = of_file_system.split()
            return Mount(kind, (*of_mount.split()[5].split(","), *own.split(",")))
    return None
