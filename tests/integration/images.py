"""Glance as a test asks it: by plain HTTP, straight or through the shim; and its clients as uploaders.

An uploader makes an image of a file at ``url`` and gives its id; what came of it is for ``Images`` to say.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from shim.demo.client import ImageState, download_hash, look_up
from tests.integration.programs import TOKEN, Programs
from tests.support.wire import eventually

SETTLE = 60.0
"""Seconds that an import may take in Glance."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FORMAT = ("--disk-format", "raw", "--container-format", "bare")


@dataclass(frozen=True)
class Source:
    """The data of an image.

    Attributes:
        uri: Where web-download finds it.
    """

    file: Path
    uri: str

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.stat().st_size

    @property
    def sha512(self) -> str:
        """The hash that Glance keeps of it."""
        return hashlib.sha512(self.file.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Images:
    """A Glance's images.

    Attributes:
        url: Where Glance answers.
        store: The directory of its file store.
    """

    url: str
    store: Path

    def create(self) -> str:
        """A new image without data."""
        fields = {"name": "integration", "disk_format": "raw", "container_format": "bare"}
        answer = httpx.post(
            f"{self.url}/v2/images",
            json=fields,
            headers={"X-Auth-Token": TOKEN, "Connection": "close"},
            trust_env=False,
            timeout=SETTLE,
        )
        assert answer.status_code == 201, answer.text
        return json.loads(answer.text)["id"]

    def state(self, image: str) -> ImageState:
        """What Glance says of it."""
        return look_up(self.url, image)

    def await_active(self, image: str) -> ImageState:
        """Its state, once an import has ended."""
        eventually(
            lambda: self.state(image).status not in ("queued", "uploading", "importing", "saving"),
            f"image {image} is imported",
            SETTLE,
        )
        return self.state(image)

    def assert_whole(self, image: str, sha512: str, through: str) -> None:
        """Active, and the same bytes by Glance's hash, in the store, and downloaded from ``through``."""
        state = self.await_active(image)
        assert (state.status, state.hash_algorithm, state.hash_value) == ("active", "sha512", sha512), state
        stored = hashlib.sha512((self.store / image).read_bytes()).hexdigest()
        assert (stored, download_hash(through, image)) == (sha512, sha512)

    def assert_untouched(self, image: str) -> None:
        """Still queued, or queued again, and without data: an upload can begin anew.

        A cut that Glance itself has seen (cut-through had begun) needs a moment to be undone there.
        """
        state = eventually(lambda: self._settled(image), f"image {image} is not being saved")
        assert (state.status, state.size) == ("queued", None), state
        assert not (self.store / image).exists()

    def _settled(self, image: str) -> ImageState | None:
        state = self.state(image)
        return None if state.status == "saving" else state


# -- the clients ------------------------------------------------------------------------------------------

Uploader = Callable[[Programs, Images, str, Source], str]


def glance_file(programs: Programs, _images: Images, url: str, source: Source) -> str:
    image = str(uuid.uuid4())
    named = ("--id", image, "--name", "glance-file", "--file", str(source.file))
    programs.glance(url, "image-create", *named, *_FORMAT).succeeded()
    return image


def glance_pipe(programs: Programs, _images: Images, url: str, source: Source) -> str:
    image = str(uuid.uuid4())
    named = ("--id", image, "--name", "glance-pipe")
    programs.glance(url, "image-create", *named, *_FORMAT, data=source.file.read_bytes()).succeeded()
    return image


def glance_stage_and_import(programs: Programs, images: Images, url: str, source: Source) -> str:
    image = images.create()
    programs.glance(url, "image-stage", "--file", str(source.file), image).succeeded()
    programs.glance(url, "image-import", "--import-method", "glance-direct", image).succeeded()
    return image


def glance_web_download(programs: Programs, images: Images, url: str, source: Source) -> str:
    image = images.create()
    method = ("--import-method", "web-download", "--uri", source.uri)
    programs.glance(url, "image-import", *method, image).succeeded()
    return image


def sdk_file(programs: Programs, _images: Images, url: str, source: Source) -> str:
    return _printed_id(programs.sdk(url, "sdk-file", str(source.file)).succeeded())


def sdk_pipe(programs: Programs, _images: Images, url: str, source: Source) -> str:
    return _printed_id(programs.sdk(url, "sdk-pipe", "-", data=source.file.read_bytes()).succeeded())


def curl_pipe(programs: Programs, images: Images, url: str, source: Source) -> str:
    image = images.create()
    target = f"{url}/v2/images/{image}/file"
    programs.curl("--upload-file", "-", target, data=source.file.read_bytes()).succeeded()
    return image


def curl_file(programs: Programs, images: Images, url: str, source: Source) -> str:
    image = images.create()
    programs.curl("--upload-file", source.file, f"{url}/v2/images/{image}/file").succeeded()
    return image


def _printed_id(output: str) -> str:
    found = _ID.search(output)
    assert found, output
    return found[0]


UPLOADERS: dict[str, Uploader] = {
    "glance, file": glance_file,
    "glance, pipe": glance_pipe,
    "glance, stage + import": glance_stage_and_import,
    "glance, web-download": glance_web_download,
    "openstacksdk, file name": sdk_file,
    "openstacksdk, pipe": sdk_pipe,
    "curl -T -, pipe": curl_pipe,
    "curl -T, file": curl_file,
}
