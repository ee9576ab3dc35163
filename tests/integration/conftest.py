"""What the integration tests share: the environment with real servers and clients, and the table of results.

Nothing is passed over in silence: what cannot run is skipped with its reason, and fails where ``CI=true``.
"""

import json
import os
import shutil
from collections.abc import Iterator

import pytest

from shim.demo import DemoError
from shim.demo.environment import Environment, ensure_environment, find_environment
from shim.demo.glance import Glance
from shim.demo.hosting import KINDS, Server
from tests.integration.images import Images
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
def glance(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """One Glance for all tests. On sqlite: uploads go to it one at a time."""
    # web-download takes the ports 80 and 443 only, unless it is told otherwise.
    settings = {"import_filtering_opts": {"allowed_ports": "[]"}}
    directory = tmp_path_factory.mktemp("glance")
    with Glance.make(directory, environment=environment, settings=settings) as glance:
        yield glance
    # pytest keeps the directories of the last runs: logs are welcome there, a gigabyte of images is not.
    shutil.rmtree(directory / "images")


@pytest.fixture(scope="session")
def hostings(glance: Glance) -> dict[str, str]:
    """The upstream URLs of the same Glance by hosting: one uWSGI on three sockets, and gunicorn."""
    servers: list[Server] = [
        glance.serve(*(kind for kind in KINDS if kind != "gunicorn")),
        glance.serve("gunicorn"),
    ]
    return {kind: url for server in servers for kind, url in server.urls.items()}


@pytest.fixture(scope="session")
def straight(hostings: dict[str, str]) -> str:
    """Where Glance answers without the shim, for verdicts that do not rest on it."""
    return hostings["uwsgi-http-socket"]


@pytest.fixture(scope="session")
def images(glance: Glance, straight: str) -> Images:
    """The images of that Glance, asked for past the shim."""
    return Images(straight, glance.directory / "images")
