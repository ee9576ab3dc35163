"""One measured run: a trace of uploads through a real shim, whose metrics are read at even times."""

import asyncio
import re
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.capacity.traffic import server, upload
from shim.capacity.load import Way
from shim.capacity.simulation import Arrival, Rules
from shim.demo.front import Shim, start_shim
from shim.timing import Seconds

STEP: Seconds = 0.2
_MODES = {Way.WHOLE: "spool", Way.CUT_THROUGH: "auto"}
# From metrics to what a simulation calls the same.
_METRICS = {
    "uploads": re.compile(r"^glance_shim_uploads\{.*\} (\S+)$", re.MULTILINE),
    "slots": re.compile(r"^glance_shim_upstream_inflight\{.*\} (\S+)$", re.MULTILINE),
    "held": re.compile(r"^glance_shim_spool_bytes (\S+)$", re.MULTILINE),
}
# The shim learns how fast its server is from a body of at least 16 MiB: one before the trace begins.
_TEACHER = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over a run, by the names that a simulation has for them; and how long it took."""

    means: dict[str, float]
    seconds: Seconds


def measure(trace: Sequence[Arrival], rules: Rules, settings: Sequence[str] = ()) -> Measured:
    """Run a trace through a shim under ``rules``, with more ``KEY=VALUE`` for it."""
    with tempfile.TemporaryDirectory(prefix="glance-shim-capacity-") as folder:
        return asyncio.run(_measure(trace, rules, settings, Path(folder)))


async def _measure(trace: Sequence[Arrival], rules: Rules, settings: Sequence[str], folder: Path) -> Measured:
    async with server(rules.drain_rate) as url:
        options = (
            "service=none",
            f"body={_MODES[rules.way]}",
            f'upstreams.main.servers=["{url}"]',
            # One is kept for small requests.
            f"upstreams.main.max_inflight={rules.slots + 1}",
            "upstreams.main.upload_share=1",
            *settings,
        )
        shim = await asyncio.to_thread(start_shim, None, folder, *options)
        try:
            port = int(shim.url.rpartition(":")[2])
            await upload(port, Arrival(0.0, _TEACHER), 10 * rules.drain_rate)
            return await _play(trace, rules, shim, port)
        finally:
            await asyncio.to_thread(shim.stop)


async def _play(trace: Sequence[Arrival], rules: Rules, shim: Shim, port: int) -> Measured:
    clock = asyncio.get_running_loop().time
    begun = clock()
    watching = asyncio.create_task(_watch(shim))
    try:
        async with asyncio.TaskGroup() as uploads:
            for arrival in trace:
                await asyncio.sleep(max(0.0, begun + arrival.time - clock()))
                uploads.create_task(upload(port, arrival, rules.client_rate))
        seconds = clock() - begun
    finally:
        watching.cancel()
        [samples] = await asyncio.gather(watching, return_exceptions=True)
    if isinstance(samples, BaseException):
        raise samples
    return Measured({name: statistics.fmean(series) for name, series in samples.items()}, seconds)


async def _watch(shim: Shim) -> dict[str, list[float]]:
    """Read the metrics until it is cancelled; what they were."""
    samples: dict[str, list[float]] = {name: [] for name in _METRICS}
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            while True:
                answer = await client.get(f"{shim.admin_url}/metrics")
                for name, pattern in _METRICS.items():
                    samples[name].append(sum(map(float, pattern.findall(answer.text))))
                # Even times, whatever a question takes: samples must not gather where the shim is quick.
                due = begun + len(samples["held"]) * STEP
                await asyncio.sleep(max(0.0, due - clock()))
        except asyncio.CancelledError:
            return samples
