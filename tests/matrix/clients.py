"""The clients of the table: those of the integration tests, and two requests that break in ways of their own.

A client does its work at a URL and gives its verdict; what became of an image is asked past what is measured.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from shim.demo import DemoError
from tests.integration.images import UPLOADERS, Images, Source
from tests.integration.programs import TOKEN, Programs
from tests.matrix import verdict

LIMIT = 12.0
"""Seconds that one program or one request may take where it need not succeed; 16 MiB take one."""

PATIENCE = 60.0
"""The same through the shim, where a busy machine is no excuse for a failure."""

# An import that was accepted begins a moment later: until then the image is queued.
_UNSETTLED = ("queued", "uploading", "importing", "saving")
_SETTLE = 15.0


@dataclass(frozen=True)
class Bench:
    """What a client works with.

    Attributes:
        images: Glance's images, asked straight.
        source: What is uploaded.
        verify: The certificate authority of what is measured, as httpx takes it.
    """

    images: Images
    programs: Programs
    source: Source
    verify: str

    def post(self, url: str, path: str, pieces: Iterator[bytes]) -> httpx.Response:
        """A chunked POST."""
        headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/json"}
        with httpx.Client(verify=self.verify, trust_env=False, timeout=LIMIT) as client:
            return client.post(f"{url}{path}", content=pieces, headers=headers)

    def empty_store(self) -> None:
        """Make room: nobody reads the images of a place that was measured."""
        for file in self.images.store.iterdir():
            file.unlink()

    def small_image(self) -> str:
        """An active image, its data put straight into Glance."""
        image = self.images.create()
        # uWSGI's http-socket closes after each answer: no connection is used again.
        headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/octet-stream", "Connection": "close"}
        target = f"{self.images.url}/v2/images/{image}/file"
        answer = httpx.put(target, content=b"small", headers=headers, trust_env=False, timeout=LIMIT)
        answer.raise_for_status()
        return image


Client = Callable[[Bench, str], str]


def try_client(name: str, bench: Bench, url: str) -> str:
    """The verdict of a client at a URL; whatever happens, there is one."""
    try:
        return CLIENTS[name](bench, url)
    except (subprocess.TimeoutExpired, httpx.TimeoutException):
        return verdict.HANGS
    except (AssertionError, httpx.HTTPError, DemoError) as failure:
        # The first line of a program that failed is its command line.
        told = str(failure).partition("\n")[2] or str(failure)
        return verdict.of_failure(f"{type(failure).__name__}: {told}")


def _upload(uploader: str) -> Client:
    def upload(bench: Bench, url: str) -> str:
        image = UPLOADERS[uploader](bench.programs, bench.images, url, bench.source)
        return _judge(bench, image)

    return upload


def _judge(bench: Bench, image: str) -> str:
    """What an image has become, once it has settled."""
    until = time.monotonic() + _SETTLE
    while (state := bench.images.state(image)).status in _UNSETTLED and time.monotonic() < until:
        time.sleep(0.1)
    return verdict.of_image(state.status, state.size, state.hash_value, expected=bench.source.sha512)


def _chunked_json(bench: Bench, url: str) -> str:
    """Make an image without data: the description comes in two chunks."""
    fields = (b'{"name": "chunked", "disk_format": "raw", ', b'"container_format": "bare"}')
    answer = bench.post(url, "/v2/images", iter(fields))
    return verdict.OK if answer.status_code == httpx.codes.CREATED else str(answer.status_code)


def _empty_chunked_action(bench: Bench, url: str) -> str:
    """Deactivate an image: no body, said by a chunked one of no bytes."""
    image = bench.small_image()
    answer = bench.post(url, f"/v2/images/{image}/actions/deactivate", iter(()))
    if answer.status_code != httpx.codes.NO_CONTENT:
        return str(answer.status_code)
    status = bench.images.state(image).status
    return verdict.OK if status == "deactivated" else status


CLIENTS: dict[str, Client] = {
    **{name: _upload(name) for name in UPLOADERS},
    "chunked JSON": _chunked_json,
    "empty chunked POST": _empty_chunked_action,
}
"""All of them, by their names in the tables."""
