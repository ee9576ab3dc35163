"""What the person at the glance command gets to read where the shim refuses, or what is behind it fails.

The command is the real one: it knows few statuses and breaks on most JSON, so what counts is what it prints.
"""

import contextlib
import os
import random
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import Server
from tests.integration.images import Images
from tests.integration.programs import Programs, Ran
from tests.integration.results import Results
from tests.integration.running import run_shim, serve_echo
from tests.support.client import Client, chunk, head
from tests.support.shim import Shim, free_port
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
SIZE = 16 * MIB

AssertRefused = Callable[..., None]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("data") / "image.raw"
    file.write_bytes(random.Random(44).randbytes(SIZE))
    return file


@pytest.fixture(params=["file", "pipe"])
def source(request, file: Path) -> dict[str, Any]:
    """What the glance command gets its data from: arguments, and what comes by the pipe."""
    if request.param == "file":
        return {"arguments": ("--file", str(file)), "data": None}
    return {"arguments": (), "data": file.read_bytes()}


@pytest.fixture
def assert_refused(programs: Programs, source: dict[str, Any], results: Results) -> AssertRefused:
    """The command fails, and shows status, code and reason, and nothing of its own confusion."""

    def check(shim: Shim, image: str, status: int, code: str, *reasons: str) -> None:
        ran = glance_upload(programs, shim, image, source)
        results.tell(f"glance image-upload, {status}", ran.output.strip())
        assert ran.status == 1, ran.output
        for expected in (f"{status} {code}: ", *reasons):
            assert expected in ran.output
        for confusion in ("Traceback", "AttributeError", "has no attribute"):
            assert confusion not in ran.output

    return check


def glance_upload(programs: Programs, shim: Shim, image: str, source: dict[str, Any], **options: Any) -> Ran:
    url = f"http://127.0.0.1:{shim.port}"
    return programs.glance(url, "image-upload", *source["arguments"], image, data=source["data"], **options)


by_pipe = pytest.mark.parametrize("source", ["pipe"], indirect=True)


@pytest.mark.parametrize(("settings", "status", "code", "reason"), [
    pytest.param({"spool__max_body": "1MiB"}, 413, "body_too_large", "1048576", id="max_body"),
    pytest.param({"spool__max_total": "1MiB"}, 413, "body_too_large", "1048576", id="could never fit"),
    pytest.param({"spool__min_free": "99%"}, 507, "disk_full", "reserve", id="min_free"),
])  # fmt: skip
def test_upload_that_does_not_fit(
    *, hostings, images: Images, assert_refused: AssertRefused, tmp_path, settings, status, code, reason
):
    image = images.create()
    ready = 503 if code == "disk_full" else 200
    with run_shim(tmp_path, hostings["uwsgi-unix"], ready=ready, **settings) as shim:
        assert_refused(shim, image, status, code, reason)
        shim.await_rest()
    images.assert_untouched(image)


@by_pipe
def test_upload_beside_another_that_fills_the_spool(
    hostings, images: Images, assert_refused: AssertRefused, tmp_path
):
    image, other = images.create(), images.create()
    with (
        run_shim(tmp_path, hostings["uwsgi-unix"], spool__max_total="24MiB") as shim,
        Client(("127.0.0.1", shim.port)) as client,
    ):
        client.send(head("PUT", f"/v2/images/{other}/file", "Transfer-Encoding: chunked"))
        client.send(*[chunk(bytes(MIB))] * 12)
        eventually(lambda: shim.metric("spool_bytes") >= 12 * MIB, "the other upload holds its space")
        assert_refused(shim, image, 503, "spool_full", "other uploads")
    images.assert_untouched(image)
    images.assert_untouched(other)


@by_pipe
def test_no_server_behind(images: Images, assert_refused: AssertRefused, tmp_path):
    image = images.create()
    nobody = f"http://127.0.0.1:{free_port()}"
    with run_shim(tmp_path, nobody, ready=503, timeouts__connect_retry="0s") as shim:
        assert_refused(shim, image, 502, "upstream_refused", "refused.")
    images.assert_untouched(image)


@by_pipe
def test_server_that_does_not_answer(environment: Environment, assert_refused: AssertRefused, tmp_path):
    """Which application its workers would serve makes no difference: they are stopped."""
    with (
        serve_echo(environment, tmp_path, "uwsgi-unix") as server,
        run_shim(tmp_path, server.url, timeouts__response="500ms") as shim,
        stopped(server),
    ):
        assert_refused(shim, str(uuid.uuid4()), 504, "response_timeout", "0.5 s")


def test_bad_token_looks_as_it_does_without_the_shim(
    *, hostings, straight: str, images: Images, programs: Programs, source, tmp_path
):
    image = images.create()
    own = programs.glance(straight, "image-show", image, token="bad")
    with run_shim(tmp_path, hostings["uwsgi-unix"]) as shim:
        ran = glance_upload(programs, shim, image, source, token="bad")
    assert (ran.status, ran.output) == (own.status, own.output) != (0, "")
    images.assert_untouched(image)


def test_openstacksdk_shows_the_reason(hostings, programs: Programs, file, results: Results, tmp_path):
    """It reads no problem+json, so that of the answer it shows the status line alone."""
    with run_shim(tmp_path, hostings["uwsgi-unix"], spool__max_body="1MiB") as shim:
        ran = programs.sdk(f"http://127.0.0.1:{shim.port}", "too-large", str(file))
    last = ran.output.strip().splitlines()[-1]
    results.tell("openstacksdk create_image, 413", last)
    assert ran.status == 1, ran.output
    assert "413" in last
    assert "body_too_large" in last


@contextlib.contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Hold a server's workers: their socket takes connections, and nobody answers."""
    workers = server.workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
