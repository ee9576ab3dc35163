"""The shim's memory while 1 GiB passes through it: what is large lies on the disk.

In the other ways it is a quarter of that, which is several times what they may take.
"""

import json

import pytest

from benchmarks.engine.watch import PssWatch
from shim.demo.environment import Environment
from tests.integration.results import Results
from tests.integration.running import run_shim, serve_echo
from tests.support.chunks import MIB, Chunks, send
from tests.support.rig import TLS, WAYS

pytestmark = pytest.mark.servers

SIZES = {way: (1024 if way == "fast" else 256) * MIB for way in WAYS if way not in TLS}
MOST = 80 * MIB
"""Of the proportional set size of all its processes together."""


@pytest.mark.parametrize(("way", "size"), SIZES.items())
def test_memory_for_a_large_body(environment: Environment, tmp_path, results: Results, way, size):
    chunks = Chunks(size)
    server = serve_echo(environment, tmp_path, "uwsgi-unix")
    with server, run_shim(tmp_path / "shim", server.url, service="none", forked=False, **WAYS[way]) as shim:
        with PssWatch(shim.pid) as watch:
            sent = send(f"127.0.0.1:{shim.port}", "/large", chunks, {})
        shim.await_rest()
    results.tell(
        f"PSS while {size // MIB} MiB pass ({way})",
        f"{watch.peak / MIB:.1f} MiB at most, {watch.before / MIB:.1f} MiB before; "
        f"{watch.samples} samples in {sent.seconds:.1f} s",
    )
    assert sent.status == 200, sent.body[:500]
    told = json.loads(sent.body)
    assert (told["length"], told["sha256"]) == (size, chunks.hash("sha256"))
    assert watch.samples > 3, "nobody looked while it passed"
    assert watch.peak < MOST
