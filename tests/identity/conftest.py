"""Clouds for these tests: one whose tokens outlive any test, and one whose tokens end within seconds."""

import os
from collections.abc import Iterator

import pytest

from shim.demo import DemoError
from shim.demo.environment import Environment, ensure_environment, find_environment
from tests.identity.cloud import Cloud, open_cloud
from tests.identity.installations import KEYSTONE

SHORT_LIFE = 4
"""Seconds that a token of the second cloud is valid."""


@pytest.fixture(scope="session")
def environment() -> Environment:
    """Glance's environment, with keystone's beside it; installed first where a place for them was chosen."""
    if "GLANCE_SHIM_DEMO_HOME" not in os.environ and find_environment() is None:
        pytest.skip("no environment with Glance: run make, or set GLANCE_SHIM_DEMO_HOME to where it may be")
    try:
        KEYSTONE.ensure()
        return ensure_environment()
    except DemoError as error:
        pytest.skip(f"no environment with Glance and keystone: {error}")


@pytest.fixture(scope="session")
def cloud(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Keystone and Glance; one upload at a time, for Glance is on sqlite."""
    with open_cloud(tmp_path_factory.mktemp("cloud"), environment) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def short_cloud(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The same with tokens that end after ``SHORT_LIFE``, and are accepted for an hour with a service's."""
    with open_cloud(tmp_path_factory.mktemp("short"), environment, life=SHORT_LIFE) as cloud:
        yield cloud
