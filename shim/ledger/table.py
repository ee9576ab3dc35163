"""The counts of several processes in one file, mapped into each of them (``server.state_directory``).

Taking is one step under a lock of some microseconds: add up what everybody holds, decide, write. Each process
holds the lock of a byte for as long as it lives, so whoever finds that lock free clears what the dead one
held; that is looked at when something would be refused, which is when it matters. What a process holds itself
it knows by itself: the file only tells the others.
"""

import hashlib
import mmap
import os

from shim.errors import DiskError, UploadsFull
from shim.ledger import layout
from shim.ledger.counts import Held, Limits, Resource, Verdict, decide
from shim.ledger.locks import is_locked, lock_within, try_lock, unlock
from shim.ledger.upkeep import RECOVERY, allocate, clear_entries, clear_slot
from shim.timing import UNLIMITED, Seconds

# Byte 0 is everybody's lock, held for a step; byte 1 + slot is held by the slot's process while it lives.
STEP_LOCK = 0
FIRST_SLOT_LOCK = 1
# Held by supervisors, so that a table is in use also while no worker is; then one for each area of lines.
KEEPER_LOCK = FIRST_SLOT_LOCK + layout.SLOTS
FIRST_AREA_LOCK = KEEPER_LOCK + 1
# The lock is held for microseconds, unless the holder has lost its processor in the middle of a step: on a
# machine with far more to do than processors that takes a while, and is no reason to refuse anybody.
PATIENCE: Seconds = 1.0
# An event loop stands meanwhile. So after one wait in vain the next ones are short, until one is not.
PATIENCE_AFTER: Seconds = 0.1
# More than any disk: a sum beyond it is no sum of leases.
_MOST = 1 << 62


