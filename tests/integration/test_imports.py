"""Imports and tasks under every hosting: what Glance does after its answer, in threads and with programs.

``POST /v2/tasks`` starts Python by ``sys.executable``, which several servers leave pointing to themselves;
staging with glance-direct and web-download are in ``test_glance`` with the clients that use them.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosting.kinds import KINDS, Hostings
from tests.hosting.site import Site
from tests.hosting.tasks import ended_tasks, tasks_under_way
from tests.integration.images import SETTLE, Images, Source
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.shim import Shim
from tests.support.wire import Hang, eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
DATA = random.Random(55).randbytes(2 * MIB)
IMPORTS = ("/v2/images/*/stage", "/v2/images/*/import", "/v2/tasks", "/v2/tasks/**")
FIELDS = {"name": "imported", "disk_format": "raw", "container_format": "bare"}


@dataclass
class Api:
    """Glance's API, through a shim; and what Glance behind it writes into its log."""

    url: str
    log: Callable[[], str]

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """A request that must succeed, and its answer's JSON."""
        answer = httpx.request(
            method,
            f"{self.url}{path}",
            headers={"X-Auth-Token": TOKEN, **options.pop("headers", {})},
            trust_env=False,
            timeout=SETTLE,
            **options,
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return json.loads(answer.text) if answer.content else {}

    def put(self, image: str, place: str, data: bytes) -> None:
        """Data for an image, chunked."""
        octets = {"Content-Type": "application/octet-stream"}
        pieces = (data[start : start + MIB] for start in range(0, len(data), MIB))
        self.ask("PUT", f"/v2/images/{image}/{place}", content=pieces, headers=octets)

    def start_import(self, image: str, method: str, **more: Any) -> None:
        """Ask for an import into an image."""
        self.ask("POST", f"/v2/images/{image}/import", json={"method": {"name": method}, **more})

    def await_tasks(self) -> None:
        """Until Glance does nothing beside its answers: one task at a time (tests.hosting.tasks)."""
        eventually(lambda: not tasks_under_way(self.log()), "earlier tasks have ended", SETTLE)

    def import_by_task(self, source: Source) -> str:
        """``POST /v2/tasks``, to its end; the image.

        Glance runs qemu-img for it, under oslo.concurrency's limits, which are a Python program.
        """
        if shutil.which("qemu-img") is None:
            pytest.skip("qemu-img is not installed (Debian: qemu-utils)")
        self.await_tasks()
        asked = {"import_from": source.uri, "import_from_format": "raw", "image_properties": FIELDS}
        task = self.ask("POST", "/v2/tasks", json={"type": "import", "input": asked})["id"]
        try:
            eventually(lambda: task in ended_tasks(self.log()), "the task has ended", SETTLE)
        except Hang as hang:
            raise AssertionError(f"{hang}\n{self.log()[-6000:]}") from None
        told = self.ask("GET", f"/v2/tasks/{task}")
        assert told["status"] == "success", told["message"]
        return told["result"]["image_id"]


@pytest.fixture(scope="module", params=KINDS)
def hosting(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def shim(hosting: str, hostings: Hostings, tmp_path_factory) -> Iterator[Shim]:
    with run_shim(tmp_path_factory.mktemp("shim"), hostings[hosting]) as shim:
        yield shim


@pytest.fixture
def api(shim: Shim, hosting: str, hostings: Hostings) -> Api:
    return Api(f"http://127.0.0.1:{shim.port}", hostings.hosting(hosting).log_text)


@pytest.fixture(scope="module")
def source(web: tuple[Path, str]) -> Source:
    directory, url = web
    file = directory / "imported.raw"
    file.write_bytes(DATA)
    return Source(file, f"{url}/{file.name}")


def test_copy_to_another_store(api: Api, images: Images, site: Site):
    image = images.create()
    api.put(image, "file", DATA)
    api.start_import(image, "copy-image", stores=["second"])
    eventually(
        lambda: "second" in api.ask("GET", f"/v2/images/{image}").get("stores", "").split(","),
        "the second store has it",
        SETTLE,
    )
    copy = site.glance.directory / "second" / image
    assert hashlib.sha512(copy.read_bytes()).hexdigest() == hashlib.sha512(DATA).hexdigest()


def test_task_that_imports(api: Api, images: Images, source: Source):
    images.assert_whole(api.import_by_task(source), source.sha512, api.url)


@pytest.mark.parametrize(
    ("uploads", "imports"), [("gunicorn", "uwsgi-unix"), ("uwsgi-unix", "mod-wsgi-daemon")]
)
def test_imports_and_tasks_on_a_server_of_their_own(
    *, uploads: str, imports: str, hostings: Hostings, images: Images, source: Source, tmp_path
):
    """As in docs/hosting.md: what outlives its answer goes to a server that waits for it when it reloads."""
    servers = {
        "upstreams.uploads.servers": [hostings[uploads]],
        "upstreams.imports.servers": [hostings[imports]],
    }
    before = {name: len(hostings.hosting(name).log_text()) for name in (uploads, imports)}
    routes = [{"path": path, "upstream": "imports"} for path in IMPORTS]
    routes.append({"path": "/**", "upstream": "uploads"})
    with Shim(tmp_path, {"service": None, "body": None, **servers}, routes=routes, forked=True) as shim:
        api = Api(f"http://127.0.0.1:{shim.port}", hostings.hosting(imports).log_text)
        staged, uploaded = images.create(), images.create()
        api.put(staged, "stage", DATA)
        api.start_import(staged, "glance-direct")
        # One after the other: sqlite does not bear much at once.
        images.assert_whole(staged, source.sha512, api.url)
        api.put(uploaded, "file", DATA)
        images.assert_whole(uploaded, source.sha512, api.url)
        api.import_by_task(source)
    taken = {name: hostings.hosting(name).log_text()[start:] for name, start in before.items()}
    assert f"PUT /v2/images/{uploaded}/file" in taken[uploads]
    assert f"PUT /v2/images/{staged}/stage" in taken[imports]
    assert f"POST /v2/images/{staged}/import" in taken[imports]
    assert "POST /v2/tasks" in taken[imports]
    for request in (f"PUT /v2/images/{staged}/stage", f"/v2/images/{staged}/import", "/v2/tasks"):
        assert request not in taken[uploads]
