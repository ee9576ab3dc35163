"""Descriptors and memory against the options: what suffices, what does not, what is not known."""

import resource

import pytest

from shim.doctor.machine import WORKER_MEMORY, available_memory, judge_descriptors, judge_memory
from shim.findings import Level
from tests.fakes.loaded import loaded

KIB, MIB = 1 << 10, 1 << 20
FEW = ("limits.max_connections=100", "limits.max_uploads=10")  # 100 + 3 * 10 + 100


@pytest.mark.parametrize(
    ("settings", "most", "level", "advice"),
    [
        (FEW, 230, Level.FINE, ""),
        (FEW, resource.RLIM_INFINITY, Level.FINE, ""),
        (FEW, 229, Level.WARNING, "LimitNOFILE=256 in the unit, or ulimit -Hn 230 as root"),
        (("limits.max_connections=unlimited",), 1024, Level.WARNING, "limits.max_connections = 256"),
    ],
)
def test_descriptors(settings, most, level, advice):
    finding = judge_descriptors(loaded(*settings).settings, most)
    assert (finding.level, finding.advice) == (level, advice)


@pytest.mark.parametrize(
    ("settings", "available", "level"),
    [
        (("limits.max_uploads=4", "spool.memory_limit=1MiB"), WORKER_MEMORY + 4 * MIB, Level.FINE),
        (("limits.max_uploads=4", "spool.memory_limit=1MiB"), WORKER_MEMORY + 4 * MIB - 1, Level.WARNING),
        (("server.workers=2",), WORKER_MEMORY * 2, Level.WARNING),
        (("limits.max_uploads=unlimited",), 1 << 40, Level.WARNING),
        (("limits.max_uploads=unlimited", "spool.memory_limit=0"), WORKER_MEMORY, Level.FINE),
    ],
)
def test_memory(settings, available, level):
    assert judge_memory(loaded(*settings).settings, available).level is level


@pytest.mark.parametrize(
    ("machine", "limit", "used", "available"),
    [
        ("MemTotal: 9 kB\nMemAvailable:    4096 kB\n", "max\n", "0\n", 4 * MIB),
        ("MemTotal: 9 kB\nMemAvailable:    4096 kB\n", "3145728\n", "1048576\n", 2 * MIB + 8192),
        ("MemAvailable:    4096 kB\n", "1048576\n", "2097152\n", 0),
        ("nothing of it\n", "max\n", "0\n", None),
    ],
)
def test_the_memory_that_is_left(tmp_path, machine, limit, used, available):
    """The smaller of what the machine has, and what the control group still grants."""
    (tmp_path / "meminfo").write_text(machine)
    (tmp_path / "cgroup").write_text("0::/system.slice/shim.service\n")
    group = tmp_path / "groups/system.slice/shim.service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(limit)
    (group / "memory.current").write_text(used)
    # A spool's pages: they are used, and are given back.
    (group / "memory.stat").write_text("anon 5\nfile 9000\ninactive_file 4096\nactive_file 4096\n")
    found = available_memory(tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "groups")
    assert found == available


def test_memory_that_is_not_visible(tmp_path):
    assert available_memory(tmp_path / "no", tmp_path / "no", tmp_path) is None
