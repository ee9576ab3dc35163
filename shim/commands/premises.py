"""What a shim's processes share in the state directory: the table of leases, and a folder of this shim alone.

The supervisor opens it all before the first worker; a worker joins by what it has inherited, so that nothing
that happens to a name in the file system can part them.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from shim.ledger.bell import ring_all
from shim.ledger.opening import TableFile
from shim.ledger.state import open_directory
from shim.ledger.table import LeaseTable
from shim.observe.keeping import CounterFiles

log = logging.getLogger("shim.server")

_PREFIX = "shim-"


class Premises:
    """An open state directory.

    Attributes:
        folder: Where the workers find each other; of this shim alone, and gone with it.
        state: The state directory, where the processes of several shims do.
    """

    def __init__(self, table: TableFile, folder: Path, state: Path) -> None:
        self._table = table
        self.folder = folder
        self.state = state

    @classmethod
    @contextlib.contextmanager
    def opened(cls, directory: Path) -> Iterator["Premises"]:
        """Open the state directory for the block.

        Raises:
            DiskError: It cannot be used; the text says why and what to do.
        """
        state = open_directory(directory)
        try:
            _remove_abandoned(directory)
            with contextlib.closing(TableFile(state, directory)) as table, _own_folder(directory) as folder:
                yield cls(table, folder, Path(f"/proc/self/fd/{state}"))
        finally:
            os.close(state)

    def join(self, *, holders: bool) -> LeaseTable:
        """A worker's part in the table; see ``TableFile.join``."""
        return self._table.join(holders=holders)

    def bury(self, worker: int) -> None:
        """A worker has ended: what it counted stays counted, where it can be read."""
        try:
            CounterFiles(self.folder).bury(worker)
        except (OSError, ValueError) as error:
            # Numbers are nothing that the supervisor, and all workers with it, may end for.
            log.warning("What worker %d counted is lost: %s", worker, error)
        with contextlib.suppress(OSError):
            (self.folder / f"worker-{worker}.sock").unlink(missing_ok=True)
        # What it held others may wait for.
        ring_all(self.state)


@contextlib.contextmanager
def _own_folder(directory: Path) -> Iterator[Path]:
    path = directory / f"{_PREFIX}{secrets.token_hex(4)}"
    path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Held by all workers too, who have the same descriptor: as long as one lives, nobody tidies up.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Not by its name, which may be too long for a socket in it.
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    """Remove folders of shims that were killed: nobody holds their locks."""
    for path in directory.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)
