"""When an installation counts as whole, and who may make one; nothing is installed here."""

import threading

import pytest

from shim.demo import DemoError, environment
from shim.demo.environment import (
    CONSTRAINTS,
    PACKAGES,
    Environment,
    demo_home,
    ensure_environment,
    find_environment,
    fingerprint,
    pinned_version,
)


def pins():
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


@pytest.fixture
def installed(monkeypatch):
    """Replaces the installation; the list has the directories that were installed into."""
    directories = []

    def install(directory, packages, constraints, *, log, report):
        assert not (directory / "glance-shim.stamp").exists()
        (directory / "bin").mkdir(parents=True, exist_ok=True)
        (directory / "bin" / "python").touch()
        directories.append(directory)

    monkeypatch.setattr(environment, "install", install)
    return directories


def quiet(_line):
    pass


def test_every_package_is_pinned_once_and_exactly():
    assert set(PACKAGES) <= set(pins())
    assert all(version[0].isdigit() for version in pins().values())
    assert pins()["glance"] == "33.0.0"


def test_no_line_of_the_constraints_names_an_index_or_a_path():
    assert not any(sign in CONSTRAINTS.read_text() for sign in ("://", "@", "--", "file:"))


def test_pinned_version_is_the_version_in_the_constraints():
    assert pinned_version("glance") == pins()["glance"]
    with pytest.raises(DemoError):
        pinned_version("no-such-package")


@pytest.mark.parametrize(
    ("variables", "home"),
    [
        ({"GLANCE_SHIM_DEMO_HOME": "/lab"}, "/lab"),
        ({"GLANCE_SHIM_DEMO_HOME": "/lab", "XDG_CACHE_HOME": "/cache"}, "/lab"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/glance-shim/demo"),
        ({"HOME": "/home/ann"}, "/home/ann/.cache/glance-shim/demo"),
    ],
)
def test_the_home_is_chosen_or_the_cache(monkeypatch, variables, home):
    for name in ("GLANCE_SHIM_DEMO_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(demo_home()) == home


def test_it_is_installed_once(tmp_path, installed):
    first = ensure_environment(tmp_path, report=quiet)
    assert ensure_environment(tmp_path, report=quiet) == first == find_environment(tmp_path)
    assert installed == [tmp_path / "venv"]


def test_an_interrupted_installation_is_made_anew(tmp_path, installed, monkeypatch):
    def interrupt(directory, *_arguments, **_options):
        (directory / "bin").mkdir(parents=True)
        (directory / "bin" / "python").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "install", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensure_environment(tmp_path, report=quiet)
    assert find_environment(tmp_path) is None
    ensure_environment(tmp_path, report=quiet)
    assert len(installed) == 1


def test_an_environment_that_was_moved_is_made_anew(tmp_path, installed):
    ensure_environment(tmp_path / "old", report=quiet)
    (tmp_path / "old").rename(tmp_path / "new")
    assert find_environment(tmp_path / "new") is None


def test_an_environment_without_its_interpreter_is_made_anew(tmp_path, installed):
    ensure_environment(tmp_path, report=quiet)
    (tmp_path / "venv" / "bin" / "python").unlink()
    assert find_environment(tmp_path) is None


def test_an_environment_whose_python_was_replaced_is_made_anew(tmp_path, installed):
    ensure_environment(tmp_path, report=quiet)
    interpreter = tmp_path / "venv" / "bin" / "python"
    interpreter.unlink()
    (tmp_path / "python3.99").touch()
    interpreter.symlink_to(tmp_path / "python3.99")
    assert find_environment(tmp_path) is None


def test_other_packages_are_another_environment(tmp_path, monkeypatch):
    before = fingerprint(tmp_path)
    monkeypatch.setattr(environment, "PACKAGES", (*PACKAGES, "more"))
    assert fingerprint(tmp_path) != before


def test_of_two_at_once_one_installs_and_the_other_waits(tmp_path, installed, monkeypatch):
    install, told = environment.install, []
    waiting = threading.Event()

    def slow_install(*arguments, **options):
        assert waiting.wait(10)
        install(*arguments, **options)

    def report(line):
        told.append(line)
        if "waiting" in line:
            waiting.set()

    monkeypatch.setattr(environment, "install", slow_install)
    options = {"args": (tmp_path,), "kwargs": {"report": report}}
    threads = [threading.Thread(target=ensure_environment, **options) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(installed) == 1
    assert sum("waiting for it" in line for line in told) == 1


def test_a_home_that_cannot_be_written_is_told(tmp_path, installed):
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="GLANCE_SHIM_DEMO_HOME"):
        ensure_environment(tmp_path / "file" / "home", report=quiet)


def test_a_missing_program_is_told(tmp_path):
    with pytest.raises(DemoError, match="uwsgi is missing"):
        Environment(tmp_path).program("uwsgi")
