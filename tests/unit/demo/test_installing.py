"""What is made of the output of uv and pip, and which of them is asked; they themselves are not run."""

import importlib.util
import os
from pathlib import Path

import pytest

from shim.demo import DemoError, installing, interpreters
from shim.demo.installing import explain, install, tell_progress
from shim.demo.packages import Installer
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
        ("something else", "uv and pip failed"),
    ],
)
def test_a_failure_is_explained(output, meaning):
    assert meaning in explain(output)


def test_progress_of_pip_counts_packages_and_not_their_files():
    found = [f"Collecting package-{number}\n  Downloading package.whl" for number in range(30)]
    assert tell_progress("\n".join(found[:24]), 30) == []
    output = "\n".join([*found, "Installing collected packages: package-0, package-1"])
    assert tell_progress(output, 30) == [
        "  25 of about 30 packages found",
        "  all 30 packages fetched; unpacking them",
    ]


def test_progress_of_uv_tells_its_stages():
    lines = [
        "Resolved 123 packages in 1.2s",
        "   Building pbr",
        "Prepared 122 packages in 2.08s",
        "Installed 123 packages",
    ]
    assert tell_progress("\n".join(lines), 123) == [
        "  123 packages found; fetching them",
        "  122 packages fetched; unpacking them",
    ]


@pytest.fixture
def constraints(tmp_path) -> Path:
    file = tmp_path / "constraints.txt"
    file.write_text("attrs==1\n")
    return file


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An environment, without the seconds it takes to make a real one."""
    monkeypatch.setattr(installing, "_make_environment", lambda directory, *_: directory.mkdir())
    return tmp_path / "venv"


def saying(name: str, text: str, status: int) -> Installer:
    """An installer that says something, and ends with a status."""
    return Installer(name, (Path("/bin/sh"), "-c", f"echo '{text}'; exit {status}"), dict(os.environ))


def test_pip_is_asked_where_uv_cannot_and_both_tell_how_far_they_are(
    place, tmp_path, constraints, monkeypatch
):
    programs = [
        saying("uv", "Resolved 9 packages in 1s", 2),
        saying("pip", "Installing collected packages: attrs", 0),
    ]
    monkeypatch.setattr(installing, "installers", lambda *_, **__: iter(programs))
    told: list[str] = []
    install(place, ("attrs",), constraints, log=tmp_path / "log", report=told.append)
    assert told == ["  9 packages found; fetching them", "  all 0 packages fetched; unpacking them"]


def test_where_both_fail_their_last_words_are_shown(place, tmp_path, constraints, monkeypatch):
    programs = [saying("uv", "error: dns", 2), saying("pip", "ERROR: No matching distribution", 1)]
    monkeypatch.setattr(installing, "installers", lambda *_, **__: iter(programs))
    with pytest.raises(DemoError, match="lacks a package") as failed:
        install(place, ("attrs",), constraints, log=tmp_path / "log", report=print)
    assert "error: dns\nERROR: No matching distribution" in str(failed.value)


def test_a_missing_ensurepip_names_the_debian_package(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreters, "find_system_python", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match="python3-venv"):
        install(tmp_path, (), tmp_path, log=tmp_path / "log", report=print)
