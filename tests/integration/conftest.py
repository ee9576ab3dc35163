"""What the integration tests share: the environment with real servers and clients, and the table of results.

Nothing is passed over in silence: what cannot run is skipped with its reason, and fails where ``CI=true``.
"""

import functools
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.demo import DemoError
from shim.demo.environment import Environment, ensure_environment, find_environment
from tests.hosting.hosting import Hosting
from tests.hosting.kinds import Hostings
from tests.hosting.site import Site, Unavailable, make_site
from tests.integration.images import SETTLE, Images
from tests.integration.programs import Programs
from tests.integration.results import Results

RESULTS = pytest.StashKey[Results]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """In CI a test that was skipped has failed: there, everything it needs is to be there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but CI=true: {report.longrepr[2]}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured, at the end of the run."""
    results = config.stash.get(RESULTS, None)
    if results is not None and not results.is_empty:
        terminalreporter.section("integration results")
        terminalreporter.write_line(results.render())


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """Where tests write down what is worth showing; at the end also a JSON file."""
    results = pytestconfig.stash.setdefault(RESULTS, Results())
    yield results
    results.file = tmp_path_factory.getbasetemp() / "integration-results.json"
    results.file.write_text(json.dumps(results.as_json(), indent=1))


@pytest.fixture(scope="session")
def environment() -> Environment:
    """Glance, its clients, uWSGI and gunicorn; installed first where a place for them was chosen."""
    if "GLANCE_SHIM_DEMO_HOME" not in os.environ and find_environment() is None:
        pytest.skip("no environment with Glance: run make, or set GLANCE_SHIM_DEMO_HOME to where it may be")
    try:
        return ensure_environment()
    except DemoError as error:
        pytest.skip(f"no environment with Glance: {error}")


@pytest.fixture(scope="session")
def programs(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The clients, with a home directory of their own."""
    return Programs(environment, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def site(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One Glance for all tests. On sqlite: uploads go to it one at a time."""
    # web-download takes the ports 80 and 443 only, unless it is told otherwise.
    settings = {"import_filtering_opts": {"allowed_ports": "[]"}}
    with make_site(environment, settings) as site:
        yield site
        # The site goes, with what may be a gigabyte of images; pytest keeps the logs of its last runs.
        logs = tmp_path_factory.mktemp("hostings")
        for log in site.directory.glob("*/*.log"):
            shutil.copyfile(log, logs / f"{log.parent.name}.log")


@pytest.fixture(scope="session")
def hostings(site: Site) -> Iterator[Hostings]:
    """The same Glance under each hosting: the upstream URL by kind; started when it is first asked for."""
    with SkippingHostings(site) as hostings:
        yield hostings


@pytest.fixture(autouse=True)
def _tasks_ended(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves Glance without a task under way: the next one's could be lost beside it."""
    yield
    if "hostings" in request.fixturenames:
        hostings: Hostings = request.getfixturevalue("hostings")
        hostings.await_tasks(SETTLE)


class SkippingHostings(Hostings):
    """What this machine lacks skips the test."""

    def hosting(self, kind: str) -> Hosting:
        try:
            return super().hosting(kind)
        except Unavailable as lack:
            pytest.skip(f"{kind}: {lack}")


@pytest.fixture(scope="session")
def straight(hostings: Hostings) -> str:
    """Where Glance answers without the shim, for verdicts that do not rest on it."""
    return hostings["uwsgi-http-socket"]


@pytest.fixture(scope="session")
def images(site: Site, straight: str) -> Images:
    """The images of that Glance, asked for past the shim."""
    return Images(straight, site.glance.directory / "images")


@pytest.fixture(scope="session")
def web(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A directory, and the URL of a web server that serves it."""
    directory = tmp_path_factory.mktemp("web")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield directory, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    shutil.rmtree(directory)
