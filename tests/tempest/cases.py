"""What is run: a hosting of Glance, and whether the shim stands before it; each on data of its own.

The first case is the measure. gunicorn takes chunked bodies, so that tempest has something to pass without
the shim at all; uWSGI by its native protocol can only be reached through the shim.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.demo.environment import Environment
from shim.demo.hosting import Kind
from tests.identity.api import Identity
from tests.integration.running import run_shim
from tests.support.shim import Shim
from tests.tempest.nodes import start_nodes
from tests.tempest.runner import Run, Tempest
from tests.tempest.settings import ALTERNATE_SERVICE


@dataclass(frozen=True, slots=True)
class Case:
    """One way to reach Glance.

    Attributes:
        behind_shim: Whether the catalog leads to the shim, or to the server itself.
        is_judged: Whether its differences from the first case count.
    """

    kind: Kind
    behind_shim: bool
    is_judged: bool = True

    @property
    def name(self) -> str:
        """For directories and files."""
        return f"{self.kind}-{'shim' if self.behind_shim else 'alone'}"


CASES: tuple[Case, ...] = (
    Case("gunicorn", behind_shim=False),
    Case("gunicorn", behind_shim=True),
    Case("uwsgi-unix", behind_shim=True),
    # For comparison: uWSGI reads chunks of its own accord, but each of at most 1 MiB.
    Case("uwsgi-http-socket", behind_shim=False, is_judged=False),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that was run.

    Attributes:
        requests: How many of them the shims forwarded or answered.
        uploaded: Bytes of bodies they took.
        faults: What the shims must never do, and did: complaints in the log, or something kept at rest.
    """

    case: Case
    run: Run
    requests: int = 0
    uploaded: int = 0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share: a directory to work below, a running keystone, Glance's programs, and tempest."""

    directory: Path
    identity: Identity
    environment: Environment
    tempest: Tempest

    def run(self, case: Case, pattern: str) -> Outcome:
        """Start its Glance and shims, lead the catalog there, run tempest, and end what was started."""
        directory = self.directory / case.name
        with start_nodes(directory, self.identity, self.environment, case.kind) as nodes:
            upstreams = [nodes.primary.url, nodes.alternate.url]
            with _in_front(case, directory, upstreams) as (shims, urls):
                for service, url in zip(("image", ALTERNATE_SERVICE), urls, strict=True):
                    self.identity.set_endpoint(service, url)
                run = self.tempest.run(case.name, pattern)
                return Outcome(case, run, *_measure(shims))


@contextlib.contextmanager
def _in_front(
    case: Case, directory: Path, upstreams: Sequence[str]
) -> Iterator[tuple[list[Shim], list[str]]]:
    """A shim for each of the servers, or none; and the addresses for the catalog."""
    with contextlib.ExitStack() as ends:
        if not case.behind_shim:
            yield [], list(upstreams)
            return
        shims = [
            ends.enter_context(run_shim(directory / f"shim-{number}", upstream))
            for number, upstream in enumerate(upstreams, 1)
        ]
        yield shims, [f"http://127.0.0.1:{shim.port}" for shim in shims]


def _measure(shims: Sequence[Shim]) -> tuple[int, int, tuple[str, ...]]:
    requests, uploaded = _total(shims, "requests_total"), _total(shims, "body_bytes_total")
    return requests, uploaded, tuple(fault for shim in shims for fault in _faults(shim))


def _total(shims: Sequence[Shim], name: str) -> int:
    # Not Shim.metric: a counter has no sample before it first counts, as where few tests were chosen.
    samples = (sample for shim in shims for sample in shim.metrics().items())
    return int(sum(value for (found, _), value in samples if found == f"glance_shim_{name}"))


def _faults(shim: Shim) -> list[str]:
    faults = shim.complaints()
    try:
        shim.await_rest()
    except AssertionError as error:
        faults.append(str(error))
    return faults
