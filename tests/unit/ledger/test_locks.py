"""Locks on bytes: bound to an open file, told apart inside of a process, and gone with their owner."""

import os

import pytest

from shim.ledger.locks import is_locked, lock_within, try_lock, unlock
from tests.support.scripts import running


@pytest.fixture
def two(tmp_path):
    """Two descriptions of one file, as two processes would have them."""
    path = tmp_path / "file"
    descriptors = [os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2)]
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def test_one_owner_a_byte(two):
    one, other = two
    assert try_lock(one, 5)
    assert not try_lock(other, 5)
    assert try_lock(other, 6)
    assert is_locked(other, 5)
    assert not is_locked(one, 5), "our own lock is nobody else's"
    assert is_locked(one, 0, 0), "somewhere from 0 on there is one"
    unlock(one, 5)
    assert not is_locked(other, 5)
    assert try_lock(other, 5)


def test_sharers_see_each_other_but_keep_out_owners(two):
    one, other = two
    assert try_lock(one, 9, shared=True)
    assert try_lock(other, 9, shared=True)
    unlock(one, 9)
    assert not try_lock(one, 9)


def test_closing_another_descriptor_of_the_file_loses_nothing(two, tmp_path):
    """That is what POSIX's own record locks would do."""
    one, other = two
    try_lock(one, 1)
    os.close(os.open(tmp_path / "file", os.O_RDWR))
    assert is_locked(other, 1)


def test_a_killed_process_has_no_locks(two, tmp_path):
    script = f"""
import os, signal
from shim.ledger.locks import try_lock
print(try_lock(os.open({str(tmp_path / "file")!r}, os.O_RDWR), 3), flush=True)
signal.pause()
"""
    with running(script) as process:
        assert process.stdout.readline() == b"True\n"
        assert is_locked(two[0], 3)
        process.kill()
        process.wait()
        assert try_lock(two[0], 3)


def test_waiting_has_an_end(two):
    one, other = two
    try_lock(one, 0)
    assert not lock_within(other, 0, 0.002)
    assert not lock_within(other, 0, 0)
    unlock(one, 0)
    assert lock_within(other, 0, 0)


def test_what_is_no_lock_of_others_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.touch()
    read_only = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        try_lock(read_only, 0)
    os.close(read_only)
