"""The state directory: private, outside the spool, and one for each spool where nothing else is said."""

import os
import stat

import pytest

from shim.errors import DiskError
from shim.ledger import state
from shim.ledger.state import default_directory, open_directory


def test_it_is_made_private(tmp_path):
    descriptor = open_directory(tmp_path / "state")
    assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o700
    os.close(descriptor)
    os.close(open_directory(tmp_path / "state"))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_one_that_others_may_write_to_is_refused(tmp_path, mode):
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    with pytest.raises(DiskError, match="others may write to it; its mode should be 0700"):
        open_directory(tmp_path / "state")


def test_one_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DiskError, match=f"it belongs to user {os.getuid()}, not to this one"):
        open_directory(tmp_path)


def test_readable_by_the_group_is_no_fault(tmp_path):
    """systemd makes $RUNTIME_DIRECTORY like that."""
    tmp_path.chmod(0o750)
    os.close(open_directory(tmp_path))


@pytest.mark.parametrize("made", ["nothing/in/between", "file"])
def test_what_cannot_be_had_is_told(tmp_path, made):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=f"server.state_directory {tmp_path}/{made}: "):
        open_directory(tmp_path / made)


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DiskError, match="link"):
        open_directory(tmp_path / "link")


def test_one_for_each_spool(tmp_path):
    places = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one = default_directory(tmp_path / "a", places)
    assert one.parent == tmp_path
    assert one == default_directory(tmp_path / "b" / ".." / "a", places)
    assert one != default_directory(tmp_path / "b", places)


def test_never_inside_of_the_spool(tmp_path, monkeypatch):
    monkeypatch.setattr(state.os, "access", lambda place, _mode: str(place).startswith(str(tmp_path)))
    monkeypatch.setattr(state.tempfile, "gettempdir", lambda: str(tmp_path / "spool" / "tmp"))
    spool = tmp_path / "spool"
    places = {"XDG_RUNTIME_DIR": str(spool)}
    assert default_directory(spool, places).parent == tmp_path
