"""Who is believed, who may read a secret, whose the state directory is."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from shim.config.load import load
from shim.doctor.edges import inspect_secrets, inspect_state, inspect_trust, inspect_user
from shim.findings import Level
from tests.fakes.loaded import loaded


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        (['server.trusted_proxies=["0.0.0.0/0"]'], [Level.WARNING]),
        (['server.trusted_proxies=["::/0", "10.0.0.0/8", "2001:db8::/32"]'], [Level.WARNING]),
        (['server.trusted_proxies=["10.0.0.0/8"]'], []),
        ([], [Level.NOTE]),
        (['server.listen=["unix:/run/x.sock"]'], [Level.NOTE]),
        (['server.listen=["127.0.0.1:1", "0.0.0.0:1"]'], []),
        (['server.listen=["fd:3"]'], []),
        (['server.listen=["unix:/run/x.sock"]', 'server.trusted_proxies=["unix"]'], []),
    ],
)
def test_trust(settings, levels):
    assert [finding.level for finding in inspect_trust(loaded(*settings).settings)] == levels


TOKEN = '[admin]\ntoken = "a-token-of-some-length"\n'


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [(TOKEN, 0o644, True), (TOKEN, 0o640, False), ("[admin]\n", 0o644, False)],
)
def test_a_secret_in_a_file(tmp_path, text, mode, told):
    file = tmp_path / "shim.toml"
    file.write_text(text)
    file.chmod(mode)
    found = list(inspect_secrets(load(file, environment={}), file))
    assert [f"holds admin.token, and others may read it (mode {mode:04o})" in f.text for f in found] == (
        [True] if told else []
    )


@pytest.mark.parametrize(("url", "told"), [("redis://:word@host", True), ("redis://host", False)])
def test_the_password_of_the_shared_server(tmp_path, url, told):
    file = tmp_path / "shim.toml"
    file.write_text(f'limits.shared = "{url}"\n')
    file.chmod(0o644)
    assert bool(list(inspect_secrets(load(file, environment={}), file))) is told


def test_root_says_whose_the_state_directory_is(tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    owner = SimpleNamespace(st_uid=1234, st_mode=state.stat().st_mode)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "stat", lambda _path, **_options: owner)
    finding = inspect_state(state)
    assert (finding.level, "uid 1234" in finding.text) == (Level.NOTE, True)


def test_a_secret_from_elsewhere():
    assert list(inspect_secrets(loaded("admin.token=a-token-of-some-length"), None)) == []


def test_the_state_directory_is_looked_at_and_never_made(tmp_path):
    state = tmp_path / "state"
    assert inspect_state(state).level is Level.FINE
    assert not state.exists()
    assert inspect_state(state / "deeper").level is Level.FAULT
    state.mkdir(mode=0o700)
    assert inspect_state(state).level is Level.FINE
    state.chmod(0o770)
    assert "others may write to it" in inspect_state(state).text


def test_root_is_told_that_root_is_no_measure():
    assert [finding.level for finding in inspect_user(0)] == [Level.NOTE]
    assert not list(inspect_user(1000))
