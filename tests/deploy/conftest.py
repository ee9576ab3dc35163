"""The tools, and what they make of the manifests: rendered once for all tests of a process."""

import pytest

from shim.demo import DemoError
from tests.deploy.rendering import Rendering, render_all
from tests.deploy.tools import Tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    """What judges the files; without it there is no judgement, and in CI a failure."""
    try:
        return Tools.ensure()
    except DemoError as error:
        pytest.skip(f"no tools for deploy/: {error}")


@pytest.fixture(scope="session")
def renderings(tools: Tools) -> dict[str, Rendering]:
    """Every way that the manifests are offered, as a cluster would get them."""
    return render_all(tools)
