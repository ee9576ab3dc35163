"""The shared table: counts of several processes add up, the dead hold nothing. A table is a process here."""

import contextlib
import os
from pathlib import Path

import pytest

from shim.errors import DiskError, UploadsFull
from shim.ledger import layout, locks
from shim.ledger.counts import Limits, Resource, Verdict
from shim.ledger.opening import TableFile
from shim.ledger.state import open_directory
from shim.ledger.table import STEP_LOCK
from tests.fakes.descriptors import none_left
from tests.support.scripts import running

FITS, TOTAL, SHARE = Verdict.FITS, Verdict.TOTAL, Verdict.SHARE
BYTES, UPLOADS, CONNECTIONS, _ = Resource


class Processes:
    """Processes that share a table; those that are still there at the end leave."""

    def __init__(self, folder: Path) -> None:
        self._directory = open_directory(folder / "state")
        self.file = TableFile(self._directory, folder / "state")
        self._tables = []

    def join(self, *, holders=True):
        self._tables.append(self.file.join(holders=holders))
        return self._tables[-1]

    def end(self, table) -> None:
        """What the kernel does when a process ends, however it ends."""
        self._tables.remove(table)
        table.close()

    def close(self) -> None:
        for table in self._tables:
            table.close()
        self.file.close()
        os.close(self._directory)


@pytest.fixture
def processes(tmp_path):
    with none_left(), contextlib.closing(Processes(tmp_path)) as made:
        yield made


def test_a_limit_holds_across_processes(processes):
    one, other = processes.join(), processes.join()
    limits = Limits(100)
    assert one.take(BYTES, None, 60, limits) is FITS
    assert other.take(BYTES, None, 41, limits) is TOTAL
    assert other.take(BYTES, None, 40, limits) is FITS
    assert one.take(BYTES, None, 1, limits) is TOTAL
    other.give_back(BYTES, None, 10)
    assert one.take(BYTES, None, 10, limits) is FITS


def test_resources_do_not_mix(processes):
    one, other = processes.join(), processes.join()
    assert [one.take(resource, "a", 1, Limits(1, 1)) for resource in Resource] == [FITS] * 4
    assert [other.take(resource, "b", 1, Limits(1, 1)) for resource in Resource] == [TOTAL] * 4
    one.give_back(UPLOADS, "a", 1)
    assert [other.take(resource, "b", 1, Limits(1, 1)) for resource in Resource] == [
        TOTAL,
        FITS,
        TOTAL,
        TOTAL,
    ]


def test_a_share_holds_across_processes(processes):
    one, other, third = processes.join(), processes.join(), processes.join()
    limits = Limits(1000, 100)
    assert one.take(BYTES, "a", 60, limits) is FITS
    assert other.take(BYTES, "a", 41, limits) is SHARE
    assert other.take(BYTES, "b", 41, limits) is FITS
    assert other.take(BYTES, "a", 40, limits) is FITS
    assert third.take(BYTES, "a", 1, limits) is SHARE
    one.give_back(BYTES, "a", 60)
    assert third.take(BYTES, "a", 60, limits) is FITS


def test_what_a_process_held_is_free_when_it_has_ended(processes):
    one, other = processes.join(), processes.join()
    limits = Limits(100, 80)
    one.take(BYTES, "a", 80, limits)
    one.take(UPLOADS, None, 1, Limits(1))
    assert other.take(BYTES, "a", 1, limits) is SHARE
    processes.end(one)
    assert other.take(BYTES, "a", 80, limits) is FITS
    assert other.take(UPLOADS, None, 1, Limits(1)) is FITS


def test_what_the_dead_held_counts_for_no_later_owner_of_their_place(processes):
    one, other = processes.join(), processes.join()
    one.take(BYTES, "a", 80, Limits(100, 80))
    processes.end(one)
    successor = processes.join()
    assert successor._slot == 0
    assert other.take(BYTES, "a", 80, Limits(100, 80)) is FITS
    assert successor.take(BYTES, "b", 20, Limits(100, 80)) is FITS


@pytest.mark.parametrize("is_cleared_first", [False, True])
def test_what_the_dead_held_takes_no_place_from_later_owners(processes, is_cleared_first):
    other = processes.join()
    for _ in range(layout.WINDOW + 1):
        one = processes.join()
        assert one.take(BYTES, "a", 80, Limits(100, 80)) is FITS
        processes.end(one)
        if is_cleared_first:
            # One that tells no holders apart has its place in between.
            assert other.take(BYTES, "a", 80, Limits(100, 80)) is FITS
            other.give_back(BYTES, "a", 80)
            processes.end(processes.join(holders=False))


