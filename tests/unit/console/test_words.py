"""Numbers for people, and names that a terminal must not obey."""

from shim.console.words import bar, duration, rate, shortened, size, sparkline
from tests.support.series import series

MIB = 1 << 20


@series(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (100 * 1024, "100 KiB"), (2**50, "1024 TiB")],
)
def test_sizes(value, text):
    assert size(value) == text
    assert rate(value) == f"{text}/s"


@series(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (61, "1 min 01 s"), (7262, "2 h 01 min"), (90000, "1 d 1 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@series(
    ("share", "promised", "text"),
    [
        (0, 0, "┄┄┄┄"),
        (0.5, 0, "━━┄┄"),
        (0.5, 0.75, "━━╍┄"),
        (1, 1, "━━━━"),
        (7, 9, "━━━━"),
        (0.5, 0.1, "━━┄┄"),
    ],
)
def test_bars(share, promised, text):
    assert "".join(bar(share, 4, promised)) == text


@series(("values", "text"), [([], ""), ([0, 0], "▁▁"), ([0, 5, 10], "▁▅█"), ([9, 1, 2, 4], "▃▅█")])
def test_lines(values, text):
    assert sparkline(values, 3) == text


@series(
    ("text", "shown"),
    [
        ("short", "short"),
        ("rather long", "rather …"),
        ("\x1b[2J\x07\n", "�[2J��"),
        ("\u202eevil", "�evil"),
        ("\x9b31m", "�31m"),
    ],
)
def test_names_are_short_and_harmless(text, shown):
    assert shortened(text, 8) == shown
