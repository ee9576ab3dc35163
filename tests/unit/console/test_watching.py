"""What keys do to the view: a table of what is pressed and what comes of it."""

from shim.console.watching import Cancel, Mode, Order, Quit, Speeds, Watching
from tests.support.series import series


def upload(key, **given):
    told = {
        "key": key,
        "id": f"req-{key}",
        "method": "PUT",
        "path": f"/v2/images/{key}/file",
        "project": "p",
        "image": "",
        "bytes": 0,
        "length": None,
        "rate": 0.0,
        "phase": "receive",
        "age": 1.0,
    }
    return told | given


OLD = upload("1-1", age=9.0, bytes=10, project="b", phase="wait")
YOUNG = upload("2-1", age=2.0, bytes=30, project="c", phase="queue")
MIDDLE = upload("1-2", age=5.0, bytes=20, project="a", rate=7.0)


def watching(*keys):
    seen = Watching()
    seen.tell({"at": 100.0, "received": 60, "uploads": [YOUNG, OLD, MIDDLE]})
    return seen, [seen.press(key) for key in keys]


def keys_shown(seen):
    return [one["key"] for one in seen.shown()]


@series(
    ("keys", "order", "shown"),
    [
        ("", Order.AGE, ["1-1", "1-2", "2-1"]),
        ("r", Order.AGE, ["2-1", "1-2", "1-1"]),
        ("s", Order.RATE, ["1-2", "2-1", "1-1"]),
        ("ss", Order.BYTES, ["2-1", "1-2", "1-1"]),
        ("sss", Order.PHASE, ["1-1", "1-2", "2-1"]),
        ("ssssr", Order.PROJECT, ["1-2", "1-1", "2-1"]),
        ("sssss", Order.AGE, ["1-1", "1-2", "2-1"]),
    ],
)
def test_sorting(keys, order, shown):
    seen, _ = watching(*keys)
    assert (seen.order, keys_shown(seen)) == (order, shown)


def test_filtering():
    seen, wishes = watching(*"/IMAGES", " ", *"1-", "x", "backspace", "enter")
    assert (seen.mode, seen.words, keys_shown(seen)) == (Mode.LOOKING, "IMAGES 1-", ["1-1", "1-2"])
    assert wishes == [None] * len(wishes), "while one types, no letter is a command"
    seen.press("/")
    seen.press("q")
    seen.press("escape")
    assert (seen.mode, seen.words, len(keys_shown(seen))) == (Mode.LOOKING, "", 3)


@series(
    ("keys", "chosen"),
    [
        (["down"], "1-2"),
        (["j", "j"], "2-1"),
        (["j", "j", "j"], "2-1"),
        (["j", "j", "k"], "1-2"),
        (["up"], "1-1"),
    ],
)
def test_choosing(keys, chosen):
    seen, _ = watching(*keys)
    assert seen.chosen == chosen


def test_the_cursor_stays_on_its_upload():
    seen, _ = watching("down")
    seen.press("r")
    assert keys_shown(seen)[seen.cursor()] == "1-2"
    seen.tell({"at": 101.0, "received": 60, "uploads": [OLD]})
    assert seen.cursor() == 0


def test_cancelling_is_confirmed():
    seen, wishes = watching("down", "c")
    assert (seen.mode, wishes[-1]) == (Mode.CONFIRMING, None)
    assert seen.press("y") == Cancel("1-2")
    assert seen.mode is Mode.LOOKING


@series("key", ["n", "enter", "escape", "q", " ", "down"])
def test_any_other_key_is_a_no(key):
    seen, _ = watching("c")
    assert seen.press(key) is None
    assert (seen.mode, seen.note) == (Mode.LOOKING, "Nothing was cancelled.")


def test_what_was_confirmed_is_what_was_shown():
    """The upload under the cursor may end between question and answer: then no other one is cancelled."""
    seen, _ = watching("c")
    seen.tell({"at": 101.0, "received": 60, "uploads": [YOUNG]})
    assert seen.press("y") == Cancel("1-1")


def test_nothing_to_cancel():
    seen = Watching()
    assert seen.press("c") is None
    assert (seen.mode, seen.note) == (Mode.LOOKING, "There is no upload to cancel.")


def test_quitting_and_pausing():
    seen, wishes = watching("q", "escape", "p", "x")
    assert [isinstance(wish, Quit) for wish in wishes] == [True, True, False, False]
    assert seen.is_paused
    seen.press(" ")
    assert not seen.is_paused


def test_speeds():
    speeds = Speeds()
    assert speeds.of("a") is None
    for second in range(20):
        speeds.tell(second, {"a": 100 * min(second, 10), "b": second})
    assert (speeds.of("a"), speeds.of("b")) == (0, 1)
    # A shim that was restarted counts from 0 again.
    speeds.tell(21, {"a": 5})
    assert (speeds.of("a"), speeds.of("b")) == (None, None)
    speeds.tell(22, {"a": 8})
    assert speeds.of("a") == 3
