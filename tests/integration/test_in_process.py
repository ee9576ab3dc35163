"""Glance in the shim's own process, installed as an operator would; and how the process begins and ends.

What became of an image is asked of the same Glance under uWSGI, so no verdict rests on the shim.
"""

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shim.demo.client import download_hash
from shim.demo.environment import Environment
from tests.hosting.site import Site
from tests.integration.images import UPLOADERS, Images, Source
from tests.integration.in_process import ensure_python, run_inside
from tests.integration.programs import TOKEN, Programs
from tests.support.client import Answer, Client, chunked, get, put_chunked
from tests.support.shim import ROOT, Shim
from tests.support.wire import eventually

MIB = 1 << 20
OCTETS = "Content-Type: application/octet-stream"
servers = pytest.mark.servers


@functools.cache
def body() -> bytes:
    """Made when it is asked for: every process that runs tests reads this module."""
    return random.Random(34).randbytes(64 * MIB)


@pytest.fixture(scope="module")
def python(environment: Environment) -> Path:
    return ensure_python(environment)


@pytest.fixture(scope="module")
def running(python: Path, site: Site, tmp_path_factory) -> Iterator[Shim]:
    with run_inside(tmp_path_factory.mktemp("shim"), python, site.glance) as shim:
        yield shim


@pytest.fixture
def shim(running: Shim) -> Iterator[Shim]:
    """With Glance inside; at rest after each test. Glance's own log goes the same way: it is not judged."""
    yield running
    running.await_rest()


@pytest.fixture(scope="module")
def source(web: tuple[Path, str]) -> Source:
    directory, url = web
    file = directory / "inside.raw"
    file.write_bytes(body())
    return Source(file, f"{url}/{file.name}")


def url_of(shim: Shim) -> str:
    return f"http://127.0.0.1:{shim.port}"


def ask(shim: Shim, *pieces: bytes) -> Answer:
    with Client(("127.0.0.1", shim.port), patience=60) as client:
        client.offer(*pieces)
        return client.answer(pieces[0].split(b" ", 1)[0].decode())


def upload(image: str, data: bytes, *, token: str = TOKEN) -> bytes:
    target = f"/v2/images/{image}/file"
    return put_chunked(target, chunked(data, MIB), f"X-Auth-Token: {token}", OCTETS)


# -- Glance inside ----------------------------------------------------------------------------------------


@servers
@pytest.mark.parametrize("uploader", ["glance, pipe", "curl -T -, pipe", "curl -T, file"])
def test_image_is_active_and_whole(shim: Shim, images: Images, programs: Programs, source: Source, uploader):
    image = UPLOADERS[uploader](programs, images, url_of(shim), source)
    images.assert_whole(image, source.sha512, url_of(shim))


@servers
@pytest.mark.parametrize(
    ("token", "unknown", "status"), [("bad", False, 401), (TOKEN, True, 404), (TOKEN, False, 409)]
)
def test_refusals_are_glances_own(shim: Shim, images: Images, token, unknown, status):
    data = body()[: 8 * MIB]
    image = "00000000-0000-0000-0000-000000000000" if unknown else images.create()
    if status == 409:
        assert ask(shim, upload(image, data)).status == 204
    assert ask(shim, upload(image, data[::-1], token=token)).status == status
    if status == 409:
        images.assert_whole(image, hashlib.sha512(data).hexdigest(), url_of(shim))
    elif not unknown:
        images.assert_untouched(image)


@servers
def test_downloads_beside_an_upload(shim: Shim, images: Images, programs: Programs, source: Source):
    image = images.create()
    assert ask(shim, upload(image, body())).status == 204
    with ThreadPoolExecutor(5) as pool:
        uploading = pool.submit(UPLOADERS["curl -T -, pipe"], programs, images, url_of(shim), source)
        downloads = [pool.submit(download_hash, url_of(shim), image) for _ in range(4)]
        assert {download.result() for download in downloads} == {source.sha512}
    images.assert_whole(uploading.result(), source.sha512, url_of(shim))


@servers
def test_client_that_leaves_while_glance_reads_leaves_the_image_queued(shim: Shim, images: Images):
    """Reading fails from then on, as it would at a socket: no thread goes on hashing for nobody."""
    image = images.create()
    data = body() * 4
    with Client(("127.0.0.1", shim.port)) as client:
        client.send(upload(image, data))
        eventually(lambda: images.state(image).status == "saving", "Glance has begun to read")
        client.reset()
    shim.await_rest()
    images.assert_untouched(image)
    assert ask(shim, upload(image, body())).status == 204
    images.assert_whole(image, hashlib.sha512(body()).hexdigest(), url_of(shim))


@servers
def test_log_lines_stay_in_their_form_and_come_once(shim: Shim):
    """oslo.log takes the root logger for its own, and removes what it finds there."""
    start = shim.log_size()
    identity = "req-00000000-0000-4000-8000-000000000034"
    asked = get("/v2/images/none", f"X-Auth-Token: {TOKEN}", f"X-Openstack-Request-Id: {identity}")
    assert ask(shim, asked).status == 404
    eventually(lambda: identity in shim.log_text(start), "the request is logged")
    told = [line for line in shim.log_lines(start) if line.get("request_id") == identity]
    assert [(line["logger"], line["status"]) for line in told] == [("shim.access", 404)]
    # What is Glance's comes in Glance's form, and none of it is ours.
    foreign = [line for line in shim.log_text().splitlines() if not line.startswith("{")]
    assert any("glance." in line for line in foreign)
    assert not any("shim.access" in line or "shim.server" in line for line in foreign)


