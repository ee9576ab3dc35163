"""Which programs install packages, and what they are told; none of them fetches anything here."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shim.demo import packages
from shim.demo.packages import Installer, installers, parse_configuration, uv_variables
from tests.support.series import series

FAILS = ("sh", "-c", "exit 3")
WORKS = ("true",)


@series(
    ("configuration", "told"),
    [
        ({}, {}),
        ({"index-url": "https://index/simple"}, {"UV_DEFAULT_INDEX": "https://index/simple"}),
        (
            {"extra-index-url": "\nfile:///a/simple\nfile:///b/simple"},
            {"UV_INDEX": "file:///a/simple file:///b/simple"},
        ),
        ({"find-links": "/a /b"}, {"UV_FIND_LINKS": "/a,/b"}),
        ({"cert": "/etc/ca.pem", "timeout": "60"}, {"SSL_CERT_FILE": "/etc/ca.pem", "UV_HTTP_TIMEOUT": "60"}),
        ({"proxy": "http://proxy:3128"}, {"ALL_PROXY": "http://proxy:3128"}),
        ({"disable-pip-version-check": "1"}, {}),
    ],
)
def test_uv_is_told_what_pip_knows(configuration, told):
    assert uv_variables(configuration) == told


def test_a_variable_of_pip_is_before_its_files_and_install_before_global():
    lines = [":env:.timeout='3'", "global.cert='/c'", "global.index-url='https://g'", "global.timeout='1'"]
    lines += [
        "install.index-url='https://i'",
        "install.timeout='2'",
        "freeze.timeout='9'",
        "WARNING: no line",
    ]
    told = parse_configuration("\n".join(lines))
    assert told == {"timeout": "3", "cert": "/c", "index-url": "https://i"}


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_uv_pip_is_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "without"))
    python = program(tmp_path / "python", 'echo "no index can be reached" >&2; exit 1')
    (pip,) = installers(python, tmp_path / "scratch")
    assert (pip.name, pip.command[:4]) == ("pip", (python, "-m", "pip", "install"))


def test_uv_is_fetched_for_this_once_and_comes_before_pip(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "without"))
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "9")
    script = """case "$*" in *config*)
        echo "global.index-url='https://mirror/simple'"
        echo "global.timeout='5'"
    esac"""
    python = program(tmp_path / "python", script)
    uv, pip = installers(python, tmp_path / "scratch", compiled=True)
    assert (uv.name, uv.command[0]) == ("uv", tmp_path / "scratch" / "uv" / "bin" / "uv")
    assert "--compile-bytecode" in uv.command
    assert uv.variables["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    assert uv.variables["UV_HTTP_TIMEOUT"] == "9", "what its user says to uv itself stands"
    assert pip.name == "pip"
    assert "UV_DEFAULT_INDEX" not in pip.variables


def test_the_uv_of_our_own_environment_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    ours = program(tmp_path / "bin" / "uv", "exit 1")
    first = next(installers(program(tmp_path / "python", "exit 1"), tmp_path))
    assert first.command[0] == ours


@pytest.mark.parametrize(
    ("commands", "status"), [((WORKS, FAILS), 0), ((FAILS, WORKS), 0), ((FAILS, FAILS), 1)]
)
def test_what_one_cannot_the_next_one_is_asked_to(*, commands, status, monkeypatch, capfd):
    programs = [Installer(f"program {place}", command, {}) for place, command in enumerate(commands)]
    monkeypatch.setattr(packages, "installers", lambda *_: iter(programs))
    asked = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda words, **more: asked.append(words) or run(words, **more))
    assert packages.main(Path("python"), "attrs") == status
    assert [words[-2:] for words in asked] == [("--quiet", "attrs")] * (1 if commands[0] == WORKS else 2)
    assert ("program 0 could not install attrs" in capfd.readouterr().err) == (commands[0] == FAILS)
