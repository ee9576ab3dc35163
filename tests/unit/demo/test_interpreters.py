"""Which Python an environment is made with; the candidates are scripts that only have an exit status."""

import sys
from pathlib import Path

import pytest

from shim.demo import interpreters
from shim.demo.interpreters import choose_python, find_system_python


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Where the system's Python is looked for; nothing is remembered from or for other tests."""
    path = tmp_path / "python3"
    monkeypatch.setattr(interpreters, "SYSTEM_PYTHON", path)
    find_system_python.cache_clear()
    yield path
    find_system_python.cache_clear()


def put_program(path: Path, status: int) -> None:
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)


def test_the_system_python_is_preferred_and_its_link_resolved(system, tmp_path):
    put_program(tmp_path / "python3.11", 0)
    system.symlink_to("python3.11")
    assert choose_python() == tmp_path / "python3.11"


def test_a_system_python_that_makes_no_environments_is_passed_over(system):
    put_program(system, 1)
    assert choose_python() == Path(sys.executable)


def test_a_file_that_is_no_program_is_passed_over(system):
    system.write_text("text\n")
    system.chmod(0o755)
    assert find_system_python() is None


def test_without_a_system_python_it_is_ours(system):
    assert choose_python() == Path(sys.executable)


def test_the_question_is_answered_by_a_real_python(monkeypatch):
    monkeypatch.setattr(interpreters, "SYSTEM_PYTHON", Path(sys.executable))
    find_system_python.cache_clear()
    has_wheels = sys.version_info[:2] <= (3, 13)
    assert find_system_python() == (Path(sys.executable).resolve() if has_wheels else None)
    find_system_python.cache_clear()
