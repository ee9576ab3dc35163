"""The rate of the spool's disk, told by a clock of ours; and quotas, by a mount table of ours."""

import itertools
import os

import pytest

from shim.doctor import disk
from shim.doctor.disk import inspect_quota, inspect_rate, judge_rate, measure_rate
from shim.findings import Level
from shim.spool.space import Space
from tests.fakes.descriptors import none_left

MIB = 1 << 20


def ticking(seconds: float):
    """A clock that is so much later each time."""
    ticks = itertools.count()
    return lambda: next(ticks) * seconds


def test_a_fast_disk_is_written_to_no_more_than_allowed(tmp_path):
    # A look at the clock before each of the eight steps, one at the begin, one at the end.
    with none_left():
        rate = measure_rate(tmp_path, clock=ticking(0.001))
    assert rate == pytest.approx(disk.MOST_BYTES / 0.009)


def test_a_slow_disk_gets_no_further_step(tmp_path):
    # Begin, first look, and a second one that comes too late: one step was written.
    assert measure_rate(tmp_path, clock=ticking(0.3)) == pytest.approx(4 * MIB / 0.9)


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "measure_space", lambda _place: Space(1 << 40, 1 << 30))
    assert list(inspect_rate(tmp_path)) == []


def test_where_nothing_can_be_written_others_say_so(tmp_path):
    assert list(inspect_rate(tmp_path / "missing")) == []


@pytest.mark.parametrize(("rate", "level"), [(50 * MIB, Level.FINE), (50 * MIB - 1, Level.WARNING)])
def test_the_rate_is_measured_by_what_glance_takes(rate, level):
    assert judge_rate(rate).level is level


@pytest.mark.parametrize(
    ("mine", "super_options", "told"),
    [
        ("rw,relatime", "rw,quota,usrquota", "quotas are on (quota, usrquota)"),
        ("rw,prjquota", "rw", "quotas are on (prjquota)"),
        ("rw,relatime", "rw,attr2,noquota", None),
    ],
)
def test_quotas(tmp_path, mine, super_options, told):
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        f"22 20 {os.major(device)}:{os.minor(device)} / / {mine} shared:1 - ext4 /dev/x {super_options}\n"
    )
    texts = [finding.text for finding in inspect_quota(tmp_path, table)]
    assert [told in text for text in texts] == ([] if told is None else [True])


def test_no_mount_table(tmp_path):
    assert not list(inspect_quota(tmp_path, tmp_path / "missing"))
