"""Verdicts and their words; the parts that run Glance are tried by the demo itself."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from shim.demo import story
from shim.demo.client import ImageState, Upload
from shim.demo.story import Outcome, Stage, stay_up, tell_straight, tell_through
from shim.demo.terminal import Terminal
from tests.support.series import series

HASH = "f" * 128
WHOLE = ImageState("active", 16777216, "sha512", HASH)
QUEUED = ImageState("queued", None, None, None)


def outcome(state=WHOLE, downloaded=HASH, output="", status=0):
    return Outcome(Upload(["glance"], status, output, 1.5), state, HASH, downloaded)


@series(
    ("state", "downloaded", "active", "whole"),
    [
        (WHOLE, HASH, True, True),
        (WHOLE, "0" * 128, True, False),
        (WHOLE, None, True, False),
        (ImageState("active", 0, "sha512", "0" * 128), "0" * 128, True, False),
        (ImageState("active", 16777216, "sha256", HASH), HASH, True, False),
        (ImageState("active", 16777216, None, None), HASH, True, False),
        (ImageState("saving", 16777216, "sha512", HASH), HASH, False, False),
        (QUEUED, None, False, False),
        (None, None, False, False),
    ],
)
def test_whole_is_active_and_the_same_bytes_three_times(state, downloaded, active, whole):
    found = outcome(state, downloaded)
    assert (found.is_active, found.is_whole) == (active, whole)


@pytest.fixture
def stage(tmp_path):
    log = tmp_path / "log"
    log.write_text("one\nlast words\n")
    server = SimpleNamespace(urls={"uwsgi-http-socket": "http://127.0.0.1:1"}, is_running=True, log=log)
    shim = SimpleNamespace(url="http://127.0.0.1:2", admin_url="http://127.0.0.1:3", is_running=True, log=log)
    environment = SimpleNamespace(program=lambda name: Path("/venv/bin") / name)
    return Stage(environment, tmp_path, tmp_path / "image.raw", HASH, server, shim)


def told(monkeypatch, tell, stage, found):
    monkeypatch.setattr(story, "_upload", lambda *_arguments: found)
    stream = io.StringIO()
    result = tell(stage, Terminal(stream))
    return result, stream.getvalue()


@pytest.mark.parametrize(
    ("found", "present", "absent"),
    [
        (
            outcome(QUEUED, None, "HTTP 500 Internal", 1),
            ["It failed", '"queued"', "chunked_read"],
            ["It worked"],
        ),
        (outcome(None, None, "Connection reset", 1), ["It failed", "no such image"], ["chunked_read"]),
        (outcome(), ["It worked", "not expected"], ["It failed"]),
    ],
)
def test_the_straight_upload_is_told_as_it_went(monkeypatch, stage, found, present, absent):
    _, text = told(monkeypatch, tell_straight, stage, found)
    assert all(words in text for words in present)
    assert not any(words in text for words in absent)


def test_the_upload_through_the_shim_is_compared(monkeypatch, stage):
    result, text = told(monkeypatch, tell_through, stage, outcome())
    assert result is True
    assert "It worked, in 1.5 s" in text
    assert text.count(HASH[:32]) == 3


def test_a_failure_through_the_shim_shows_its_log(monkeypatch, stage):
    result, text = told(monkeypatch, tell_through, stage, outcome(QUEUED, None, status=1))
    assert result is False
    assert "It failed" in text
    assert "last words" in text


@pytest.mark.parametrize(("once", "whole", "status"), [(True, True, 0), (True, False, 1), (False, False, 1)])
def test_the_status_is_the_verdict(monkeypatch, stage, once, whole, status):
    monkeypatch.setattr(story, "set_stage", lambda *_arguments: stage)
    monkeypatch.setattr(story, "tell_straight", lambda *_arguments: None)
    monkeypatch.setattr(story, "tell_through", lambda *_arguments: whole)
    assert story.tell_story(Terminal(io.StringIO()), once=once) == status


def interrupt(_seconds):
    raise KeyboardInterrupt


def test_it_stays_up_until_it_is_interrupted(monkeypatch, stage):
    monkeypatch.setattr(story.time, "sleep", interrupt)
    stream = io.StringIO()
    assert stay_up(stage, Terminal(stream)) == 0
    assert "http://127.0.0.1:3/metrics" in stream.getvalue()
    assert "/venv/bin/glance --os-image-url http://127.0.0.1:2" in stream.getvalue()


@pytest.mark.parametrize("gone", ["server", "shim"])
def test_a_server_that_ends_meanwhile_is_told(stage, gone):
    getattr(stage, gone).is_running = False
    stream = io.StringIO()
    with contextlib.suppress(KeyboardInterrupt):
        assert stay_up(stage, Terminal(stream)) == 1
    assert f"{'uWSGI' if gone == 'server' else 'the shim'} has ended" in stream.getvalue()
    assert "last words" in stream.getvalue()
