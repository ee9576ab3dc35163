"""``python -m tests.matrix [HOSTING ...]``: measure, print as it goes, and write the two documents.

With hostings named only these are measured, and nothing is written. Exit status 1 where anything through
the shim is not ok.
"""

import contextlib
import datetime as dt
import functools
import http.server
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from shim.demo.environment import ensure_environment
from tests.fronts.authority import Authority
from tests.hosting.apache import public_directory
from tests.hosting.site import make_site
from tests.integration import programs
from tests.integration.images import Images, Source
from tests.integration.programs import Programs
from tests.matrix import report
from tests.matrix.clients import CLIENTS, LIMIT, PATIENCE, Bench, try_client
from tests.matrix.places import SHIM_WAYS, Grounds
from tests.matrix.tables import Matrix
from tests.matrix.verdict import HANGS, OK
from tests.matrix.versions import versions

SIZE = 16 * 1024 * 1024
"""Bytes of an image: several of the glance command's chunks, and more than sockets hold."""


SETTLE = 1.0
"""Seconds of rest after a failure."""


def main(only: frozenset[str]) -> int:
    """Measure; the exit status."""
    began = time.monotonic()
    environment = ensure_environment()
    lacking: list[str] = []
    settings = {"import_filtering_opts": {"allowed_ports": "[]"}}
    with make_site(environment, settings) as site, public_directory("matrix") as folder:
        authority = Authority.make(folder / "authority")
        # Python's clients and curl are to trust the fronts; everything else is plain HTTP.
        os.environ.update(authority.variables())
        straight = site.glance.serve("uwsgi-http-socket").url
        images = Images(straight, site.glance.directory / "images")
        with serve_image() as source, tempfile.TemporaryDirectory(prefix="glance-shim-home-") as home:
            bench = Bench(images, Programs(environment, Path(home)), source, str(authority.certificate))
            matrix = measure(Grounds(site, folder, authority, lacking), bench, only)
    for lack in lacking:
        say(f"not measured: {lack}")
    if not only:
        report.write(matrix, report.Circumstances(dt.date.today(), versions(environment), SIZE, lacking))  # noqa: DTZ011 - the day where it was run
    say(f"{time.monotonic() - began:.0f} s")
    return tell_failures(matrix.failures(SHIM_WAYS))


def measure(grounds: Grounds, bench: Bench, only: frozenset[str]) -> Matrix:
    """Every client at every place, one after the other: Glance's database is sqlite."""
    matrix = Matrix()
    for place in grounds.places(only):
        say(f"{place.hosting}, {place.way}")
        programs.LIMIT = PATIENCE if place.way in SHIM_WAYS else LIMIT
        for client in CLIENTS:
            began = time.monotonic()
            verdict = try_client(client, bench, place.url)
            matrix.put(place.way, place.hosting, client, verdict)
            if verdict == HANGS:
                place.restart()
            elif verdict != OK:
                # What a failed client left behind (an import, a connection) is not the next one's affair.
                time.sleep(SETTLE)
            say(f"    {client:<26}{verdict:<14}{time.monotonic() - began:5.1f} s")
        bench.empty_store()
    return matrix


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tell_failures(failures: list[str]) -> int:
    """The exit status, with the reasons said."""
    for failure in failures:
        say(f"FAILED: {failure}")
    return 1 if failures else 0


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and does not talk about it."""

    def log_message(self, *_: object) -> None:
        """Nothing: the table is what is to be read."""


@contextlib.contextmanager
def serve_image() -> Iterator[Source]:
    """The image, as a file and on a web server."""
    directory = Path(tempfile.mkdtemp(prefix="glance-shim-web-"))
    file = directory / "image.raw"
    file.write_bytes(random.Random(16).randbytes(SIZE))
    handler = functools.partial(QuietHandler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Source(file, f"http://127.0.0.1:{server.server_port}/{file.name}")
        finally:
            server.shutdown()
            thread.join()
            shutil.rmtree(directory)


if __name__ == "__main__":
    # SIGTERM, as Ctrl-C, ends what was started and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(frozenset(sys.argv[1:])))
