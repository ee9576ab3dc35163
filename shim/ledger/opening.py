"""Opens the shared table: made by the first process, joined by the others, never used where it is doubtful.

A table that is damaged or of another version is made anew only where the kernel says that nobody lives in
it: as long as somebody counts there, a second table beside it would double every limit.
"""

import logging
import os
import secrets
from pathlib import Path

from shim.errors import DiskError
from shim.ledger import layout
from shim.ledger.locks import is_locked, lock_within, try_lock, unlock
from shim.ledger.table import FIRST_SLOT_LOCK, KEEPER_LOCK, STEP_LOCK, LeaseTable
from shim.ledger.upkeep import RECOVERY, allocate
from shim.timing import Seconds

log = logging.getLogger("shim.ledger")

FILE_NAME = "leases"
_START_PATIENCE: Seconds = 5.0


class TableFile:
    """The table's file in an open state directory, for the processes of one shim to join."""

    def __init__(self, directory: int, name: Path) -> None:
        """Open or make it; ``name`` is the directory's path, for messages.

        Raises:
            DiskError: It cannot be used, or there is no room for it; the text says what to do.
        """
        self.name = str(name / FILE_NAME)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(FILE_NAME, flags, 0o600, dir_fd=directory)
        except OSError as error:
            raise self._fault(f"cannot be opened: {error.strerror}.") from error
        try:
            with _Step(self._descriptor, self.name):
                self._make_sure_of_it()
                try_lock(self._descriptor, KEEPER_LOCK, shared=True)
        except BaseException:
            os.close(self._descriptor)
            raise

    def join(self, *, holders: bool) -> LeaseTable:
        """Take part as one process: a slot, counted until it is closed or this process ends.

        Args:
            holders: Whether shares of single holders will be counted, which takes half a megabyte.

        Raises:
            DiskError: The table cannot be used any more, has no place left, or there is no room for it.
        """
        # A description of our own, for locks belong to it; by way of /proc it is the same file for sure,
        # also where somebody has removed its name meanwhile.
        descriptor = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_CLOEXEC)
        try:
            with _Step(descriptor, self.name):
                secret = self._secret(descriptor)
                slot = self._claim(descriptor)
                if holders:
                    allocate(descriptor, self.name, layout.region_offset(slot), layout.REGION_SIZE)
                table = LeaseTable(descriptor, self.name, secret, slot)
                table.begin(holders=holders)
                return table
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Let go of the file; tables that were joined stay."""
        os.close(self._descriptor)

    def _make_sure_of_it(self) -> None:
        if os.fstat(self._descriptor).st_size == 0:
            self._make()
            return
        _, fault = self._look(self._descriptor)
        if not fault:
            return
        if is_locked(self._descriptor, FIRST_SLOT_LOCK, 0):
            raise self._fault(f"{fault}, and another process uses it. {RECOVERY}")
        log.warning("%s %s; nobody uses it, so it is made anew", self.name, fault)
        os.ftruncate(self._descriptor, 0)
        self._make()

    def _make(self) -> None:
        # Room first: a page of a mapped file that the disk has no room for would be a signal, not an error.
        allocate(self._descriptor, self.name, 0, layout.COMMON_SIZE)
        os.ftruncate(self._descriptor, layout.FILE_SIZE)
        os.pwrite(self._descriptor, layout.header(secrets.token_bytes(layout.SECRET_SIZE)), 0)

    def _look(self, descriptor: int) -> tuple[bytes | None, str]:
        secret, fault = layout.read_header(os.pread(descriptor, layout.COMMON_SIZE, 0))
        if not fault and os.fstat(descriptor).st_size != layout.FILE_SIZE:
            return None, "is damaged: it is not as long as it was made"
        return secret, fault

    def _secret(self, descriptor: int) -> bytes:
        secret, fault = self._look(descriptor)
        if secret is None:
            raise self._fault(f"{fault}. {RECOVERY}")
        return secret

    def _claim(self, descriptor: int) -> int:
        for slot in range(layout.SLOTS):
            if try_lock(descriptor, FIRST_SLOT_LOCK + slot):
                return slot
        raise self._fault(f"has no place left: {layout.SLOTS} processes use it.")

    def _fault(self, text: str) -> DiskError:
        return DiskError(
            "The shim cannot count its uploads; its log says why.", for_operator=f"{self.name} {text}"
        )


class _Step:
    """The table's lock for one step at a start."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def __enter__(self) -> None:
        if not lock_within(self._descriptor, STEP_LOCK, _START_PATIENCE):
            raise DiskError(
                "The shim cannot count its uploads; its log says why.",
                for_operator=f"{self._name} was locked for {_START_PATIENCE:g} s: a process that uses it"
                " was stopped in the middle of a step; let it go on, or kill it.",
            )

    def __exit__(self, *_: object) -> None:
        unlock(self._descriptor, STEP_LOCK)
