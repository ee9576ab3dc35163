"""Counters on disk: what was written is counted once, before, while and after its worker is buried."""

import pytest

from shim.observe.counters import Counters
from shim.observe.keeping import CounterFiles
from shim.observe.snapshot import add_up


def counted(number):
    counters = Counters()
    counters.refusals["spool_full"] = number
    return counters


def shown(files):
    """What somebody who asks nobody would show."""
    alive, ended, buried = files.read()
    silent = [counters for number, counters in alive.items() if number not in buried]
    return add_up([ended, *silent]).refusals["spool_full"]


def test_nothing_was_written(tmp_path):
    files = CounterFiles(tmp_path)
    assert shown(files) == 0
    files.bury(1)
    assert list(tmp_path.iterdir()) == []


def test_the_last_that_was_written_counts(tmp_path):
    files = CounterFiles(tmp_path)
    files.save(1, counted(1))
    files.save(1, counted(5))
    files.save(2, counted(10))
    assert shown(files) == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-1.json", "worker-2.json"]


def test_the_buried_count_on(tmp_path):
    files = CounterFiles(tmp_path)
    for number in (1, 2, 3):
        files.save(number, counted(10**number))
    for number in (3, 1):
        files.bury(number)
        files.bury(number)
        assert shown(files) == 1110
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ended.json", "worker-2.json"]
    # Only numbers whose files may still be found have to be remembered.
    files.save(4, counted(10**4))
    files.bury(4)
    assert files.read()[2] == {4}


def test_a_burial_that_is_cut_short_counts_nothing_twice(tmp_path, monkeypatch):
    files = CounterFiles(tmp_path)
    files.save(1, counted(7))

    def fail(*_, **__):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "unlink", fail)
        with pytest.raises(OSError):
            files.bury(1)
    assert (tmp_path / "worker-1.json").exists()
    assert shown(files) == 7


def test_a_half_written_file_is_never_seen(tmp_path):
    files = CounterFiles(tmp_path)
    files.save(1, counted(7))
    (tmp_path / "worker-1.json.99.new").write_text('{"req')
    assert shown(files) == 7
