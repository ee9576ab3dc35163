"""The server behind the shim is reloaded, stopped and killed, between uploads and in the middle of them.

No client gets an error that could be avoided; where a killed worker left the image in ``saving``, the answer
says so, and what to do.
"""

import hashlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.hosting.hosting import Hosting
from tests.hosting.kinds import KINDS, Hostings
from tests.hosting.uwsgi import Uwsgi
from tests.integration.images import Images
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.client import LAST, Answer, Client, chunk, get, head
from tests.support.shim import Shim
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
PIECE = chunk(bytes(MIB))
SMALL = 4
LARGE = 64
"""MiB: Glance takes a second for them, in which a signal meets the upload."""

SETTLE = 120.0
"""Seconds that a reload, or an answer, may take on a busy machine."""


one_of_each_program = pytest.mark.parametrize(
    "running_chain", ["uwsgi-unix", "gunicorn", "mod-wsgi-daemon"], indirect=True
)


@dataclass
class Chain:
    """A hosting, and a shim before it."""

    hosting: Hosting
    shim: Shim
    images: Images

    @contextmanager
    def begun(self, image: str, *, first: int) -> Iterator[Client]:
        """An upload of which ``first`` MiB have been sent."""
        with Client(("127.0.0.1", self.shim.port), patience=SETTLE) as client:
            fields = ("Transfer-Encoding: chunked", f"X-Auth-Token: {TOKEN}")
            octets = "Content-Type: application/octet-stream"
            client.send(head("PUT", f"/v2/images/{image}/file", *fields, octets), *[PIECE] * first)
            yield client

    def upload(self, image: str, size: int = SMALL) -> Answer:
        """A whole one, of ``size`` MiB."""
        with self.begun(image, first=size) as client:
            client.send(LAST)
            return client.answer("PUT")

    def ask(self, target: str) -> Answer:
        """A request without a body."""
        with Client(("127.0.0.1", self.shim.port), patience=SETTLE) as client:
            client.send(get(target, f"X-Auth-Token: {TOKEN}"))
            return client.answer()

    def await_phase(self, phase: str) -> None:
        """Until an upload is in this phase."""
        eventually(lambda: self.shim.metric("uploads", phase=phase), f"an upload is {phase}", SETTLE)

    def await_new_workers(self, old: list[int]) -> None:
        """Until a reload is over."""
        eventually(
            lambda: self.hosting.is_ready(self.hosting.url) and not set(old) & set(self.hosting.workers()),
            f"{self.hosting.name} has new workers",
            SETTLE,
        )

    def assert_whole(self, image: str, size: int = SMALL) -> None:
        self.images.assert_whole(image, zeros(size), f"http://127.0.0.1:{self.shim.port}")


def zeros(size: int) -> str:
    """The hash of so many MiB."""
    return hashlib.sha512(bytes(size * MIB)).hexdigest()


# These differ from others by a socket, a protocol, or a directive, that no restart meets.
OTHERS = {"uwsgi-tcp", "uwsgi-http-socket", "mod-wsgi-daemon-chunked"}


@pytest.fixture(scope="module", params=[kind for kind in KINDS if kind not in OTHERS])
def running_chain(request, hostings: Hostings, images: Images, tmp_path_factory) -> Iterator[Chain]:
    hosting = hostings.hosting(request.param)
    # A server needs seconds to load Glance, and on a busy machine more than the default allows for.
    with run_shim(tmp_path_factory.mktemp("shim"), hosting.url, timeouts__connect_retry="2min") as shim:
        yield Chain(hosting, shim, images)


@pytest.fixture
def chain(running_chain: Chain) -> Iterator[Chain]:
    start = running_chain.shim.log_size()
    yield running_chain
    running_chain.shim.await_rest()
    assert not running_chain.shim.complaints(start), running_chain.shim.log_text(start)[-4000:]


# -- reloads --------------------------------------------------------------------------------------------


@one_of_each_program
def test_reload_between_uploads(chain: Chain):
    old, image = chain.hosting.workers(), chain.images.create()
    chain.hosting.reload()
    assert chain.upload(image).status == 204
    assert chain.ask(f"/v2/images/{image}").status == 200
    chain.assert_whole(image)
    chain.await_new_workers(old)


@one_of_each_program
def test_reload_while_the_client_sends(chain: Chain):
    old, image = chain.hosting.workers(), chain.images.create()
    with chain.begun(image, first=1) as client:
        chain.await_phase("receiving")
        chain.hosting.reload()
        client.send(*[PIECE] * (SMALL - 1), LAST)
        assert client.answer("PUT").status == 204
    chain.assert_whole(image)
    chain.await_new_workers(old)


