"""The terminal view at several sizes, without colour, and over names that try to be more than names."""

from dataclasses import replace

from rich.console import Console

from shim.console.screen import _health, draw, draw_lost
from shim.console.watching import Watching
from tests.browser import scenes
from tests.browser.theatre import status_of
from tests.support.series import series


def shown(scene, width, height, *keys, **options):
    seen = Watching()
    for now in (0.0, 2.0):
        status = status_of(scene, now)
        seen.tell(status)
    for key in keys:
        seen.press(key)
    console = Console(width=width, height=height, color_system=None, **options)
    with console.capture() as capture:
        console.print(draw(status, seen, width, height))
    return capture.get()


@series("scene", [scenes.IDLE, scenes.BUSY, scenes.FULL, scenes.BROKEN])
@series(("width", "height"), [(40, 24), (80, 24), (120, 40), (200, 60)])
def test_it_fits(scene, width, height):
    lines = shown(scene, width, height).splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= max(height, 27), "what is wrong and three uploads are shown on any terminal"


def test_what_is_told():
    text = shown(scenes.BUSY, 120, 40)
    for part in (
        "● Busy",
        "9 uploads, 2 workers",
        "of 64.0 GiB, 49.0 GiB promised",
        "58.3 MiB/s",
        "3/8",
        "by age ↓",
    ):
        assert part in text
    assert "! The spool is full" in shown(scenes.FULL, 120, 40)
    assert "● down" in shown(scenes.BROKEN, 120, 40)
    assert "No upload is under way." in shown(scenes.IDLE, 80, 24)


@series(
    ("up", "state", "word"),
    [
        (True, "up", "up"),
        (True, "ejected", "ejected"),
        (False, "up", "down"),
        (False, "returning", "down"),
        (False, "draining", "draining"),
    ],
)
def test_a_servers_health_in_a_word(up, state, word):
    assert _health({"up": up, "state": state})[1] == word


def test_the_foot_says_what_is_asked():
    assert "Cancel 1-2? Its client is told." in shown(scenes.BUSY, 100, 30, "down", "c")
    assert "Filter: ab" in shown(scenes.BUSY, 100, 30, "/", "a", "b")
    assert "PAUSED" in shown(scenes.BUSY, 100, 30, "p")


def test_a_thousand_uploads_and_the_cursor_in_sight():
    many = replace(scenes.BUSY, uploads=scenes.many_uploads(1000))
    assert "more" in shown(many, 120, 40)
    keys = ["down"] * 100
    seen = shown(many, 120, 40, *keys, "c")
    chosen = seen.split("Cancel ")[1].split("?")[0]
    wanted = next(one for one in many.uploads(2.0) if one["key"] == chosen)
    assert str(wanted["image"])[:20] in seen


def test_names_are_text_and_nothing_else():
    evil = "[bold]\x1b]0;title\x07\x1b[2J\u202e"
    named = scenes.upload(1, 0, length=100, rate=1, age=1) | {
        "path": evil,
        "project": evil,
        "image": "",
        "method": evil,
    }
    scene = replace(scenes.BUSY, uploads=lambda _now: [named])
    text = shown(scene, 200, 40, force_terminal=True)
    assert "[bold]" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@series(
    ("reason", "told"),
    [
        ("it does not answer", "http://h:1: it does not answer"),
        ("http://h:1 does not answer", "http://h:1 does not answer"),
    ],
)
def test_a_shim_that_does_not_answer(reason, told):
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(draw_lost(reason, "http://h:1", 60))
    assert capture.get().splitlines()[:2] == ["glance-shim  ● No connection", told]
