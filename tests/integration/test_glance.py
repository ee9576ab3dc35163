"""Real Glance under each hosting, the shim in front, and the clients that people upload with.

All hostings serve one Glance on sqlite, so uploads go to it one at a time.
"""

import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosting.kinds import KINDS, Hostings
from tests.integration.images import UPLOADERS, Images, Source
from tests.integration.programs import TOKEN, Programs
from tests.integration.results import Results
from tests.integration.running import run_shim
from tests.support.client import LAST, Answer, Client, chunk, chunked, get, head, put, put_chunked
from tests.support.shim import Shim
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
DATA = random.Random(33).randbytes(16 * MIB)
SHORT = DATA[: 4 * MIB]
LARGE = 200 * MIB

THOROUGH = ("uwsgi-unix", "uwsgi-tcp", "uwsgi-http-socket", "gunicorn")
"""One hosting for each way that the shim speaks to a server; the others get small images and fewer tests."""
OCTETS = "Content-Type: application/octet-stream"


@pytest.fixture(scope="module", params=KINDS)
def hosting(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def running_shim(hosting: str, hostings: Hostings, tmp_path_factory) -> Iterator[Shim]:
    with run_shim(tmp_path_factory.mktemp("shim"), hostings[hosting]) as shim:
        yield shim


@pytest.fixture
def shim(running_shim: Shim) -> Iterator[Shim]:
    """In front of one hosting; at rest after each test, without complaints."""
    start = running_shim.log_size()
    yield running_shim
    running_shim.await_rest()
    assert not running_shim.complaints(start), running_shim.log_text(start)[-4000:]


def make_source(web: tuple[Path, str], data: bytes) -> Source:
    directory, url = web
    file = directory / f"{len(data)}.raw"
    file.write_bytes(data)
    return Source(file, f"{url}/{file.name}")


@pytest.fixture(scope="module")
def source(web, hosting: str) -> Source:
    return make_source(web, DATA if hosting in THOROUGH else SHORT)


def url_of(shim: Shim) -> str:
    return f"http://127.0.0.1:{shim.port}"


def ask(shim: Shim, *pieces: bytes) -> Answer:
    """Send one request as far as it is taken, and read the answer."""
    with Client(("127.0.0.1", shim.port), patience=60) as client:
        client.offer(*pieces)
        return client.answer(pieces[0].split(b" ", 1)[0].decode())


def upload(image: str, data: bytes, *headers: str, token: str = TOKEN) -> bytes:
    """A whole chunked upload."""
    target = f"/v2/images/{image}/file"
    return put_chunked(target, chunked(data, MIB), f"X-Auth-Token: {token}", OCTETS, *headers)


# -- every client on every hosting ------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """What an upload needs, and where its result is written down."""

    images: Images
    programs: Programs
    results: Results

    def upload(self, uploader: str, url: str, source: Source, cell: tuple[str, str]) -> str:
        """Upload by a client; the image is whole, or the table says that it failed."""
        self.results.put(*cell, "FAILED")
        began = time.monotonic()
        try:
            image = UPLOADERS[uploader](self.programs, self.images, url, source)
        except pytest.skip.Exception:
            self.results.put(*cell, "skipped")
            raise
        seconds = time.monotonic() - began
        self.images.assert_whole(image, source.sha512, url)
        self.results.put(*cell, f"active, equal, {seconds:.1f} s")
        return image


@pytest.fixture(scope="module")
def bench(images: Images, programs: Programs, results: Results) -> Bench:
    return Bench(images, programs, results)


def received_for(shim: Shim, image: str) -> int:
    """Bytes of body that the shim's log tells of for an image's upload."""
    lines = [line for line in shim.log_lines() if line.get("image") == image and line.get("method") == "PUT"]
    return sum(line["received"] for line in lines)


# What a hosting is sent comes from the shim, whoever sent it there: every client to one hosting of each
# protocol, and to each one client that declares its length and one that does not. `make matrix` has all.
PLAIN = ("curl -T -, pipe", "curl -T, file")
PAIRS = [
    (kind, uploader)
    for kind in KINDS
    for uploader in UPLOADERS
    if uploader in PLAIN or kind in ("uwsgi-unix", "gunicorn")
]


@pytest.mark.parametrize(("hosting", "uploader"), PAIRS, indirect=["hosting"])
def test_image_is_active_and_whole(uploader: str, hosting: str, shim: Shim, source: Source, bench: Bench):
    image = bench.upload(uploader, url_of(shim), source, (uploader, hosting))
    if uploader != "glance, web-download":
        eventually(lambda: received_for(shim, image) == source.size, "the shim logged the whole body")


@pytest.mark.parametrize("hosting", ["uwsgi-unix"], indirect=True)
def test_large_image_from_a_pipe(hosting: str, shim: Shim, web: tuple[Path, str], bench: Bench):
    source = make_source(web, random.Random(200).randbytes(LARGE))
    cell = (f"glance, pipe, {LARGE // MIB} MiB", hosting)
    image = bench.upload("glance, pipe", url_of(shim), source, cell)
    eventually(lambda: received_for(shim, image) == LARGE, "the shim logged the whole body")


@pytest.mark.parametrize("hosting", ["uwsgi-http-socket"], indirect=True)
def test_without_the_shim_the_upload_fails(hosting: str, straight: str, source: Source, bench: Bench):
    """The control: if uWSGI's http-socket ever takes such uploads, the table above proves less.

    It answers 500 and closes with the body unread; some clients get to read that, some do not.
    """
    row = "without the shim: glance, file"
    with pytest.raises(AssertionError, match="exit status 1"):
        bench.upload("glance, file", straight, source, (row, hosting))
    bench.results.put(row, hosting, "fails, as it must")


# -- uploads that break off -------------------------------------------------------------------------------


def cut_mid_chunk(data: bytes) -> bytes:
    half = len(data) // 2
    return chunk(data[:half]) + chunk(data[half:])[: half // 2]


def cut_after_a_chunk(data: bytes) -> bytes:
    return chunk(data)


def cut_in_the_last_chunk(data: bytes) -> bytes:
    return chunk(data) + LAST[:3]


def leave_by_fin(client: Client) -> None:
    client.finish()
    assert client.ending() in ("fin", "reset")


on_thorough_hostings = pytest.mark.parametrize("hosting", THOROUGH, indirect=True)


# Of a large body whose size was declared Glance sees the beginning; of others nothing, whatever runs it.
BROKEN_OFF = [(kind, len(SHORT), True) for kind in THOROUGH]
BROKEN_OFF += [
    ("uwsgi-unix", size, declared) for size, declared in ((1000, False), (1000, True), (len(SHORT), False))
]


@pytest.mark.parametrize(("hosting", "size", "declared"), BROKEN_OFF, indirect=["hosting"])
@pytest.mark.parametrize("cut", [cut_mid_chunk, cut_after_a_chunk, cut_in_the_last_chunk])
def test_upload_that_breaks_off_leaves_the_image_queued(
    *, hosting: str, shim: Shim, images: Images, cut, size, declared
):
    """The short one would be with Glance before anybody could take it back."""
    image, data = images.create(), SHORT[:size]
    fields = ["Transfer-Encoding: chunked", f"X-Auth-Token: {TOKEN}", OCTETS]
    fields += [f"x-openstack-image-size: {size}"] if declared else []
    for leave in (leave_by_fin, Client.reset, Client.close):
        with Client(("127.0.0.1", shim.port)) as client:
            client.send(head("PUT", f"/v2/images/{image}/file", *fields) + cut(data))
            eventually(lambda: shim.metric("uploads") == 1, "the shim has begun to receive")
            leave(client)
        shim.await_rest()
        images.assert_untouched(image)
    assert ask(shim, upload(image, data)).status == 204
    images.assert_whole(image, hashlib.sha512(data).hexdigest(), url_of(shim))


def test_length_that_is_not_met_leaves_the_image_queued(shim: Shim, images: Images):
    image = images.create()
    request = put(f"/v2/images/{image}/file", SHORT, f"X-Auth-Token: {TOKEN}", OCTETS)
    with Client(("127.0.0.1", shim.port)) as client:
        client.send(request[:-1])
        leave_by_fin(client)
    shim.await_rest()
    images.assert_untouched(image)
    assert ask(shim, request).status == 204
    images.assert_whole(image, hashlib.sha512(SHORT).hexdigest(), url_of(shim))


@on_thorough_hostings
@pytest.mark.parametrize("size", [len(SHORT) - 1, len(SHORT) + 1, 1, 2 * len(SHORT)])
def test_size_that_is_not_met_is_400_and_the_image_queued(hosting: str, shim: Shim, images: Images, size):
    image = images.create()
    answer = ask(shim, upload(image, SHORT, f"x-openstack-image-size: {size}"))
    assert (answer.status, answer.problem["code"]) == (400, "size_mismatch"), answer
    shim.await_rest()
    images.assert_untouched(image)
    assert ask(shim, upload(image, SHORT, f"x-openstack-image-size: {len(SHORT)}")).status == 204
    images.assert_whole(image, hashlib.sha512(SHORT).hexdigest(), url_of(shim))


# -- Glance's own refusals --------------------------------------------------------------------------------


def test_bad_token_is_refused_by_glance_itself(shim, images, straight):
    image = images.create()
    answer = ask(shim, upload(image, SHORT, token="bad"))
    assert answer.status == 401, answer
    with Client(("127.0.0.1", int(straight.rpartition(":")[2]))) as client:
        # As the shim asks in the client's place, before it takes the body.
        client.send(get(f"/v2/images/{image}", "X-Auth-Token: bad"))
        own = client.answer()
    assert (answer.status, answer.body, answer.media_type) == (own.status, own.body, own.media_type)
    images.assert_untouched(image)


def test_second_upload_is_refused_by_glance_itself(shim, images):
    image = images.create()
    assert ask(shim, upload(image, SHORT)).status == 204
    answer = ask(shim, upload(image, SHORT[::-1]))
    assert answer.status == 409, answer
    images.assert_whole(image, hashlib.sha512(SHORT).hexdigest(), url_of(shim))


def test_unknown_image_is_refused_by_glance_itself(shim):
    answer = ask(shim, upload("00000000-0000-0000-0000-000000000000", SHORT))
    assert answer.status == 404, answer
    assert b"00000000-0000-0000-0000-000000000000" in answer.body


def test_empty_image_is_an_image(shim, images):
    """Properly ended, an empty body is what was asked for; broken off it is not (see above)."""
    image = images.create()
    assert ask(shim, upload(image, b"")).status == 204
    images.assert_whole(image, hashlib.sha512(b"").hexdigest(), url_of(shim))
