"""Opening the table: who comes first makes it, who comes later joins, and doubt is told with a way out."""

import errno
import logging
import os

import pytest

from shim.errors import DiskError
from shim.ledger import layout, opening
from shim.ledger.counts import Limits, Resource, Verdict
from shim.ledger.opening import FILE_NAME, TableFile
from shim.ledger.state import open_directory
from tests.fakes.descriptors import none_left

LIMITS = Limits(100)


@pytest.fixture
def state(tmp_path):
    with none_left():
        descriptor = open_directory(tmp_path / "state")
        yield descriptor
        os.close(descriptor)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / FILE_NAME


def opened(state, path):
    return TableFile(state, path.parent)


def leave(*closables):
    for closable in closables:
        closable.close()


def test_the_file_is_private_and_takes_little_room(state, path):
    file = opened(state, path)
    table = file.join(holders=False)
    status = path.stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == layout.FILE_SIZE
    assert status.st_blocks * 512 < 64 * 1024
    leave(table, file)


def test_a_restarted_shim_finds_nothing_old(state, path):
    file = opened(state, path)
    table = file.join(holders=True)
    table.take(Resource.BYTES, "a", 100, Limits(100, 100))
    leave(table, file)
    file = opened(state, path)
    table = file.join(holders=True)
    assert table.take(Resource.BYTES, "a", 100, Limits(100, 100)) is Verdict.FITS
    leave(table, file)


def test_an_old_instance_and_its_successor_share_their_limits(state, path):
    old, new = opened(state, path), opened(state, path)
    draining, serving = old.join(holders=False), new.join(holders=False)
    draining.take(Resource.BYTES, None, 60, LIMITS)
    assert serving.take(Resource.BYTES, None, 41, LIMITS) is Verdict.TOTAL
    leave(draining, old)
    assert serving.take(Resource.BYTES, None, 100, LIMITS) is Verdict.FITS
    leave(serving, new)


def test_a_worker_joins_the_same_table_when_its_name_is_gone(state, path):
    file = opened(state, path)
    one = file.join(holders=False)
    path.unlink()
    other = file.join(holders=False)
    one.take(Resource.BYTES, None, 60, LIMITS)
    assert other.take(Resource.BYTES, None, 41, LIMITS) is Verdict.TOTAL
    leave(one, other, file)


FAULTS = [
    pytest.param(lambda path: os.truncate(path, 0), None, id="empty"),
    pytest.param(lambda path: os.truncate(path, 20), "too short", id="cut"),
    pytest.param(lambda path: write(path, 0, b"x" * 4096), "no table of leases", id="something else"),
    pytest.param(
        lambda path: write(path, 24, (9).to_bytes(4, "little")), "has version 9", id="another version"
    ),
    pytest.param(lambda path: write(path, 28, bytes(4)), "damaged", id="damaged"),
    pytest.param(lambda path: os.truncate(path, 4096), "damaged: it is not as long", id="too short a file"),
]


def write(path, place, data):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.mark.parametrize(("spoil", "fault"), FAULTS)
def test_what_nobody_uses_is_made_anew(state, path, spoil, fault, caplog):
    leave(opened(state, path))
    spoil(path)
    with caplog.at_level(logging.WARNING):
        file = opened(state, path)
    assert (fault is None) == (not caplog.messages)
    assert fault is None or fault in caplog.messages[0]
    table = file.join(holders=True)
    assert table.take(Resource.BYTES, "a", 100, LIMITS) is Verdict.FITS
    leave(table, file)


@pytest.mark.parametrize(("spoil", "fault"), FAULTS[1:])
def test_what_somebody_uses_is_not_touched(state, path, spoil, fault):
    file = opened(state, path)
    spoil(path)
    with pytest.raises(DiskError) as refusal:
        opened(state, path)
    told = refusal.value.for_operator
    assert str(path) in told
    assert fault in told
    assert "another process uses it" in told
    assert "remove it" in told
    # Nor does a further worker of the old one go on with it.
    with pytest.raises(DiskError, match=fault):
        file.join(holders=False)
    leave(file)


def test_all_places_taken(state, path, monkeypatch):
    monkeypatch.setattr(layout, "SLOTS", 2)
    file = opened(state, path)
    monkeypatch.setattr(opening.layout, "read_header", lambda _data: (bytes(16), ""))
    tables = [file.join(holders=False) for _ in range(2)]
    with pytest.raises(DiskError, match="has no place left: 2 processes use it"):
        file.join(holders=False)
    leave(tables.pop())
    tables.append(file.join(holders=False))
    leave(*tables, file)


@pytest.mark.parametrize("holders", [False, True])
def test_no_room(state, path, monkeypatch, holders):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = opened(state, path) if holders else None
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DiskError) as refusal:
        file.join(holders=True) if file else opened(state, path)
    assert "No space left on device; make room, or set server.state_directory" in refusal.value.for_operator
    if file:
        leave(file)


def test_somebody_stopped_in_the_middle_of_a_step(state, path, monkeypatch):
    monkeypatch.setattr(opening, "_START_PATIENCE", 0.01)
    file = opened(state, path)
    assert opening.lock_within(file._descriptor, opening.STEP_LOCK, 0)
    with pytest.raises(DiskError, match="let it go on, or kill it"):
        opened(state, path)
    leave(file)


def test_a_symbolic_link_is_not_followed(state, path, tmp_path):
    (tmp_path / "elsewhere").touch()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError, match="cannot be opened"):
        opened(state, path)
