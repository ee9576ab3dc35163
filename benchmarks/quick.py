#!/usr/bin/env python
"""A short measurement: one image uploaded to a real Glance on uWSGI, without the shim and through it.

``make bench`` runs it in about a minute. The upload without the shim has a Content-Length, since uWSGI
takes no other; the difference is therefore what the shim's place in between costs.
"""
# ruff: noqa: T201 - a benchmark prints

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.client import TOKEN, look_up
from shim.demo.front import Shim, start_shim
from shim.demo.glance import Glance
from shim.demo.processes import Process, own_variables

MIB = 1024**2
_UPLOAD_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What all processes of a session have used: CPU seconds, and the sum of their peaks in bytes."""

    cpu_seconds: float
    peak_bytes: int


def main() -> int:
    """Measure, print a table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="size of the image (256)")
    parser.add_argument("--rounds", type=int, default=3, help="uploads of each kind (3)")
    arguments = parser.parse_args()
    try:
        measure(arguments.size * MIB, arguments.rounds)
    except DemoError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def measure(size: int, rounds: int) -> None:
    """Upload ``rounds`` times each way, by turns, and print the medians."""
    curl = shutil.which("curl")
    if curl is None:
        raise DemoError("curl is missing (Debian: apt-get install curl)")
    with tempfile.TemporaryDirectory(prefix="glance-shim-bench-") as name:
        directory = Path(name)
        file = directory / "image"
        write_random(file, size)
        with (
            Glance.make(directory / "glance") as glance,
            glance.serve("uwsgi-unix", "uwsgi-http-socket", workers=2) as server,
            start_shim(server.url, directory / "shim") as shim,
        ):
            straight, through = [], []
            plain = server.urls["uwsgi-http-socket"]
            before = usage_of(shim)
            for _ in range(rounds):
                straight.append(upload([curl, "-T", str(file)], plain, plain, file))
                through.append(upload([curl, "-T", "-"], shim.url, plain, file))
            after = usage_of(shim)
    print(
        f"{size // MIB} MiB, median of {rounds}; Glance on uWSGI, sqlite and files on {tempfile.gettempdir()}"
    )
    print(f"  with Content-Length, straight to uWSGI   {describe(size, straight)}")
    print(f"  chunked by curl, through the shim        {describe(size, through)}")
    cpu = (after.cpu_seconds - before.cpu_seconds) / rounds
    print(f"  the shim: {cpu:.2f} CPU seconds an upload, {after.peak_bytes / MIB:.0f} MiB peak memory")


def write_random(file: Path, size: int) -> None:
    """Fill a file with bytes that no disk compresses."""
    with file.open("wb") as output:
        for _ in range(0, size, MIB):
            output.write(os.urandom(MIB))


def upload(curl: list[str], url: str, plain: str, file: Path) -> float:
    """Make an image, send its data with curl, and delete it again; the seconds that the sending took.

    Raises:
        DemoError: Glance did not take it whole.
    """
    image = str(uuid.uuid4())
    body = f'{{"id": "{image}", "name": "bench", "disk_format": "raw", "container_format": "bare"}}'
    ask("POST", f"{plain}/v2/images", body.encode())
    began = time.monotonic()
    send(curl, f"{url}/v2/images/{image}/file", file)
    seconds = time.monotonic() - began
    state = look_up(plain, image)
    if state.status != "active" or state.size != file.stat().st_size:
        raise DemoError(f"the image is {state.status}, {state.size} bytes")
    ask("DELETE", f"{plain}/v2/images/{image}")
    return seconds


def send(curl: list[str], url: str, file: Path) -> None:
    """Run curl to its end; ``-T -`` reads a pipe, and sends chunks of 64 KiB."""
    program, *how = curl
    fixed = [
        "-q",
        "-sS",
        "--fail-with-body",
        "--noproxy",
        "*",
        "-H",
        "Content-Type: application/octet-stream",
    ]
    command = [program, *fixed, *how, url]
    if "-" in how:
        # The shell gives curl a standard input: those of our processes are empty.
        command = ["/bin/sh", "-c", 'file=$1; shift; exec "$@" <"$file"', "sh", str(file), *command]
    log = file.with_suffix(".log")
    process = Process.start(command, log=log, variables=own_variables())
    if process.finish(_UPLOAD_LIMIT):
        raise DemoError(f"curl failed: {process.tail()}")


def ask(method: str, url: str, body: bytes | None = None) -> None:
    """A small request to Glance itself."""
    headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - our own http URL
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(request, timeout=60).close()


def usage_of(shim: Shim) -> Usage:
    """Read /proc for all processes of the shim's session (proc(5): fields 6, 14 and 15 of stat)."""
    ticks, peak = 0, 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if int(fields[3]) == shim.pid:
            ticks += int(fields[11]) + int(fields[12])
            peak += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), peak)


def describe(size: int, seconds: list[float]) -> str:
    """Rate and time of the median upload."""
    median = statistics.median(seconds)
    return f"{size / MIB / median:6.1f} MiB/s  {median:5.2f} s"


if __name__ == "__main__":
    sys.exit(main())
