"""Blocks taken beforehand: never beyond what was granted, given back at the end, and no loss without them."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import DiskFull
from shim.spool import blocks, disk
from shim.spool.blocks import LEAST, MIB, STEP, Blocks
from shim.spool.disk import LocalDisk
from shim.spool.space import Amount, Space
from tests.fakes.loops import run


class Calls:
    """Stands for fallocate(2): keeps what was asked, agrees or not, and takes what was asked or does not."""

    def __init__(self, monkeypatch, *, agrees=True, takes=True):
        self.asked = []
        self.agrees = agrees
        self.takes = takes
        monkeypatch.setattr(blocks, "_allocate", self)
        monkeypatch.setattr(blocks, "_taken", lambda _descriptor: self.taken)

    def __call__(self, descriptor, offset, size):
        self.asked.append((offset, size))
        return self.agrees

    @property
    def taken(self):
        return sum(size for _, size in self.asked) if self.agrees and self.takes else 0


@pytest.mark.parametrize(
    ("granted", "sizes"),
    [
        (0, []),
        (LEAST - 1, []),
        (LEAST, [LEAST]),
        (STEP, [STEP]),
        (STEP + LEAST - 1, [STEP]),
        (2 * STEP + LEAST, [STEP, STEP, LEAST]),
    ],
)
def test_steps_end_where_the_grant_does(monkeypatch, granted, sizes):
    calls = Calls(monkeypatch)
    file = Blocks(-1)
    for offset in range(0, granted, MIB):
        if file.missing(offset, MIB) and (step := file.step(offset, granted)):
            file.take(offset, step)
    assert [size for _, size in calls.asked] == sizes
    assert file.end == sum(sizes)


@given(st.integers(0, 200 * MIB), st.integers(0, 4 * MIB), st.integers(0, 300 * MIB))
def test_what_is_missing_is_counted_once(end, size, offset):
    file = Blocks(-1)
    file.end = end
    assert file.missing(offset, size) == len(range(max(offset, end), offset + size))


@pytest.mark.parametrize("lacks", ["agrees", "takes"])
def test_who_cannot_is_asked_once(monkeypatch, lacks):
    calls = Calls(monkeypatch, **{lacks: False})
    file = Blocks(-1)
    file.take(0, STEP)
    assert file.end == 0
    assert file.step(0, STEP) == 0
    assert calls.asked == [(0, STEP)]


def test_what_the_real_file_system_gives_is_given_back(tmp_path):
    number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        file = Blocks(number)
        file.take(0, LEAST)
        assert os.fstat(number).st_size == 0
        assert (os.fstat(number).st_blocks * 512 >= LEAST) is (file.end == LEAST)
        os.pwrite(number, b"x" * MIB, 0)
        file.trim(MIB)
        assert os.fstat(number).st_size == MIB
        assert os.fstat(number).st_blocks * 512 < LEAST
        assert file.end <= MIB
    finally:
        os.close(number)


def test_a_file_that_cannot_be_trimmed_is_no_fault(monkeypatch):
    file = Blocks(-1)
    file.end = MIB
    file.trim(0)
    assert file.end == 0


def write(directory, *, reserve=0):
    """Write 3 MiB, one after the other, to a file that may grow; what it then holds."""

    async def scene():
        local = LocalDisk(directory, min_free=Amount(size=reserve))
        file = await local.create()
        try:
            for number in range(3):
                file.write_now(number * MIB, [bytes([number]) * MIB], 2 * STEP)
            file.trim_now(3 * MIB)
            return await file.read(0, 3 * MIB)
        finally:
            await file.close()
            local.close()

    return run(scene())


WHOLE = b"".join(bytes([number]) * MIB for number in range(3))


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


@pytest.fixture
def free(monkeypatch):
    """Set the free bytes of the disk, for as many times as it is asked."""

    def set_free(*amounts):
        told = itertools.chain(amounts, itertools.repeat(amounts[-1]))
        monkeypatch.setattr(disk, "measure_space", lambda _place: Space(1 << 41, next(told)))

    return set_free


def test_one_call_for_many_writes(calls, tmp_path):
    assert write(tmp_path) == WHOLE
    assert calls.asked == [(0, STEP)]


@pytest.mark.parametrize("agrees", [None, False], ids=["no such call", "refused"])
def test_bytes_are_written_without_blocks_too(calls, tmp_path, monkeypatch, agrees):
    calls.agrees = agrees
    if agrees is None:
        monkeypatch.setattr(blocks, "_allocate", None)
    assert write(tmp_path) == WHOLE


def test_the_reserve_is_kept_free_of_steps(calls, free, tmp_path):
    """A step that does not fit leaves its room to others; the write that fits is written."""
    free(STEP)
    assert write(tmp_path, reserve=MIB) == WHOLE
    assert calls.asked == []


def test_the_reserve_is_kept_free_of_writes(calls, free, tmp_path):
    free(2 * MIB)
    with pytest.raises(DiskFull, match="reserve"):
        write(tmp_path, reserve=MIB + 1)
    assert calls.asked == []


def test_what_has_blocks_takes_no_more_of_a_disk_that_others_fill(calls, free, tmp_path):
    free(2 * STEP, 0)
    assert write(tmp_path, reserve=MIB) == WHOLE
    assert calls.asked == [(0, STEP)]


def test_what_has_no_blocks_yet_is_refused_on_a_disk_that_others_fill(calls, free, tmp_path):
    async def scene():
        local = LocalDisk(tmp_path, min_free=Amount(size=MIB))
        file = await local.create()
        try:
            file.write_now(0, [bytes(MIB)], 2 * STEP)
            with pytest.raises(DiskFull, match="reserve"):
                file.write_now(STEP, [bytes(MIB)], 2 * STEP)
        finally:
            await file.close()
            local.close()

    free(2 * STEP, 2 * MIB - 1)
    run(scene())
