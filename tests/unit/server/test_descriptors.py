"""The limit of open files, raised as far as it goes."""

import resource

import pytest

from shim.server.descriptors import raise_descriptor_limit


@pytest.fixture
def hard():
    """The hard limit, with a soft one below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_becomes_the_hard_one(hard):
    raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_machine_that_allows_less(hard, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    monkeypatch.undo()
