"""Real Glance behind the shim behind nginx, HAProxy and Apache as shipped, and every client through them.

Glance is on sqlite, so uploads go to it one at a time.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shim.demo.environment import Environment
from shim.demo.glance import Glance
from tests.fronts.authority import Authority
from tests.fronts.fronts import FRONTS
from tests.fronts.ways import WAYS, Way, open_way
from tests.hosting.apache import public_directory
from tests.hosting.kinds import Hostings
from tests.integration.images import UPLOADERS, Images, Source
from tests.integration.programs import TOKEN, Programs
from tests.integration.results import Results
from tests.support.client import chunk, head, put
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
DATA = random.Random(55).randbytes(16 * MIB)
LARGE = 64 * MIB
LIMIT = "40MiB"
"""Of one body: more than the images, less than the large one."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with public_directory("fronts") as folder:
        yield folder


@pytest.fixture(scope="module")
def authority(folder: Path) -> Iterator[Authority]:
    """Which all clients that tests start are told of."""
    authority = Authority.make(folder / "authority")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in authority.variables().items():
            patch.setenv(name, value)
        yield authority


@pytest.fixture(scope="module", params=WAYS)
def running_way(request, folder: Path, authority: Authority, hostings: Hostings) -> Iterator[Way]:
    settings = {"spool.max_body": LIMIT}
    upstream = hostings["uwsgi-unix"]
    with open_way(request.param, folder / request.param, authority, upstream, settings=settings) as way:
        yield way


@pytest.fixture
def way(running_way: Way) -> Iterator[Way]:
    """At rest after each test, without complaints."""
    start = running_way.shim.log_size()
    yield running_way
    running_way.shim.await_rest()
    assert not running_way.shim.complaints(start), running_way.shim.log_text(start)[-4000:]


@pytest.fixture(scope="module")
def source(web: tuple[Path, str]) -> Source:
    directory, url = web
    file = directory / "behind-fronts.raw"
    file.write_bytes(DATA)
    return Source(file, f"{url}/{file.name}")


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("large")
    (directory / "large.raw").write_bytes(bytes(LARGE))
    yield directory / "large.raw"
    shutil.rmtree(directory)


def ask(way: Way, method: str, path: str, **options: object) -> httpx.Response:
    """One request by a well-behaved client."""
    with httpx.Client(verify=way.context or False, trust_env=False, timeout=60.0) as client:
        return client.request(method, f"{way.url}{path}", headers={"X-Auth-Token": TOKEN}, **options)


# -- uploads ----------------------------------------------------------------------------------------------


# What happens without a front is shown in test_glance.py and test_glance_refusals.py.
behind_fronts = pytest.mark.parametrize("running_way", FRONTS, indirect=True)

# An import is an upload by the same client, or none.
CLIENTS = [name for name in UPLOADERS if name not in ("glance, stage + import", "glance, web-download")]
# To a front a client is what it sends: with a length and without, and how it asks whether it may.
UNLIKE = ("glance, pipe", "curl -T -, pipe", "curl -T, file")
PAIRS = [(front, client) for front in FRONTS for client in CLIENTS if client in UNLIKE or front == "nginx"]


@pytest.mark.parametrize(("running_way", "uploader"), PAIRS, indirect=["running_way"])
def test_image_is_active_and_whole(
    *, uploader: str, way: Way, images: Images, programs: Programs, results: Results, source: Source
):
    cell = (uploader, f"behind {way.name}")
    results.put(*cell, "FAILED")
    image = UPLOADERS[uploader](programs, images, way.url, source)
    images.assert_whole(image, source.sha512, images.url)
    downloaded = ask(way, "GET", f"/v2/images/{image}/file")
    assert hashlib.sha512(downloaded.content).hexdigest() == source.sha512
    results.put(*cell, "active, equal")


@behind_fronts
def test_cut_upload_leaves_the_image_queued(way: Way, images: Images):
    image = images.create()
    fields = (f"X-Auth-Token: {TOKEN}", "Content-Type: application/octet-stream")
    path = f"{way.mount}/v2/images/{image}/file"
    chunked = head("PUT", path, "Transfer-Encoding: chunked", *fields) + chunk(DATA[:MIB])
    for begun in (chunked, put(path, DATA[:MIB], *fields)[:-1]):
        with way.connect() as client:
            client.send(begun)
            eventually(lambda: way.shim.metric("uploads") == 1, "the shim has begun to receive")
        way.shim.await_rest()
        images.assert_untouched(image)


# -- refusals, while the client sends 64 MiB --------------------------------------------------------------


@behind_fronts
@pytest.mark.parametrize("source_of", ["file", "pipe"])
def test_too_large_an_image_is_refused_in_words(way: Way, images: Images, programs, large, source_of):
    image = images.create()
    given = ("--file", str(large)) if source_of == "file" else ()
    data = None if given else large.read_bytes()
    ran = programs.glance(way.url, "image-upload", *given, image, data=data)
    assert ran.status == 1, ran.output
    assert "413 body_too_large" in ran.output, ran.output
    images.assert_untouched(image)


@behind_fronts
def test_too_large_an_image_is_refused_in_words_to_curl(way: Way, images: Images, programs, large):
    image = images.create()
    target = f"{way.url}/v2/images/{image}/file"
    # Without Expect: the body is under way when the refusal comes.
    ran = programs.curl("--upload-file", "-", "--header", "Expect:", target, data=large.read_bytes())
    assert ran.status == 22, ran.output
    assert "413 body_too_large" in ran.output, ran.output
    images.assert_untouched(image)


@behind_fronts
def test_bad_token_looks_as_it_does_straight(way: Way, images: Images, programs, source):
    image = images.create()
    own = programs.glance(images.url, "image-show", image, token="bad")
    ran = programs.glance(way.url, "image-upload", "--file", str(source.file), image, token="bad")
    assert (ran.status, ran.output) == (own.status, own.output) != (0, "")
    images.assert_untouched(image)


# -- links ------------------------------------------------------------------------------------------------


def test_links_lead_back_to_the_front(way: Way):
    assert_links(way)


def assert_links(way: Way) -> None:
    """What Glance makes absolute names scheme, host, port and path of the front."""
    versions = json.loads(ask(way, "GET", "/").text)["versions"]
    links = {link["href"] for version in versions for link in version["links"]}
    assert links == {f"{way.url}/v2/"}
    fields = {"name": "links", "disk_format": "raw", "container_format": "bare"}
    created = ask(way, "POST", "/v2/images", json=fields)
    assert created.headers["Location"] == f"{way.url}/v2/images/{created.json()['id']}"


@pytest.fixture(scope="module")
def parsing_glance(environment: Environment, tmp_path_factory) -> Iterator[str]:
    """A Glance that reads the headers of proxies, as devstack sets it up."""
    settings = {"oslo_middleware": {"enable_proxy_headers_parsing": "true"}}
    directory = tmp_path_factory.mktemp("parsing")
    with Glance.make(directory, environment=environment, settings=settings) as glance:
        yield glance.serve("uwsgi-unix").url


@pytest.mark.parametrize("name", WAYS)
def test_links_lead_back_where_glance_reads_the_headers(name, folder, authority, parsing_glance: str):
    with open_way(name, folder / f"{name}-parsing", authority, parsing_glance) as way:
        assert_links(way)
