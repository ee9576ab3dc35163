"""What a shim's processes share: there while one of them is, tidied up after, and never somebody else's."""

import fcntl
import os

import pytest

from shim.commands.premises import Premises
from shim.errors import DiskError
from shim.ledger.counts import Limits, Resource, Verdict
from shim.observe.counters import Counters
from shim.observe.keeping import CounterFiles
from tests.fakes.descriptors import none_left


@pytest.fixture(autouse=True)
def no_descriptor_left():
    with none_left():
        yield


def folders(path):
    return [entry for entry in path.iterdir() if entry.name.startswith("shim-")]


def test_a_life(tmp_path):
    state = tmp_path / "state"
    with Premises.opened(state) as premises:
        (folder,) = folders(state)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.samefile(premises.folder)
        table = premises.join(holders=False)
        assert table.take(Resource.UPLOADS, None, 1, Limits(1)) is Verdict.FITS
        table.close()
    assert [entry.name for entry in state.iterdir()] == ["leases"]


def test_a_path_too_long_for_a_socket(tmp_path):
    """The name of a unix socket has 107 bytes; the folder's own name is not part of it."""
    state = tmp_path / ("x" * 200)
    with Premises.opened(state) as premises:
        assert len(str(premises.folder)) < 50


def test_what_a_worker_counted_stays_counted(tmp_path):
    counters = Counters()
    counters.refusals["spool_full"] = 3
    with Premises.opened(tmp_path / "state") as premises:
        (premises.folder / "worker-1.sock").touch()
        files = CounterFiles(premises.folder)
        files.save(1, counters)
        premises.bury(1)
        premises.bury(2)
        assert files.read()[1].refusals == {"spool_full": 3}
        assert not (premises.folder / "worker-1.sock").exists()


@pytest.mark.parametrize("broken", ["worker-1.json", "ended.json"])
def test_counts_that_cannot_be_read_end_nobody(tmp_path, caplog, broken):
    with Premises.opened(tmp_path / "state") as premises:
        CounterFiles(premises.folder).save(1, Counters())
        (premises.folder / "worker-1.sock").touch()
        (premises.folder / broken).write_text('{"counters": ')
        premises.bury(1)
        assert not (premises.folder / "worker-1.sock").exists()
    assert "What worker 1 counted is lost: " in caplog.text


def test_what_killed_shims_left_goes_and_what_others_use_stays(tmp_path):
    state = tmp_path / "state"
    with Premises.opened(state):
        (alive,) = folders(state)
        abandoned = state / "shim-0000"
        abandoned.mkdir()
        (abandoned / "worker-1.json").touch()
        held = state / "shim-1111"
        held.mkdir()
        # As a worker whose supervisor was killed holds it.
        descriptor = os.open(held, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with Premises.opened(state):
            assert len(folders(state)) == 3
            assert alive.exists()
            assert held.exists()
            assert not abandoned.exists()
        os.close(descriptor)


def test_a_directory_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(DiskError, match=r"server\.state_directory"), Premises.opened(tmp_path / "state"):
        pass
