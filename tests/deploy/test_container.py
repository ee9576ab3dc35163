"""The container's files: linted, at one with the project's, and its health check tried; no engine is here."""

import http.server
import re
import runpy
import threading
import tomllib
from collections.abc import Callable, Iterator

import pytest

from shim.config.load import load
from shim.config.sources import Flags
from tests.deploy.tools import Tools
from tests.support.shim import ROOT, free_port

CONTAINER = ROOT / "deploy" / "container"
FILE = CONTAINER / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and the rest of its line, continued lines put together."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def last_stage() -> dict[str, str]:
    """The last one of each instruction of the stage that runs."""
    stage: dict[str, str] = {}
    for name, rest in instructions():
        stage = {} if name == "FROM" else stage
        stage[name] = rest
    return stage


@pytest.mark.servers
def test_hadolint_finds_nothing(tools: Tools):
    assert tools.run("hadolint", "--no-color", FILE) == ""


def test_what_is_copied_is_there_and_enough():
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = [source for group in copied for source in group]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # What pip reads when it builds; without one of them the build fails.
    assert {"pyproject.toml", "shim", project["readme"], *project["license-files"]} <= set(sources)
    kept = re.findall(r"^!(\S+)$", (CONTAINER / "Containerfile.dockerignore").read_text(), re.MULTILINE)
    assert [source for source in sources if not source.startswith(tuple(kept))] == []


def test_it_runs_as_nobody_s_root_and_names_no_index():
    stage = last_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert "://" not in re.sub(r"#.*", "", FILE.read_text())
    assert "pip" not in stage["RUN"]


def test_the_configuration_in_the_image_is_one():
    settings = load(
        CONTAINER / "glance-shim.toml", Flags(upstream="http://glance:9292"), upstream_required=True
    )
    [listen] = settings.settings.server.listen
    ports = last_stage()["EXPOSE"].split()
    assert str(listen).rpartition(":")[2] in ports
    # TMPDIR is where a configuration that says nothing has its spool: it has to be the volume.
    assert f"TMPDIR={last_stage()['VOLUME']}" in last_stage()["ENV"]


@pytest.fixture
def answering() -> Iterator[Callable[[int], int]]:
    """Starts a server that answers every question with a status; gives its port."""
    servers: list[http.server.HTTPServer] = []

    def start(status: int) -> int:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, *_): ...

        servers.append(http.server.HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        return servers[-1].server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "found"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_tells_the_status(answering, status: int, found: int, monkeypatch):
    # A proxy for others must not be asked about ourselves.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    main = runpy.run_path(str(CONTAINER / "healthcheck.py"))["main"]
    assert main(str(answering(status))) == found


def test_the_health_check_says_why_nobody_answers(capsys):
    port = free_port()
    assert runpy.run_path(str(CONTAINER / "healthcheck.py"))["main"](str(port)) == 1
    assert f"/healthz on port {port}" in capsys.readouterr().err
