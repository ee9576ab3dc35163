"""Real Glance on uWSGI gets images while they still come in, from clients that go wrong after it has begun.

``stream`` begins at once, so that a test knows that Glance has; what is cut, and sent anew, is the same as
in ``auto``.
"""

import hashlib
import random
from collections.abc import Iterator

import pytest

from tests.hosting.kinds import Hostings
from tests.integration.images import Images
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.client import LAST, Client, chunk, head
from tests.support.shim import Shim
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
DATA = random.Random(12).randbytes(8 * MIB)
SHA512 = hashlib.sha512(DATA).hexdigest()
HALF = len(DATA) // 2


@pytest.fixture(scope="module")
def shim(hostings: Hostings, tmp_path_factory) -> Iterator[Shim]:
    settings = {"body": "stream", "timeouts__cut_through_stall": "1s"}
    with run_shim(tmp_path_factory.mktemp("shim"), hostings["uwsgi-unix"], **settings) as shim:
        yield shim
        shim.await_rest()
        assert not shim.complaints(), shim.log_text()[-4000:]


def client_of(shim: Shim) -> Client:
    return Client(("127.0.0.1", shim.port), patience=60)


def begin(client: Client, images: Images, *, size: int = len(DATA)) -> str:
    """Send half of a new image; Glance has begun to save it."""
    image = images.create()
    fields = [
        "Transfer-Encoding: chunked",
        f"X-Auth-Token: {TOKEN}",
        "Content-Type: application/octet-stream",
    ]
    target = f"/v2/images/{image}/file"
    client.send(head("PUT", target, *fields, f"x-openstack-image-size: {size}"), chunk(DATA[:HALF]))
    eventually(lambda: images.state(image).status == "saving", "Glance has begun")
    return image


def finish(client: Client, *pieces: bytes) -> int:
    client.send(*pieces)
    return client.answer("PUT").status


def url_of(shim: Shim) -> str:
    return f"http://127.0.0.1:{shim.port}"


def test_whole(shim: Shim, images: Images):
    with client_of(shim) as client:
        image = begin(client, images)
        assert finish(client, chunk(DATA[HALF:]), LAST) == 204
    images.assert_whole(image, SHA512, url_of(shim))


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
@pytest.mark.parametrize("rest", [b"", chunk(DATA[HALF:])], ids=["half", "without its last chunk"])
def test_a_client_that_breaks_off_leaves_the_image_queued(shim: Shim, images: Images, leave, rest):
    with client_of(shim) as client:
        image = begin(client, images)
        client.send(rest)
        leave(client)
    shim.await_rest()
    images.assert_untouched(image)


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)])
def test_a_size_that_is_not_met_is_400_and_the_image_queued(shim: Shim, images: Images, size):
    with client_of(shim) as client:
        image = begin(client, images, size=size)
        client.offer(chunk(DATA[HALF:]), LAST)
        answer = client.answer("PUT")
        assert (answer.status, answer.problem["code"]) == (400, "size_mismatch"), answer
    images.assert_untouched(image)


def test_a_client_that_stalls_gets_its_image_all_the_same(shim: Shim, images: Images):
    """Glance is let go after a second, and gets the image anew when it is whole."""
    with client_of(shim) as client:
        image = begin(client, images)
        eventually(lambda: images.state(image).status == "queued", "Glance has been let go")
        assert finish(client, chunk(DATA[HALF:]), LAST) == 204
    images.assert_whole(image, SHA512, url_of(shim))
    eventually(lambda: "Sent again" in shim.log_text(), "the log tells of it")
