"""The shim's memory while 1 GiB passes through it: what is large lies on the disk."""

import json

import pytest

from benchmarks.engine.watch import PssWatch
from shim.demo.environment import Environment
from tests.integration.results import Results
from tests.integration.running import run_shim, serve_echo
from tests.support.chunks import MIB, Chunks, send
from tests.support.rig import TLS, WAYS

pytestmark = pytest.mark.servers

SIZE = 1024 * MIB
MOST = 80 * MIB
"""Of the proportional set size of all its processes together."""


@pytest.mark.parametrize("way", [way for way in WAYS if way not in TLS])
def test_memory_for_a_gibibyte(environment: Environment, tmp_path, results: Results, way):
    chunks = Chunks(SIZE)
    server = serve_echo(environment, tmp_path, "uwsgi-unix")
    with server, run_shim(tmp_path / "shim", server.url, service="none", **WAYS[way]) as shim:
        with PssWatch(shim.pid) as watch:
            sent = send(f"127.0.0.1:{shim.port}", "/large", chunks, {})
        shim.await_rest()
    results.tell(
        f"PSS while 1 GiB passes ({way})",
        f"{watch.peak / MIB:.1f} MiB at most, {watch.before / MIB:.1f} MiB before; "
        f"{watch.samples} samples in {sent.seconds:.1f} s",
    )
    assert sent.status == 200, sent.body[:500]
    told = json.loads(sent.body)
    assert (told["length"], told["sha256"]) == (SIZE, chunks.hash("sha256"))
    assert watch.samples > 10
    assert watch.peak < MOST