class LeaseTable:
    """A ``Ledger`` over a file that several processes have mapped."""

    def __init__(self, descriptor: int, name: str, secret: bytes, slot: int) -> None:
        """Take an open table (closed with this), what to call it, and a slot whose lock is held."""
        self._descriptor = descriptor
        self._name = name
        self._secret = secret
        self._slot = slot
        self._map = mmap.mmap(descriptor, layout.FILE_SIZE)
        whole = memoryview(self._map)
        self._words = whole.cast("q")
        self._digests = whole.cast("Q")
        self._own = [0] * len(Resource)
        self._has_region = False
        self._entries: dict[str, _Entry] = {}
        self._areas: set[int] = set()
        self._waited_in_vain = False

    def __repr__(self) -> str:
        return f"<LeaseTable {self._name}, slot {self._slot}, {len(self._entries)} holders>"

    def begin(self, *, holders: bool) -> None:
        """Take possession of the slot, with the table's lock held; a predecessor's counts end here."""
        clear_slot(self._words, self._slot)
        if holders:
            # Also where the slot had no holders last: those before may have left theirs.
            clear_entries(self._words, self._slot)
        self._has_region = holders
        self._words[layout.HAS_REGION + self._slot] = int(holders)
        self._words[layout.HIGHEST] = max(self._words[layout.HIGHEST], self._slot + 1)

    # -- the ledger -------------------------------------------------------------------------------

    def take(self, resource: Resource, holder: str | None, amount: int, limits: Limits) -> Verdict:
        """See ``Ledger``.

        Raises:
            UploadsFull: The others' counts were not to be had in time.
            DiskError: The table is damaged.
        """
        assert holder is None or self._has_region, "joined without holders"
        if holder is None and limits.total == UNLIMITED:
            self._add(resource, amount)
            return Verdict.FITS
        self.lock()
        try:
            verdict = decide(self._held(resource, holder), amount, limits)
            if verdict is not Verdict.FITS and self._clear_dead():
                verdict = decide(self._held(resource, holder), amount, limits)
            if verdict is not Verdict.FITS:
                return verdict
            if holder is not None and not self._add_share(resource, holder, amount):
                # No place to count it in: a share that cannot be counted is not granted.
                return Verdict.SHARE
            self._add(resource, amount)
            return Verdict.FITS
        finally:
            self.unlock()

    def give_back(self, resource: Resource, holder: str | None, amount: int) -> None:
        """See ``Ledger``; without the lock, for nobody else writes to our words."""
        self._add(resource, -amount)
        if holder is None:
            return
        entry = self._entries[holder]
        entry.held[resource] -= amount
        self._words[layout.share(self._slot, entry.place, resource)] = entry.held[resource]
        if not any(entry.held):
            # Its place keeps the holder's name for the next one that has need of a place.
            del self._entries[holder]

    # -- for lines ----------------------------------------------------------------------------------

    @property
    def slot(self) -> int:
        """Which of the processes this one is."""
        return self._slot

    @property
    def words(self) -> memoryview:
        """All words, for whoever has an area in them."""
        return self._words

    def lock(self) -> None:
        """Take the lock, for a step of microseconds; raises as ``take`` does."""
        patience = PATIENCE_AFTER if self._waited_in_vain else PATIENCE
        self._waited_in_vain = not lock_within(self._descriptor, STEP_LOCK, patience)
        if self._waited_in_vain:
            raise UploadsFull(
                "The shim's processes are too busy to agree on its limits.",
                retry_after=1,
                for_operator=f"{self._name} was locked for {patience:g} s:"
                " one of its processes was stopped in the middle of a step.",
            )

    def unlock(self) -> None:
        """End a step."""
        unlock(self._descriptor, STEP_LOCK)

    def lives(self, slot: int) -> bool:
        """Whether a process has this slot."""
        return slot == self._slot or is_locked(self._descriptor, FIRST_SLOT_LOCK + slot)

    def share_area(self, area: int) -> None:
        """Let the others know that we use an area of lines, for as long as we live."""
        try_lock(self._descriptor, FIRST_AREA_LOCK + area, shared=True)
        self._areas.add(area)

    def is_shared(self, area: int) -> bool:
        """Whether a process uses it, this one too."""
        # Our own are remembered: the kernel shows nobody the locks of his own file description.
        return area in self._areas or is_locked(self._descriptor, FIRST_AREA_LOCK + area)

    def allocate(self, offset: int, size: int) -> None:
        """Take room on the disk: a mapped page without it would be a signal later; raises DiskError."""
        allocate(self._descriptor, self._name, offset, size)

    def close(self) -> None:
        """Give up the slot: what it held counts no more, for the kernel lets go of its lock."""
        self._words.release()
        self._digests.release()
        self._map.close()
        os.close(self._descriptor)

    # -- adding up --------------------------------------------------------------------------------

    def _held(self, resource: Resource, holder: str | None) -> Held:
        highest = self._words[layout.HIGHEST]
        if not 0 < highest <= layout.SLOTS:
            raise self._damaged()
        first = layout.column(resource)
        counts = self._words[first : first + highest].tolist()
        total = sum(counts)
        if min(counts) < 0 or total > _MOST:
            raise self._damaged()
        return Held(total, 0 if holder is None else self._share(resource, holder, highest))

    def _share(self, resource: Resource, holder: str, highest: int) -> int:
        digest = self._digest(holder)
        own = self._entries.get(holder)
        total = 0 if own is None else own.held[resource]
        home = digest % layout.CAPACITY
        flags = self._words[layout.HAS_REGION : layout.HAS_REGION + highest].tolist()
        for slot, has_region in enumerate(flags):
            if has_region and slot != self._slot:
                first = layout.digests(slot) + home
                window = self._digests[first : first + layout.WINDOW].tolist()
                if digest in window:
                    total += self._words[layout.share(slot, home + window.index(digest), resource)]
        return total

    def _digest(self, holder: str) -> int:
        # With the table's secret: clients must not be able to choose names that fall on the same place.
        hashed = hashlib.blake2b(holder.encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(hashed, "little") or 1

    # -- our own part -----------------------------------------------------------------------------

    def _add(self, resource: Resource, amount: int) -> None:
        self._own[resource] += amount
        self._words[layout.column(resource) + self._slot] = self._own[resource]

    def _add_share(self, resource: Resource, holder: str, amount: int) -> bool:
        entry = self._entries.get(holder)
        if entry is None:
            entry = self._new_entry(holder)
            if entry is None:
                return False
        entry.held[resource] += amount
        self._words[layout.share(self._slot, entry.place, resource)] = entry.held[resource]
        return True

    def _new_entry(self, holder: str) -> "_Entry | None":
        """A place for a holder near where everybody looks for it; None where all of them are in use."""
        digest = self._digest(holder)
        home = digest % layout.CAPACITY
        for place in range(home, home + layout.WINDOW):
            words = [layout.share(self._slot, place, resource) for resource in Resource]
            # A place whose holder holds nothing any more is as good as one that nobody ever had.
            if not any(self._words[word] for word in words):
                self._digests[layout.digests(self._slot) + place] = digest
                entry = self._entries[holder] = _Entry(place)
                return entry
        return None

    # -- the others -------------------------------------------------------------------------------

    def _clear_dead(self) -> bool:
        """Clear what processes hold that live no more; whether there was any."""
        found = False
        for slot in range(self._words[layout.HIGHEST]):
            words = [layout.column(resource) + slot for resource in Resource]
            if slot == self._slot or not any(self._words[word] for word in words):
                continue
            if not is_locked(self._descriptor, FIRST_SLOT_LOCK + slot):
                clear_slot(self._words, slot)
                found = True
        return found

    def _damaged(self) -> DiskError:
        return DiskError(
            "The shim cannot count its uploads; its log says why.",
            for_operator=f"{self._name} is damaged. {RECOVERY}",
        )


class _Entry:
    """What one holder has of us, and where it is written down."""

    __slots__ = ("held", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self.held = [0] * len(Resource)
