"""How many descriptors the process may have open: as many as it is allowed, not the few that it begins with.

A shell and systemd begin with 1024 for the sake of programs that use select(2), which ends there; the loop
and the pollers use epoll(7).
"""

import contextlib
import resource


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one, for this process and those that it will start."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The machine's own limit (fs.nr_open) may have been lowered below the hard one since.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
