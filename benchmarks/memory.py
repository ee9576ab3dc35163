#!/usr/bin/env python
"""How much memory the shim takes for a large chunked upload to a real Glance, and whether it arrives whole.

Starts Glance under a WSGI server with the shim in front, sends one image in chunks of 1 MiB, and prints the
peak of the proportional set size (PSS) of the shim's process tree, the seconds, and what became of the image.

    .venv/bin/python benchmarks/memory.py [--size 1GiB] [--hosting uwsgi-unix] [--set KEY=VALUE ...]

The integration tests use the parts of it with an application of their own.
"""

import argparse
import contextlib
import hashlib
import http.client
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shim.config.units import parse_size
from shim.demo import DemoError
from shim.demo.client import TOKEN, download_hash, look_up
from shim.demo.front import start_shim
from shim.demo.glance import Glance
from shim.demo.hosting import KINDS, Kind

MIB = 1024 * 1024
SAMPLE_PAUSE = 0.05
# So many different chunks are sent in turn: one that is lost or exchanged changes the hash.
DIFFERENT_CHUNKS = 16
_ANSWER_LIMIT = 600.0


# -- measuring --------------------------------------------------------------------------------------------


class PssWatch:
    """Samples the PSS of a process and all its descendants every 50 ms, for the time of a ``with`` block.

    Attributes:
        before: Bytes at the first sample.
        peak: Bytes at the largest.
        samples: How many were taken.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.before = self.peak = self.samples = 0

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_PAUSE):
            self._sample()

    def _sample(self) -> None:
        size = sum(map(pss, family(self._pid)))
        self.before = self.before or size
        self.peak = max(self.peak, size)
        self.samples += 1


def family(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    members = [pid]
    for member in members:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                members += map(int, task.read_text().split())
    return members


def pss(pid: int) -> int:
    """Proportional set size in bytes (proc(5), smaps_rollup); 0 where the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


# -- sending ----------------------------------------------------------------------------------------------


class Chunks:
    """A body of ``size`` bytes (a multiple of 1 MiB) in chunks of 1 MiB, as the glance command sends them.

    Attributes:
        size: Bytes in all.
    """

    def __init__(self, size: int) -> None:
        if size % MIB:
            raise ValueError(f"{size} is not a multiple of 1 MiB")
        self.size = size
        self._different = [os.urandom(MIB) for _ in range(DIFFERENT_CHUNKS)]

    def encoded(self) -> Iterator[bytes]:
        """The chunks as they are sent, and the last one; made once, so that sending costs next to nothing."""
        ready = [b"%x\r\n%b\r\n" % (MIB, chunk) for chunk in self._different]
        yield from itertools.islice(itertools.cycle(ready), self.size // MIB)
        yield b"0\r\n\r\n"

    def hash(self, algorithm: str) -> str:
        """Its hash in hex."""
        digest = hashlib.new(algorithm)
        for chunk in itertools.islice(itertools.cycle(self._different), self.size // MIB):
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to an upload, and the seconds from connecting to its end."""

    status: int
    body: bytes
    seconds: float


def send(netloc: str, target: str, chunks: Chunks, headers: Mapping[str, str]) -> Sent:
    """PUT the chunks to ``target``, and read the answer."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(netloc, timeout=_ANSWER_LIMIT)
    with contextlib.closing(connection):
        connection.putrequest("PUT", target)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        # A server that has heard enough answers and closes: then that answer is what counts.
        with contextlib.suppress(ConnectionError):
            for piece in chunks.encoded():
                connection.sock.sendall(piece)
        answer = connection.getresponse()
        body = answer.read()
    return Sent(answer.status, body, time.monotonic() - began)


# -- the run ----------------------------------------------------------------------------------------------


def measure(size: int, hosting: Kind, settings: list[str], directory: Path) -> bool:
    """Upload one image, print what there is to say, and give whether the image is whole.

    Raises:
        DemoError: Something could not be started, or Glance did not answer.
    """
    chunks = Chunks(size)
    # Glance is asked for the image's state past the shim: it is what is being judged.
    kinds: tuple[Kind, ...] = ("gunicorn",) if hosting == "gunicorn" else (hosting, "uwsgi-http-socket")
    with Glance.make(directory / "glance") as glance:
        server = glance.serve(*dict.fromkeys(kinds))
        with start_shim(server.urls[hosting], directory / "shim", *settings) as shim:
            netloc = shim.url.removeprefix("http://")
            image = _create(netloc)
            headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/octet-stream"}
            with PssWatch(shim.pid) as watch:
                sent = send(netloc, f"/v2/images/{image}/file", chunks, headers)
            state = look_up(server.urls[kinds[-1]], image)
            downloaded = download_hash(shim.url, image) if state.status == "active" else None
    whole = state.hash_value == downloaded == chunks.hash("sha512")
    rows = {
        "hosting": hosting,
        "size": f"{size // MIB} MiB, chunked, without a declared size",
        "PSS before": f"{watch.before / MIB:.1f} MiB",
        "PSS peak": f"{watch.peak / MIB:.1f} MiB ({watch.samples} samples)",
        "seconds": f"{sent.seconds:.1f} ({size / MIB / sent.seconds:.0f} MiB/s)",
        "answer": f"{sent.status} {sent.body[:200].decode(errors='replace')}",
        "image": f"{state.status}, {state.size} bytes",
        "sha512": "equal: sent, kept by Glance, downloaded" if whole else "NOT equal",
    }
    sys.stdout.writelines(f"{name:<12}{text}\n" for name, text in rows.items())
    return whole


def _create(netloc: str) -> str:
    connection = http.client.HTTPConnection(netloc, timeout=_ANSWER_LIMIT)
    fields = {"name": "memory", "disk_format": "raw", "container_format": "bare"}
    with contextlib.closing(connection):
        connection.request("POST", "/v2/images", json.dumps(fields), {"X-Auth-Token": TOKEN})
        answer = connection.getresponse()
        text = answer.read()
    if answer.status != http.client.CREATED:
        raise DemoError(f"no image was created: {answer.status} {text!r}")
    return str(json.loads(text)["id"])


def main() -> int:
    """Read the arguments, and run in a temporary directory."""
    parser = argparse.ArgumentParser(description="The shim's memory during one large upload to Glance.")
    parser.add_argument("--size", type=parse_size, default=1024 * MIB, help="of the image (default: 1GiB)")
    parser.add_argument("--hosting", choices=KINDS, default="uwsgi-unix")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the shim")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shim-memory-") as directory:
        return 0 if measure(options.size, options.hosting, options.set, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
