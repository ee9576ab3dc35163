"""What ``check`` looks at beside the configuration: disk, machine, timeouts, edges, a uWSGI behind.

Each module finds out what it can and judges it; what is judged is pure where it can be, told what was found.
Nothing is raised for a fault: all findings are wanted at once.
"""

from shim.config.load import DEFAULT, Loaded
from shim.timing import UNLIMITED

GLANCE_RATE = 50 * 1024 * 1024
"""Bytes a second at which Glance takes a body in, at the least: it hashes (measured: 50 to 80 MiB/s)."""

ASSUMED_LARGEST = 100 * 1024**3
"""Bytes of the largest image where the operator named none: larger ones are rare."""


def largest_image(loaded: Loaded) -> tuple[float, str]:
    """Bytes of the largest image to count with, and how to call it.

    The default of ``spool.max_body`` is Glance's own cap of a TiB, which says nothing about this cloud.
    """
    size = loaded.settings.spool.max_body
    if is_default(loaded, "spool", "max_body") or size == UNLIMITED:
        return ASSUMED_LARGEST, f"an image of {told_size(ASSUMED_LARGEST)}"
    return size, f"an image of spool.max_body ({told_size(size)})"


def is_default(loaded: Loaded, *path: str) -> bool:
    """Whether nobody set this option."""
    return loaded.source(path) == DEFAULT


def told_size(size: float) -> str:
    """Bytes for the eye."""
    return f"{size / 2**30:.4g} GiB" if size >= 2**30 else f"{size / 2**20:.4g} MiB"


def told_time(seconds: float) -> str:
    """Seconds for the eye."""
    for name, unit in (("h", 3600), ("min", 60)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"
