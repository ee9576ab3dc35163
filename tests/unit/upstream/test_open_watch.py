"""Noticing that a file was opened by somebody else, by the kernel's word alone."""

import asyncio
import os

import pytest

from shim.upstream import open_watch
from shim.upstream.open_watch import OpenWatch
from tests.fakes.descriptors import none_left
from tests.fakes.loops import run, run_uvloop

both_loops = pytest.mark.parametrize("run", [run, run_uvloop])


@pytest.fixture
def descriptor(tmp_path):
    number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    yield number
    os.close(number)


def open_again(descriptor):
    os.close(os.open(f"/proc/{os.getpid()}/fd/{descriptor}", os.O_RDONLY))


def watching(scene, run=run):
    """Run a scene with a watch; afterwards no descriptor is left."""

    async def whole():
        with none_left():
            watch = OpenWatch()
            try:
                await scene(watch)
            finally:
                watch.close()

    run(whole())


@both_loops
def test_an_opened_file_is_noticed(descriptor, run):
    async def scene(watch):
        with watch.on(descriptor) as opened:
            assert not opened.is_set()
            open_again(descriptor)
            async with asyncio.timeout(10):
                await opened.wait()

    watching(scene, run)


def test_a_look_sees_what_the_loop_has_not_seen_yet(descriptor):
    async def scene(watch):
        with watch.on(descriptor) as opened:
            watch.look()
            assert not opened.is_set()
            open_again(descriptor)
            watch.look()
            assert opened.is_set()

    watching(scene)


def test_reading_and_writing_it_ourselves_is_no_opening(descriptor):
    async def scene(watch):
        with watch.on(descriptor) as opened:
            os.pwrite(descriptor, b"foo", 0)
            os.pread(descriptor, 3, 0)
            watch.look()
            assert not opened.is_set()

    watching(scene)


def test_each_file_has_its_own_event(descriptor, tmp_path):
    async def scene(watch):
        other = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
        with watch.on(descriptor) as first, watch.on(other) as second:
            open_again(other)
            watch.look()
            assert (first.is_set(), second.is_set()) == (False, True)
        os.close(other)

    watching(scene)


def test_a_file_may_be_watched_again(descriptor):
    async def scene(watch):
        for _ in range(3):
            with watch.on(descriptor) as opened:
                open_again(descriptor)
                watch.look()
                assert opened.is_set()
        open_again(descriptor)
        watch.look()

    watching(scene)


def test_a_file_that_is_closed_meanwhile(tmp_path):
    async def scene(watch):
        number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
        with watch.on(number):
            os.close(number)

    watching(scene)


def test_a_system_without_inotify(descriptor, monkeypatch):
    monkeypatch.setattr(open_watch, "INotify", None)

    async def scene(watch):
        with pytest.raises(OSError, match="not implemented"), watch.on(descriptor):
            pass
        watch.look()

    watching(scene)