@servers
def test_glance_that_finds_no_configuration(python: Path, tmp_path: Path):
    target = "wsgi:glance.wsgi.api:application"
    ended = serve(target, tmp_path, python=python, OS_GLANCE_CONFIG_DIR=str(tmp_path))
    assert ended.returncode == 1
    assert f"glance-shim: {target}: cannot be imported: " in ended.stderr
    assert "in init_app" in ended.stderr


@servers
def test_sigterm_ends_with_glance_inside(python: Path, site: Site, tmp_path: Path):
    shim = run_inside(tmp_path, python, site.glance)
    shim.start()
    assert ask(shim, get("/v2/images", f"X-Auth-Token: {TOKEN}")).status == 200
    shim.stop()
    assert "Waiting for remaining threads" in shim.log_text()


# -- small applications: beginning and end ----------------------------------------------------------------

HANGING = """
import threading
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
"""
THREADS = 8


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Shim]:
    """A shim whose application has a path that never answers."""
    (tmp_path / "hanging.py").write_text(HANGING)
    environment = {"PYTHONPATH": str(tmp_path)}
    settings = {"upstream": "wsgi:hanging:application", "timeouts.response": "1s", "timeouts.queue": "1s"}
    with Shim(tmp_path, settings, environment=environment) as shim:
        yield shim


def hang(shim: Shim, client: Client) -> None:
    before = shim.metric("upstream_inflight")
    client.send(get("/hang"))
    eventually(lambda: shim.metric("upstream_inflight") == before + 1, "the application hangs")


@pytest.mark.more
def test_sigterm_ends_a_process_whose_application_hangs(hanging: Shim):
    with Client(("127.0.0.1", hanging.port)) as given_up, Client(("127.0.0.1", hanging.port)) as waiting:
        hang(hanging, given_up)
        given_up.reset()
        hang(hanging, waiting)
        hanging.stop()
    assert not hanging.complaints()


@pytest.mark.more
def test_threads_that_all_hang(hanging: Shim):
    """Who waits is told so, and everything that needs no thread goes on."""
    clients = [Client(("127.0.0.1", hanging.port)) for _ in range(THREADS)]
    for client in clients:
        hang(hanging, client)
    answer = ask(hanging, get("/fine", "Accept: application/json"))
    assert (answer.status, answer.problem["code"]) == (503, "queue_timeout")
    assert int(answer.header("Retry-After")) >= 1
    assert hanging.admin("/healthz").status == 200
    assert hanging.admin("/readyz").status == 200
    for client in clients:
        assert client.answer().status == 504
        client.close()
    assert hanging.metric("upstream_inflight") == THREADS == hanging.metric("upstream_slots")


def serve(upstream: str, folder: Path, *, python: Path | str = sys.executable, **variables: str):
    """A shim that is not expected to begin."""
    settings = ("--set", f"spool.directory={folder}", "--set", "admin.listen=[]")
    return subprocess.run(
        [python, "-m", "shim", "serve", "--upstream", upstream, "--listen", f"unix:{folder}/s", *settings],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.more
def test_application_that_is_not_there(tmp_path: Path):
    ended = serve("wsgi:no_such_module:application", tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "glance-shim: wsgi:no_such_module:application: cannot be imported: ModuleNotFoundError: No module "
        f"named 'no_such_module'; install it where {sys.executable} finds it, or name its directory in "
        "PYTHONPATH\n"
    )


@pytest.mark.more
def test_application_that_fails_on_import(tmp_path: Path):
    (tmp_path / "failing.py").write_text("def begin():\n    raise RuntimeError('no database')\nbegin()\n")
    ended = serve("wsgi:failing:application", tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    first, *trace = ended.stderr.splitlines()
    assert first == "glance-shim: wsgi:failing:application: cannot be imported: RuntimeError: no database"
    assert trace[-1].strip() == "raise RuntimeError('no database')"
    assert not (tmp_path / "s").exists(), "it listened before the application was there"


LOUD = """
import json, logging, logging.config, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.config.dictConfig({
    "version": 1,
    "formatters": {"own": {"format": "OWN %(name)s %(message)s"}},
    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
    "root": {"handlers": ["own"], "level": "ERROR"},
})
sys.excepthook = None
def application(environ, start_response):
    logging.getLogger("loud").error("told")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
"""


@pytest.mark.more
def test_application_that_takes_logging_and_signals_for_its_own(tmp_path: Path):
    (tmp_path / "loud.py").write_text(LOUD)
    settings = {"upstream": "wsgi:loud:application"}
    with Shim(tmp_path, settings, environment={"PYTHONPATH": str(tmp_path)}) as shim:
        assert ask(shim, get("/")).body == b"fine"
        eventually(lambda: "GET / 200" in shim.log_text(), "the request is logged")
        shim.signal(signal.SIGINT)
        assert shim.wait() == 0
    lines = shim.log_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == ["OWN loud told"]
    told = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    assert [line.split(" on ")[0] for line in told] == [
        "Listening",
        "GET / 200",
        "Draining: not ready any more, requests under way may end",
        "Ended",
    ]
