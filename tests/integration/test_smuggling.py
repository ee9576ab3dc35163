"""What parsers read differently, through the shim to real servers: they see what it forwarded, or nothing.

Each server's application writes down what it was given, and answers with it. So the answers that clients get,
and the record, must be the same requests: one that nobody was answered, or that was seen twice, was smuggled.
"""

import itertools
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import Application, start_server
from shim.demo.processes import Service, own_variables
from tests.hosting.apache import MODULES, PROGRAM, give_to_apache, public_directory, start_apache
from tests.integration import recorder
from tests.integration.payloads import LAST, PAYLOADS, Payload, Request
from tests.integration.running import WORKERS
from tests.support.client import Answer, Client, NoAnswer, head
from tests.support.shim import Shim

pytestmark = pytest.mark.servers

AT_ONCE = 6
END = head("GET", LAST, "Connection: close", host="a")


class Servers:
    """The recorder under each server; one shim leads to all of them, by the first segment of the path."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.folder = folder
        self.environment = environment
        self.urls: dict[str, str] = {}
        self.records: dict[str, Path] = {}
        self.services: list[Service] = []

    def __enter__(self) -> Self:
        uwsgi = self._start("uwsgi", ["uwsgi-tcp", "uwsgi-http-socket"])
        self.urls |= {"uwsgi": uwsgi["uwsgi-tcp"], "http-socket": uwsgi["uwsgi-http-socket"]}
        self.records["http-socket"] = self.records["uwsgi"]
        self.urls["gunicorn"] = self._start("gunicorn", ["gunicorn"])["gunicorn"]
        self._start_apache()
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.services:
            service.stop()

    def _place(self, name: str) -> Path:
        directory = self.folder / name
        directory.mkdir()
        shutil.copy(recorder.__file__, directory / "recorder.py")
        self.records[name] = directory / recorder.RECORD.name
        return directory

    def _start(self, name: str, kinds: list) -> dict:
        directory = self._place(name)
        application = Application(
            environment=self.environment,
            directory=directory,
            name=name,
            module="recorder:application",
            variables=own_variables(PYTHONPATH=str(directory), PYTHONDONTWRITEBYTECODE="1"),
        )
        server = start_server(application, kinds, workers=WORKERS, threads=1, arguments=[])
        self.services.append(server)
        return dict(server.urls)

    def _start_apache(self) -> None:
        if not PROGRAM.exists() or not (MODULES / "mod_wsgi.so").exists():
            pytest.skip("no Apache with mod_wsgi (Debian: apache2, libapache2-mod-wsgi-py3)")
        directory = self._place("apache")
        give_to_apache(directory)
        apache = start_apache(
            directory,
            ["wsgi"],
            lambda port: (
                f"Listen 127.0.0.1:{port}\nWSGIScriptAlias / {directory}/recorder.py\n"
                "AllowEncodedSlashes NoDecode\nMergeSlashes Off\n"
                f"<Directory {directory}>\nRequire all granted\n</Directory>\n"
            ),
        )
        self.services.append(apache)
        self.urls["apache"] = f"http://127.0.0.1:{apache.port}"

    def seen(self) -> list[str]:
        """What all of them have written down."""
        files = {path for path in self.records.values() if path.exists()}
        return [line for path in files for line in path.read_text().split()]


@pytest.fixture(scope="module")
def servers(environment: Environment) -> Iterator[Servers]:
    with public_directory("smuggling") as folder, Servers(folder, environment) as servers:
        yield servers


@pytest.fixture(scope="module")
def shim(servers: Servers, tmp_path_factory) -> Iterator[Shim]:
    settings = {f"upstreams.{name}.servers": [url] for name, url in servers.urls.items()}
    # Bodies that never end are waited for, but not for long; all go to disk, the fast way.
    patience = {"timeouts.body_idle": "1s", "timeouts.header": "1s", "spool.memory_limit": "0B"}
    routes = [{"path": f"/{name}/**", "upstream": name} for name in servers.urls]
    # What leads to none of them goes to the first, so that nothing is refused for want of a route.
    routes.append({"path": "/**", "upstream": "uwsgi"})
    folder = tmp_path_factory.mktemp("shim")
    with Shim(folder, {**settings, **patience}, routes=routes, forked=True) as shim:
        yield shim


def ask(port: int, payload: Payload, server: str) -> list[Answer]:
    """All answers to a payload and the last request behind it."""
    data = (payload.data + END).replace(b"/S/", f"/{server}/".encode())
    with Client(("127.0.0.1", port)) as client:
        client.offer(data)
        return list(answers_of(client))


def answers_of(client: Client) -> Iterator[Answer]:
    """All that come; then the connection must end properly."""
    while True:
        try:
            answer = client.answer()
        except NoAnswer as end:
            if end.how != "fin" or end.partial:
                raise
            return
        yield answer


def told(answer: Answer, server: str) -> Request | int | None:
    """What an answer says: what the server saw, a refusal of the shim's, or none: one of the server's own."""
    if answer.media_type == "application/problem+json":
        return answer.status
    if not answer.all("X-Seen"):
        return None
    seen = json.loads(answer.body)
    assert seen["framing"] in ({}, {"CONTENT_LENGTH": str(len(seen["body"]))}, {"CONTENT_LENGTH": "0"})
    target = seen["target"].replace(f"/{server}/", "/S/", 1)
    return Request(seen["method"], target, seen["body"].encode("latin-1"))


def cases_for(servers: list[str]) -> Iterator[tuple[Payload, str]]:
    """Payloads and servers: what is refused at once is the shim's affair, so one server in turn will do."""
    turns = itertools.cycle(servers)
    for payload in PAYLOADS:
        is_forwarded = any(isinstance(expected, Request) for expected in payload.expected)
        for server in servers if is_forwarded else [next(turns)]:
            yield payload, server


def test_each_server_sees_what_was_forwarded_and_nothing_else(shim: Shim, servers: Servers):
    cases = list(cases_for([*servers.urls]))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answered = list(threads.map(lambda case: ask(shim.port, *case), cases))
    faults = []
    for (payload, server), answers in zip(cases, answered, strict=True):
        got = [told(answer, server) for answer in answers]
        expected: list[Request | int | None] = list(payload.expected)
        if server in payload.dropped:
            expected[0] = None
        if got != expected:
            faults.append(f"{payload.name} through {server}: {got}, expected {expected}")
    assert not faults, "\n".join(faults)
    answered_ids = sorted(
        identity for answers in answered for answer in answers for identity in answer.all("X-Seen")
    )
    assert sorted(servers.seen()) == answered_ids
    assert not shim.complaints()
