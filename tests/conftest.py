"""Shared by all tests: helpers of tests.support say what they compared when an assertion fails."""

import pytest

pytest.register_assert_rewrite("tests.support")


# What tests that share it are parametrized by: a rig of a kind and way, or a hosting of Glance.
SHARED = ("case", "hosting", "running_chain")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares servers, where several processes run tests: a case, or a module.

    Each server is then started once, not once in each process.
    """
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec else {}
        groups = [params[name] for name in SHARED if name in params]
        item.add_marker(pytest.mark.xdist_group(groups[0] if groups else item.path.name))
