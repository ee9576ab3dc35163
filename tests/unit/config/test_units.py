"""Quantities as text and as numbers: each unit, each mistake, and the shortest way to write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.config import units
from shim.config.units import Share
from shim.timing import UNLIMITED
from tests.support.series import series

SIZES = [
    (0, 0),
    (4096, 4096),
    (2.0, 2),
    ("4096", 4096),
    ("0", 0),
    ("7B", 7),
    ("64KiB", 65536),
    (" 64 KiB ", 65536),
    ("1.5KiB", 1536),
    ("0.5MiB", 524288),
    ("10GiB", 10 * 1024**3),
    ("1TiB", 1024**4),
]

DURATIONS = [
    (0, 0.0),
    (90, 90.0),
    (0.25, 0.25),
    ("90", 90.0),
    ("1500ms", 1.5),
    ("0.1s", 0.1),
    ("90s", 90.0),
    ("10min", 600.0),
    ("1.5h", 5400.0),
    ("6h", 21600.0),
    ("1d", 86400.0),
]

RATES = [(1024, 1024), ("1024", 1024), ("1KiB/s", 1024), ("0.5MiB/s", 524288), ("9B/s", 9)]

COUNTS = [(0, 0), (10000, 10000), ("10000", 10000), ("007", 7)]

SHARES = [("80%", Share(80)), ("0.5 %", Share(0.5)), ("0%", Share(0)), ("100%", Share(100)), ("1KiB", 1024)]

REFUSED = [
    (units.parse_size, "10GB", "'10GB': unknown unit 'GB'; use B, KiB, MiB, GiB or TiB"),
    (units.parse_size, "10gib", "'10gib': unknown unit 'gib'; use B, KiB, MiB, GiB or TiB"),
    (units.parse_size, "1KiB/s", "'1KiB/s': unknown unit 'KiB/s'; use B, KiB, MiB, GiB or TiB"),
    (units.parse_size, "80%", "'80%': unknown unit '%'; use B, KiB, MiB, GiB or TiB"),
    (units.parse_size, "", "'': not a size; write it as in \"64KiB\""),
    (units.parse_size, "much", "'much': not a size; write it as in \"64KiB\""),
    (units.parse_size, "1e3", "'1e3': not a size; write it as in \"64KiB\""),
    (units.parse_size, "-1B", "'-1B': not a size; write it as in \"64KiB\""),
    (units.parse_size, "\u0661B", "'\u0661B': not a size; write it as in \"64KiB\""),
    (units.parse_size, -1, "-1: must not be negative"),
    (units.parse_size, 0.5, "0.5: not a whole number of bytes"),
    (units.parse_size, "0.1KiB", "'0.1KiB': not a whole number of bytes"),
    (units.parse_size, True, 'True: not a size; write it as in "64KiB"'),
    (units.parse_size, UNLIMITED, 'inf: not a size; write it as in "64KiB"'),
    (units.parse_size, [1], '[1]: not a size; write it as in "64KiB"'),
    (units.parse_size, "unlimited", "'unlimited' is not possible here; write a size, as in \"64KiB\""),
    (units.parse_rate, "1KiB", "'1KiB': unknown unit 'KiB'; use B/s, KiB/s, MiB/s, GiB/s or TiB/s"),
    (units.parse_rate, "0.1B/s", "'0.1B/s': not a whole number of bytes per second"),
    (units.parse_duration, "3m", "'3m': unknown unit 'm'; use ms, s, min, h or d"),
    (units.parse_duration, float("nan"), 'nan: not a duration; write it as in "90s"'),
    (units.parse_duration, -0.5, "-0.5: must not be negative"),
    (
        units.parse_duration,
        400 * "9",
        'longer than any clock counts; write "unlimited" where there is no end',
    ),
    (units.parse_size_or_share, "101%", "'101%': more than the whole file system; use 0% to 100%"),
    (units.parse_size_or_share, "x%", "'x%': not a share; write it as in \"80%\""),
    (units.parse_size_or_share, "-5%", "'-5%': not a share; write it as in \"80%\""),
    (units.parse_size_or_share, "10GB", "'10GB': unknown unit 'GB'; use B, KiB, MiB, GiB or TiB"),
    (units.parse_count, -1, "-1: not a count; write a whole number"),
    (units.parse_count, 1.0, "1.0: not a count; write a whole number"),
    (units.parse_count, True, "True: not a count; write a whole number"),
    (units.parse_count, "\u0661", "'\u0661': not a count; write a whole number"),
    (units.limit(units.parse_size), "0B", "'0B': must be more than 0; for no limit write \"unlimited\""),
    (units.limit(units.parse_size), "Unlimited", "'Unlimited': not a size; write it as in \"64KiB\""),
    (
        units.limit(units.parse_size_or_share),
        "0%",
        "'0%': must be more than 0; for no limit write \"unlimited\"",
    ),
    (units.above_zero(units.parse_duration), "0ms", "'0ms': must be more than 0"),
    (
        units.above_zero(units.parse_duration),
        "unlimited",
        "'unlimited' is not possible here; write a duration, as in \"90s\"",
    ),
]

SHORTEST = [
    (units.format_size, 0, "0B"),
    (units.format_size, 1000, "1000B"),
    (units.format_size, 1024, "1KiB"),
    (units.format_size, 1536, "1.5KiB"),
    (units.format_size, 1100, "1100B"),
    (units.format_size, 10 * 1024**3, "10GiB"),
    (units.format_size, 2048 * 1024**4, "2048TiB"),
    (units.format_size, Share(80), "80%"),
    (units.format_size, Share(0.1), "0.1%"),
    (units.format_size, UNLIMITED, "unlimited"),
    (units.format_rate, 1024, "1KiB/s"),
    (units.format_rate, 0, "0B/s"),
    (units.format_duration, 0.0, "0s"),
    (units.format_duration, 1.5, "1.5s"),
    (units.format_duration, 0.5, "0.5s"),
    (units.format_duration, 0.001, "1ms"),
    (units.format_duration, 60.0, "1min"),
    (units.format_duration, 90.0, "90s"),
    (units.format_duration, 600.0, "10min"),
    (units.format_duration, 21600.0, "6h"),
    (units.format_duration, UNLIMITED, "unlimited"),
    (units.format_count, 10000, 10000),
    (units.format_count, UNLIMITED, "unlimited"),
]


@series(
    ("parse", "value", "expected"),
    [(units.parse_size, *case) for case in SIZES]
    + [(units.parse_duration, *case) for case in DURATIONS]
    + [(units.parse_rate, *case) for case in RATES]
    + [(units.parse_count, *case) for case in COUNTS]
    + [(units.parse_size_or_share, *case) for case in SHARES],
)
def test_read(parse, value, expected):
    read = parse(value)
    assert read == expected
    assert type(read) is type(expected)


@series(("parse", "value", "message"), REFUSED)
def test_refused_with_what_to_write(parse, value, message):
    with pytest.raises(ValueError) as fault:
        parse(value)
    assert str(fault.value) == message


@series(("write", "value", "text"), SHORTEST)
def test_written_in_the_shortest_form(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize("parse", [units.parse_size, units.parse_duration, units.parse_count])
def test_a_limit_may_be_unlimited(parse):
    assert units.limit(parse)("unlimited") == UNLIMITED
    assert units.limit(parse)("1") == 1


def test_a_share_is_exact():
    # As binary fractions 0.3% of 1000 would be 2.99...
    assert Share(0.3).of(1000) == 3
    assert Share(5).of(10**18 + 19) == (10**18 + 19) // 20


@given(st.integers(0, 2**80))
def test_sizes_and_rates_there_and_back(size):
    assert units.parse_size(units.format_size(size)) == size
    assert units.parse_rate(units.format_rate(size)) == size


@given(st.floats(0, 1e300))
def test_durations_there_and_back(seconds):
    assert units.parse_duration(units.format_duration(seconds)) == seconds
    assert units.parse_duration(seconds) == seconds


@given(st.floats(0, 100))
def test_shares_there_and_back(percent):
    assert units.parse_size_or_share(units.format_size(Share(percent))) == Share(percent)


@given(st.integers(1, 2**60))
def test_no_unit_would_be_shorter(size):
    number = units.format_size(size).rstrip("BKMGTi")
    for factor in (1, 1024, 1024**2, 1024**3, 1024**4):
        if size % factor == 0:
            assert len(number) <= len(str(size // factor))


@given(st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none())
def test_nothing_but_value_errors(value):
    for parse in (units.parse_size, units.parse_duration, units.parse_size_or_share, units.parse_count):
        try:
            assert units.limit(parse)(value) is not None
        except ValueError as fault:
            assert str(fault)  # noqa: PT017 - that it has a text is all that can be said of any value
