"""Looking at a spool directory: each thing that can be wrong with it is said, with what to do."""

import errno
import os
from pathlib import Path

import pytest

from shim.findings import Level
from shim.spool.inspect import inspect_directory
from shim.spool.space import Amount, Space
from shim.timing import UNLIMITED
from tests.fakes.descriptors import none_left

GIB = 1 << 30
SPACE = Space(total=100 * GIB, free=50 * GIB)


@pytest.fixture(autouse=True)
def no_descriptor_left():
    with none_left():
        yield


@pytest.fixture
def mounts(tmp_path):
    """A mount table in which the test's directory lies on a file system of the wanted kind."""

    def write(kind):
        device = tmp_path.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        table = tmp_path / "mountinfo"
        table.write_text(
            "21 20 0:5 / /proc rw - proc proc rw\n"
            f"22 20 {number} / / rw,relatime shared:1 - {kind} /dev/x rw\n"
        )
        return table

    return write


def look(directory, mounts, *, space=SPACE, max_total=None, min_free=None, patch=None):
    """All findings as pairs of level and text, on a file system of that much space."""
    if patch is not None:
        patch.setattr("shim.spool.inspect.measure_space", lambda _place: space)
    found = inspect_directory(
        directory,
        max_total=max_total or Amount(10 * GIB),
        min_free=min_free or Amount(share=0.05),
        mounts=mounts,
    )
    return [(finding.level, finding.text) for finding in found]


def test_all_is_well(tmp_path, mounts, monkeypatch):
    assert look(tmp_path, mounts("ext4"), patch=monkeypatch) == [
        (Level.FINE, f"{tmp_path} is writable, with nameless files (O_TMPFILE)"),
        (Level.FINE, "50.0 GiB free; uploads may use 10.0 GiB together"),
    ]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mountinfo"]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_directory(tmp_path, mounts, kind):
    place = tmp_path / kind
    if kind == "file":
        place.write_text("")
    ((level, text),) = look(place, mounts("ext4"))
    assert level is Level.FAULT
    assert text == f"{place} is no directory: make it, or set spool.directory"


def test_behind_a_closed_directory(tmp_path, mounts, monkeypatch):
    """pathlib raises there."""

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    monkeypatch.setattr(os, "access", lambda _place, _mode: False)
    ((level, text),) = look(tmp_path, mounts("ext4"))
    assert level is Level.FAULT
    assert "cannot be looked at by this user" in text


def test_not_writable(tmp_path, mounts, monkeypatch):
    monkeypatch.setattr(os, "access", lambda _place, _mode: False)
    ((level, text),) = look(tmp_path, mounts("ext4"))
    assert level is Level.FAULT
    assert "cannot be written to by this user" in text


def refuse_opening(monkeypatch, number, *, also_named=False):
    really_open = os.open

    def pretend(path, flags, *arguments, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE or (also_named and flags & os.O_CREAT):
            raise OSError(number, os.strerror(number))
        return really_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", pretend)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL], ids=errno.errorcode.get)
def test_without_nameless_files(tmp_path, mounts, monkeypatch, number):
    table = mounts("nfs")
    refuse_opening(monkeypatch, number)
    level, text = look(tmp_path, table, patch=monkeypatch)[0]
    assert level is Level.WARNING
    assert "has no O_TMPFILE" in text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mountinfo"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_no_file_can_be_made(tmp_path, mounts, monkeypatch, number):
    table = mounts("ext4")
    refuse_opening(monkeypatch, number)
    level, text = look(tmp_path, table, patch=monkeypatch)[0]
    assert level is Level.FAULT
    assert text == f"{tmp_path}: no file can be made there: {os.strerror(number)}"


def test_no_named_file_either(tmp_path, mounts, monkeypatch):
    table = mounts("ext4")
    refuse_opening(monkeypatch, errno.EOPNOTSUPP, also_named=True)
    level, text = look(tmp_path, table, patch=monkeypatch)[0]
    assert level is Level.FAULT
    assert "no file can be made there" in text


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_file_system_in_memory(tmp_path, mounts, monkeypatch, kind):
    (level, text) = look(tmp_path, mounts(kind), patch=monkeypatch)[1]
    assert level is Level.WARNING
    assert text.startswith(f"{tmp_path} is a {kind}: spooled bodies use up memory.")


@pytest.mark.parametrize(
    ("max_total", "min_free", "level", "words"),
    [
        (Amount(45 * GIB), Amount(share=0.05), Level.FINE, "uploads may use 45.0 GiB"),
        (Amount(45 * GIB + 1), Amount(share=0.05), Level.WARNING, "45.0 GiB usable now"),
        (Amount(share=0.8), Amount(share=0.05), Level.WARNING, "less than spool.max_total (80.0 GiB)"),
        (Amount(100 * GIB + 1), Amount(), Level.WARNING, "larger than the file system"),
        (Amount(UNLIMITED), Amount(), Level.WARNING, "larger than the file system"),
        (Amount(GIB), Amount(50 * GIB), Level.FAULT, "less than spool.min_free (50.0 GiB)"),
        (Amount(GIB), Amount(share=0.6), Level.FAULT, "larger uploads get 507"),
    ],
)
def test_space(tmp_path, mounts, monkeypatch, max_total, min_free, *, level, words):
    found = look(tmp_path, mounts("ext4"), max_total=max_total, min_free=min_free, patch=monkeypatch)
    assert found[-1][0] is level
    assert words in found[-1][1]


def test_space_that_cannot_be_asked_for(tmp_path, mounts, monkeypatch):
    table = mounts("ext4")

    def fail(_place):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "statvfs", fail)
    level, text = look(tmp_path, table)[-1]
    assert level is Level.FAULT
    assert str(tmp_path) in text
    assert "free space" in text