def test_reload_while_glance_takes_the_data(chain: Chain):
    old, image = chain.hosting.workers(), chain.images.create()
    with chain.begun(image, first=LARGE) as client:
        client.send(LAST)
        chain.await_phase("forwarding")
        chain.hosting.reload()
        answer = client.answer("PUT")
    assert answer.status == 204, answer
    chain.assert_whole(image, LARGE)
    chain.await_new_workers(old)


@pytest.mark.parametrize("running_chain", ["uwsgi-unix"], indirect=True)
def test_upload_while_uwsgi_reloads_in_turn(chain: Chain):
    old, image = chain.hosting.workers(), chain.images.create()
    with chain.begun(image, first=LARGE) as client:
        client.send(LAST)
        chain.await_phase("forwarding")
        assert isinstance(chain.hosting, Uwsgi)
        chain.hosting.reload_in_turn()
        answer = client.answer("PUT")
    assert answer.status == 204, answer
    chain.assert_whole(image, LARGE)
    chain.await_new_workers(old)


# -- stopped and started --------------------------------------------------------------------------------


@one_of_each_program
def test_stopped_while_the_client_sends_and_started_later(chain: Chain):
    """The look has seen it running; the body is spooled while nobody listens."""
    image = chain.images.create()
    with chain.begun(image, first=1) as client:
        chain.await_phase("receiving")
        chain.hosting.stop()
        client.send(*[PIECE] * (SMALL - 1), LAST)
        eventually(lambda: chain.shim.metric("spool_bytes") >= SMALL * MIB, "the body is here", SETTLE)
        chain.hosting.start()
        assert client.answer("PUT").status == 204
    chain.assert_whole(image)


@one_of_each_program
def test_requests_begun_while_it_is_down(chain: Chain):
    image = chain.images.create()
    chain.hosting.stop()
    with ThreadPoolExecutor(2) as threads:
        upload, question = threads.submit(chain.upload, image), threads.submit(chain.ask, "/v2/images")
        # It takes seconds to load Glance: both have come long before it answers.
        chain.hosting.start()
        assert (upload.result().status, question.result().status) == (204, 200)
    chain.assert_whole(image)


# -- killed ---------------------------------------------------------------------------------------------


def assert_stuck(chain: Chain, image: str, answer: Answer) -> None:
    """The answer says what happened to the image and what helps, and that does help."""
    assert answer.status == 502, answer
    assert answer.problem["code"] == "upstream_closed"
    assert "stuck in 'saving'" in answer.problem["detail"]
    assert "deleted and created again" in answer.problem["detail"]
    assert chain.images.state(image).status == "saving"
    deleted = httpx.delete(
        f"http://127.0.0.1:{chain.shim.port}/v2/images/{image}",
        headers={"X-Auth-Token": TOKEN},
        trust_env=False,
        timeout=SETTLE,
    )
    assert deleted.status_code == 204, deleted.text
    assert chain.upload(chain.images.create()).status == 204


def test_worker_killed_while_glance_takes_the_data(chain: Chain):
    image, old = chain.images.create(), chain.hosting.workers()
    with chain.begun(image, first=LARGE) as client:
        client.send(LAST)
        eventually(lambda: chain.images.state(image).status == "saving", "Glance saves the data", SETTLE)
        for worker in old:
            os.kill(worker, signal.SIGKILL)
        answer = client.answer("PUT")
    assert_stuck(chain, image, answer)
    chain.await_new_workers(old)


# -- what the documentation warns of --------------------------------------------------------------------


def test_apache_graceful_kills_the_processes_of_mod_wsgi(hostings: Hostings, images: Images):
    """No setting of mod_wsgi gives them more than five seconds: docs/hosting.md says what to send instead."""
    hosting, image = hostings.hosting("mod-wsgi-daemon"), images.create()
    old = hosting.workers()
    fields = (
        f"Content-Length: {2 * MIB}",
        f"X-Auth-Token: {TOKEN}",
        "Content-Type: application/octet-stream",
    )
    with Client(("127.0.0.1", int(hosting.url.rpartition(":")[2])), patience=SETTLE) as client:
        client.send(head("PUT", f"/v2/images/{image}/file", *fields), bytes(MIB))
        eventually(lambda: images.state(image).status == "saving", "Glance saves the data", SETTLE)
        os.kill(hosting.pid, signal.SIGUSR1)
        eventually(lambda: not set(old) & set(hosting.workers()), "the processes are others", SETTLE)
        client.offer(bytes(MIB))
        assert client.answer("PUT").status == 500
    assert images.state(image).status == "saving"
