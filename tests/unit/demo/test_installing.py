"""What is made of pip's output; pip itself is not run."""

import importlib.util

import pytest

from shim.demo import DemoError, interpreters
from shim.demo.installing import count_collected, explain, install
from tests.support.series import series


@series(
    ("output", "meaning"),
    [
        (
            "[Errno -3] Temporary failure in name resolution\nERROR: No matching distribution",
            "check the network",
        ),
        ("Failed to establish a new connection: [Errno 111]", "check the network"),
        ("ReadTimeoutError: Read timed out. (read timeout=15)", "does not answer in time"),
        ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')", "PIP_CERT"),
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for glance==33.0.0", "lacks a package"),
        ("ERROR: Failed building wheel for greenlet", "compiled"),
        ("something else", "pip failed"),
    ],
)
def test_a_failure_is_explained(output, meaning):
    assert meaning in explain(output)


def test_progress_counts_packages_and_not_their_files():
    assert count_collected("Collecting glance\n  Downloading glance.whl\nCollecting pbr (from glance)\n") == 2


def test_a_missing_ensurepip_names_the_debian_package(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreters, "find_system_python", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match="python3-venv"):
        install(tmp_path, (), tmp_path, log=tmp_path / "log", report=print)
