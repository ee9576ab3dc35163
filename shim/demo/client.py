"""What the demo does at a Glance: uploads by the real glance command, and a look at what came of them.

The command runs as a person would run it; state and bytes are asked for by plain HTTP, so that the verdict
does not rest on what the command prints.
"""

import hashlib
import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.environment import Environment
from shim.demo.processes import Process, own_variables
from shim.timing import Seconds

TOKEN = "admin"  # noqa: S105 - any token is an administrator's here
# A 16 MiB upload takes a second; beyond this something hangs.
_UPLOAD_LIMIT: Seconds = 120.0
_ANSWER_LIMIT: Seconds = 60.0
_PIECE = 1024 * 1024
# Of the table that the command prints, what matters to an upload.
_TOLD_ROWS = frozenset({"id", "status", "size"})


@dataclass(frozen=True, slots=True)
class Upload:
    """How one ``glance image-create`` went.

    Attributes:
        status: The command's exit status.
        output: All it printed.
        seconds: How long it took.
    """

    command: list[str]
    status: int
    output: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class ImageState:
    """What Glance says of an image; ``size`` in bytes, None before data came."""

    status: str
    size: int | None
    hash_algorithm: str | None
    hash_value: str | None


def image_create(url: str, image: str, name: str, file: str | None = None) -> list[str]:
    """The glance command that makes an image, of a file in chunks of 1 MiB as it always does, or empty."""
    where = ["glance", "--os-image-url", url, "--os-auth-token", TOKEN]
    what = [
        "--id",
        image,
        "--name",
        name,
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
    ]
    data = [] if file is None else ["--file", file]
    return [*where, "image-create", *what, *data]


def run_command(environment: Environment, command: list[str], *, log: Path) -> Upload:
    """Run a command of the environment to its end.

    Raises:
        DemoError: It hung.
    """
    began = time.monotonic()
    program: list[str | Path] = [environment.program(command[0]), *command[1:]]
    # It keeps schemas in its home; and what it says on both streams is to stay in order.
    variables = own_variables(PYTHONPATH="", HOME=str(log.parent), PYTHONUNBUFFERED="1")
    status = Process.start(program, log=log, variables=variables).finish(_UPLOAD_LIMIT)
    return Upload(command, status, log.read_text(errors="replace"), time.monotonic() - began)


def essence(output: str) -> list[str]:
    """The lines of the command's output that tell of the upload: messages whole, of its table a few rows."""
    lines = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("|") and cells[1] in _TOLD_ROWS:
            lines.append(f"{cells[1]:<8} {cells[2]}")
        elif line and not line.startswith(("|", "+")):
            lines.append(line)
    return lines


def look_up(url: str, image: str) -> ImageState:
    """Ask Glance for an image.

    Raises:
        DemoError: There is no such image, or no answer.
    """
    with _get(url, f"/v2/images/{image}") as response:
        found = json.loads(response.read())
    return ImageState(found["status"], found["size"], found["os_hash_algo"], found["os_hash_value"])


def download_hash(url: str, image: str) -> str:
    """Download an image's data; the sha512 in hex of what came.

    Raises:
        DemoError: There is none.
    """
    digest = hashlib.sha512()
    with _get(url, f"/v2/images/{image}/file") as response:
        while piece := response.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _get(url: str, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=_ANSWER_LIMIT)
    try:
        connection.request("GET", path, headers={"X-Auth-Token": TOKEN, "Connection": "close"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise DemoError(f"GET {url}{path}: {response.status} {response.reason}")
        yield response
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"GET {url}{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()
