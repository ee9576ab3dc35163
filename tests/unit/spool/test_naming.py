"""A name for a nameless file, for a moment: who may read it, and that nothing keeps it."""

import asyncio
import os
import stat
import subprocess
import sys

import pytest

from shim.spool.naming import PREFIX, named, sweep_names
from tests.fakes.descriptors import none_left
from tests.fakes.loops import run


@pytest.fixture
def descriptor(tmp_path):
    number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(number, b"foobar")
    yield number
    os.close(number)


def test_the_file_has_a_name_while_the_block_runs(descriptor, tmp_path):
    place = tmp_path / f"{PREFIX}1"

    async def scene():
        async with named(descriptor, place) as path:
            assert path.read_bytes() == b"foobar"
            found = path.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o640, tmp_path.stat().st_gid)
            assert found.st_ino == os.fstat(descriptor).st_ino
        assert not place.exists()

    with none_left():
        run(scene())
    assert os.pread(descriptor, 10, 0) == b"foobar"


@pytest.mark.parametrize("error", [asyncio.CancelledError, ZeroDivisionError])
def test_the_name_goes_on_every_path(descriptor, tmp_path, error):
    place = tmp_path / f"{PREFIX}1"

    async def fail():
        async with named(descriptor, place):
            assert place.exists()
            raise error

    async def scene():
        with pytest.raises(error):
            await fail()
        assert not place.exists()

    run(scene())


@pytest.mark.parametrize("turns", range(4))
def test_cancelled_while_it_is_made(descriptor, tmp_path, turns):
    async def scene():
        async def hold():
            async with named(descriptor, tmp_path / f"{PREFIX}1"):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hold())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert list(tmp_path.iterdir()) == []

    run(scene())


def test_a_name_that_is_taken_is_not_taken_away(descriptor, tmp_path):
    place = tmp_path / f"{PREFIX}1"
    place.write_bytes(b"somebody's")

    async def scene():
        with pytest.raises(FileExistsError):
            async with named(descriptor, place):
                pass

    run(scene())
    assert place.read_bytes() == b"somebody's"


KILLED = """
import asyncio, os, pathlib, signal, sys
from shim.spool.naming import named
async def die(folder):
    number = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    async with named(number, pathlib.Path(folder) / "handoff-left"):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(die(sys.argv[1]))
"""


def test_what_a_killed_process_left_is_swept(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert ended.returncode < 0
    assert [place.name for place in tmp_path.iterdir()] == ["handoff-left"]
    with none_left():
        assert sweep_names(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_or_no_file_of_ours_is_left_alone(descriptor, tmp_path):
    others = [tmp_path / "image.raw", tmp_path / f"{PREFIX}link"]
    others[0].write_bytes(b"")
    others[1].symlink_to(others[0])

    async def scene():
        place = tmp_path / f"{PREFIX}1"
        async with named(descriptor, place):
            assert sweep_names(tmp_path) == 0
            assert place.exists()

    run(scene())
    assert all(place.is_symlink() or place.exists() for place in others)


def test_a_directory_that_is_not_there_has_nothing_to_sweep(tmp_path):
    assert sweep_names(tmp_path / "none") == 0