def test_a_killed_process_holds_nothing(processes, tmp_path):
    script = f"""
from pathlib import Path
from shim.ledger.counts import Limits, Resource
from shim.ledger.opening import TableFile
from shim.ledger.state import open_directory
path = Path({str(tmp_path / "state")!r})
file = TableFile(open_directory(path), path)
print(file.join(holders=False).take(Resource.BYTES, None, 100, Limits(100)).value, flush=True)
signal.pause()
"""
    survivor = processes.join()
    with running(script) as process:
        assert process.stdout.readline() == b"fits\n"
        assert survivor.take(BYTES, None, 1, Limits(100)) is TOTAL
        process.kill()
        process.wait()
        assert survivor.take(BYTES, None, 100, Limits(100)) is FITS


def test_nobody_who_lives_is_cleared(processes):
    one, other = processes.join(), processes.join()
    one.take(BYTES, None, 100, Limits(100))
    for _ in range(3):
        assert other.take(BYTES, None, 1, Limits(100)) is TOTAL
    one.give_back(BYTES, None, 1)
    assert other.take(BYTES, None, 2, Limits(100)) is TOTAL


def test_holders_come_and_go_without_end(processes):
    one, other = processes.join(), processes.join()
    limits = Limits(1 << 40, 10)
    for number in range(3 * layout.CAPACITY // 10):
        assert one.take(CONNECTIONS, f"client {number}", 10, limits) is FITS
        if number % 1000 == 0:
            assert other.take(CONNECTIONS, f"client {number}", 1, limits) is SHARE
        one.give_back(CONNECTIONS, f"client {number}", 10)
    assert one._entries == {}
    assert other.take(CONNECTIONS, None, 1 << 40, Limits(1 << 40)) is FITS


def test_a_holder_that_cannot_be_counted_is_refused(processes, monkeypatch):
    """More holders near one place than there is room for: the limit must not be lifted for want of it."""
    table, other = processes.join(), processes.join()
    for one in (table, other):
        monkeypatch.setattr(one, "_digest", lambda holder: layout.CAPACITY * (1 + int(holder)))
    limits = Limits(1000, 2)
    for number in range(layout.WINDOW):
        assert table.take(UPLOADS, str(number), 1, limits) is FITS
    assert table.take(UPLOADS, str(layout.WINDOW), 1, limits) is SHARE
    # Those that are in grow on, everybody sees them, and a place that comes free is used again.
    assert table.take(UPLOADS, "7", 1, limits) is FITS
    assert other.take(UPLOADS, "7", 1, limits) is SHARE
    table.give_back(UPLOADS, "3", 1)
    assert table.take(UPLOADS, str(layout.WINDOW), 2, limits) is FITS
    assert other.take(UPLOADS, str(layout.WINDOW), 1, limits) is SHARE
    assert other.take(UPLOADS, "3", 2, limits) is FITS
    assert table.take(UPLOADS, "3", 1, limits) is SHARE


def test_a_process_that_stops_in_the_middle_of_a_step_lifts_no_limit(processes):
    table, stopped = processes.join(), processes.join()
    assert table.take(BYTES, None, 10, Limits(100)) is FITS
    assert locks.try_lock(stopped._descriptor, STEP_LOCK)
    with pytest.raises(UploadsFull) as refusal:
        table.take(BYTES, None, 1, Limits(100))
    assert refusal.value.retry_after == 1
    assert "locked for 1 s" in refusal.value.for_operator
    assert "stopped in the middle of a step" in refusal.value.for_operator
    with pytest.raises(UploadsFull) as refusal:
        table.take(BYTES, None, 1, Limits(100))
    assert "locked for 0.1 s" in refusal.value.for_operator, "an event loop stands meanwhile"
    # Giving back needs nobody.
    table.give_back(BYTES, None, 10)
    locks.unlock(stopped._descriptor, STEP_LOCK)
    assert table.take(BYTES, None, 1, Limits(100)) is FITS
    assert not table._waited_in_vain, "the next one is waited for again"
    assert stopped.take(BYTES, None, 99, Limits(100)) is FITS


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (layout.HIGHEST, 0),
        (layout.HIGHEST, layout.SLOTS + 1),
        (layout.column(BYTES), -1),
        (layout.column(BYTES), (1 << 62) + 1),
    ],
)
def test_a_damaged_table_grants_nothing(processes, word, value):
    processes.join()
    table = processes.join()
    table._words[word] = value
    with pytest.raises(DiskError) as refusal:
        table.take(BYTES, None, 1, Limits(100))
    assert "is damaged" in refusal.value.for_operator
    assert "remove it" in refusal.value.for_operator
    # The lock was given back: whoever comes next is told the same, and does not wait.
    assert locks.try_lock(table._descriptor, STEP_LOCK)


def test_no_limit_needs_no_lock(processes):
    table, other = processes.join(), processes.join()
    locks.try_lock(other._descriptor, STEP_LOCK)
    assert table.take(BYTES, None, 1 << 50, Limits()) is FITS
    table.give_back(BYTES, None, 1 << 50)
