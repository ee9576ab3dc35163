"""Keys by name, from what a terminal sends."""

from shim.console.terminal import keys_of
from tests.support.series import series


@series(
    ("data", "keys"),
    [
        ("", []),
        ("q", ["q"]),
        ("ab\r", ["a", "b", "enter"]),
        ("\x1b[A\x1b[Bj", ["up", "down", "j"]),
        ("\x1bOA", ["up"]),
        ("\x1b", ["escape"]),
        ("\x7f\x08", ["backspace", "backspace"]),
        ("\x03", ["q"]),
        ("ü", ["ü"]),
        # A mouse or a paste in brackets: nothing of it may be taken for "cancel" and "yes".
        ("\x1b[200~cy\x1b[201~", []),
        ("s\x1b[M cy", ["s"]),
    ],
)
def test_keys(data, keys):
    assert keys_of(data) == keys
