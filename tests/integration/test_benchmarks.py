"""The benchmarks on real servers: one tiny scenario through the shim and nginx, from start to table."""

from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.engine import NotMeasured
from benchmarks.load.building import build
from benchmarks.peers.kinds import NGINX
from benchmarks.running import Bench
from benchmarks.scenario import parse_scenario

pytestmark = pytest.mark.servers

TINY = {
    "title": "A tiny upload",
    "means": "whether the engine works",
    "participants": ["shim", "shim-uwsgi", "nginx-tuned", "nginx-uwsgi"],
    "load": {"mode": "up", "size": "3MiB", "chunk": "10000B"},
    "targets": [
        {"metric": "time", "of": "shim", "against": "nginx-tuned"},
        {"metric": "time", "of": "shim-uwsgi", "against": "nginx-uwsgi"},
        {"metric": "memory", "of": "shim"},
    ],
}


@pytest.fixture(scope="module")
def bench():
    try:
        programs = build()
    except NotMeasured as reason:
        pytest.skip(str(reason))
    if not NGINX.exists():
        pytest.skip("nginx is not installed")
    # What waits for a quiet disk would here wait for other tests.
    return Bench(programs, Path("/var/tmp"), repetitions=1, settle=lambda: True)


def test_a_tiny_scenario(bench):
    result = bench.run(parse_scenario("tiny", TINY), lambda _: None)
    assert (result["void"], result["absent"]) == ({}, {})
    for name in TINY["participants"]:
        [sample] = result["samples"][name]
        assert sample["time"] > 0
        assert sample["memory"] > 1024**2
    assert len(table.lines({"tiny": result}, titles=True)) == 3


def test_who_gives_no_length_is_void(bench):
    chunked = {**TINY, "participants": ["haproxy"], "targets": []}
    result = bench.run(parse_scenario("tiny", chunked), lambda _: None)
    if "haproxy" in result["absent"]:
        pytest.skip("HAProxy is not installed")
    assert "not exact" in result["void"]["haproxy"]
