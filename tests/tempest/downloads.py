"""Image files on a web server of our own: what tempest lets Glance download, and name as a location.

Glance looks at the content, so what is called qcow2 has to be one.
"""

import contextlib
import functools
import http.server
import random
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

RAW, QCOW2 = "image.raw", "image.qcow2"
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS


@contextlib.contextmanager
def serve_downloads(directory: Path) -> Iterator[str]:
    """Serve both files out of ``directory``; gives the URL above them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RAW).write_bytes(random.Random(47).randbytes(2 << 20))
    (directory / QCOW2).write_bytes(make_qcow2(1 << 20))
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    # With 1.0 the end of a connection would be the only end of an answer.
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


def make_qcow2(size: int) -> bytes:
    """An empty qcow2 image of ``size`` bytes (qemu, docs/interop/qcow2.rst): header, refcounts, L1 table."""
    l1_table, refcount_table, refcount_block = _CLUSTER, 2 * _CLUSTER, 3 * _CLUSTER
    backing_offset = backing_size = encryption = snapshots = snapshots_offset = 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        3,
        backing_offset,
        backing_size,
        _CLUSTER_BITS,
        size,
        encryption,
        1,  # entries in the L1 table: one reaches 512 MiB
        l1_table,
        refcount_table,
        1,  # clusters of the refcount table
        snapshots,
        snapshots_offset,
    )
    # Features (incompatible, compatible, autoclear), refcounts of 16 bits, and the header's own length.
    header += struct.pack(">QQQII", 0, 0, 0, 4, 104)
    clusters = [header, b"", struct.pack(">Q", refcount_block), struct.pack(">4H", 1, 1, 1, 1)]
    return b"".join(cluster.ljust(_CLUSTER, b"\0") for cluster in clusters)
