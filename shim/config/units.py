"""Sizes, durations, rates, shares and counts, as operators write them and as the shim computes with them.

Pure functions from a TOML value (or the same as text) to a number and back; the option types in
``kinds.py`` are put together from them. Units are exact: ``"0.1KiB"`` is not a whole number of bytes.
"""

import decimal
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from shim.timing import UNLIMITED, Seconds

_UNLIMITED_TEXT = "unlimited"
_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(\D*)", re.ASCII)
# Long enough for every float and every size; a quotient that needs more digits is not finite in decimal.
_EXACT = decimal.Context(prec=120, traps=[decimal.Inexact])


@dataclass(frozen=True, slots=True)
class Measure:
    """A kind of quantity: how it is called, and its units as multiples of the one computed with.

    Attributes:
        noun: For messages, with its article.
        example: For messages, as it would stand in TOML.
        units: Name to factor, smallest first; a number without a unit has the factor 1.
    """

    noun: str
    example: str
    units: Mapping[str, Fraction]

    def parse(self, value: object) -> Fraction:
        """The exact amount that a number, or a number with a unit, means.

        Raises:
            ValueError: It means none; the message is for the operator.
        """
        if isinstance(value, str):
            return self._parse_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r}: not {self.noun}; write it as in {self.example}")
        if value < 0:
            raise ValueError(f"{value!r}: must not be negative")
        # By its digits, not its binary value: 0.1 in a file means the same as "0.1s".
        return _as_written(value)

    def _parse_text(self, text: str) -> Fraction:
        if text == _UNLIMITED_TEXT:
            raise ValueError(f"'unlimited' is not possible here; write {self.noun}, as in {self.example}")
        match = _NUMBER_AND_UNIT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r}: not {self.noun}; write it as in {self.example}")
        number, unit = match.groups()
        if unit and unit not in self.units:
            raise ValueError(f"{text!r}: unknown unit {unit!r}; use {either(self.units)}")
        return Fraction(number) * self.units.get(unit, Fraction(1))

    def format(self, amount: Fraction) -> str:
        """The text with the shortest number that parses back to exactly ``amount``."""
        texts = [
            (number, unit)
            for unit, factor in self.units.items()
            if (number := _in_decimal(amount / factor)) is not None
        ]
        # Of numbers equally short, "0.5s" reads better than "500ms", and "0s" than "0ms".
        number, unit = min(texts, key=lambda text: (len(text[0]), len(text[1])))
        return number + unit


# No kB, MB, GB: half of their readers would take them for powers of 1024.
_BINARY = {name: Fraction(1024**power) for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))}

SIZE = Measure("a size", '"64KiB"', _BINARY)
RATE = Measure("a rate", '"64KiB/s"', {f"{name}/s": factor for name, factor in _BINARY.items()})
DURATION = Measure(
    "a duration",
    '"90s"',
    {
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
        "d": Fraction(86400),
    },
)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a file system, in percent of its size."""

    percent: float

    def of(self, total: int) -> int:
        """The share of ``total`` bytes, rounded down to whole bytes."""
        return int(total * _as_written(self.percent) / 100)


# What parsers return for 0, in whatever unit it was written.
_NOTHING = (0, Share(0))


# -- reading --------------------------------------------------------------------------------------


def parse_size(value: object) -> int:
    """Bytes: a number, or text as ``"64KiB"``.

    Raises:
        ValueError: Not a size, an unknown unit, or no whole number of bytes.
    """
    return _whole(SIZE.parse(value), value, "bytes")


def parse_rate(value: object) -> int:
    """Bytes per second: a number, or text as ``"1KiB/s"``.

    Raises:
        ValueError: Not a rate, an unknown unit, or no whole number of bytes per second.
    """
    return _whole(RATE.parse(value), value, "bytes per second")


def parse_duration(value: object) -> Seconds:
    """Seconds: a number, or text as ``"1500ms"`` or ``"6h"``.

    Raises:
        ValueError: Not a duration, or an unknown unit.
    """
    try:
        return float(DURATION.parse(value))
    except OverflowError:
        raise ValueError('longer than any clock counts; write "unlimited" where there is no end') from None


def parse_size_or_share(value: object) -> int | Share:
    """Bytes, or a share of the file system as ``"80%"``.

    Raises:
        ValueError: Neither of them, or more than 100%.
    """
    if not isinstance(value, str) or not value.rstrip().endswith("%"):
        return parse_size(value)
    try:
        percent = Measure("a share", '"80%"', {"%": Fraction(1)}).parse(value)
    except ValueError:
        raise ValueError(f'{value!r}: not a share; write it as in "80%"') from None
    if percent > 100:  # noqa: PLR2004 - the whole
        raise ValueError(f"{value!r}: more than the whole file system; use 0% to 100%")
    return Share(float(percent))


def parse_count(value: object) -> int:
    """A whole number from 0 on, or the same as text.

    Raises:
        ValueError: Anything else.
    """
    # isdigit() alone takes digits of other scripts, which nobody means in a configuration.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    # true is an int to Python, and a mistake here.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r}: not a count; write a whole number")
    return value


def above_zero(parse: Callable[[object], float | Share]) -> Callable[[object], float | Share]:
    """``parse``, with nothing as a fault: for waits and the like that cannot be left out."""

    def parse_above_zero(value: object) -> float | Share:
        amount = parse(value)
        if amount in _NOTHING:
            raise ValueError(f"{value!r}: must be more than 0")
        return amount

    return parse_above_zero


def limit(parse: Callable[[object], float | Share]) -> Callable[[object], float | Share]:
    """``parse``, with ``"unlimited"`` as ``UNLIMITED``, and with 0 as a fault.

    Elsewhere 0 often means "no limit"; whoever writes it is told, and gets neither meaning silently.
    """

    def parse_limit(value: object) -> float | Share:
        if value == _UNLIMITED_TEXT:
            return UNLIMITED
        amount = parse(value)
        if amount in _NOTHING:
            raise ValueError(f'{value!r}: must be more than 0; for no limit write "unlimited"')
        return amount

    return parse_limit


def either(names: Iterable[str]) -> str:
    """``names`` as a choice in a sentence: ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _whole(amount: Fraction, value: object, unit: str) -> int:
    if amount.denominator != 1:
        raise ValueError(f"{value!r}: not a whole number of {unit}")
    return int(amount)


# -- writing --------------------------------------------------------------------------------------


def format_size(size: float | Share) -> str:
    """The shortest text that parses back to the same bytes (or share, or ``UNLIMITED``)."""
    if isinstance(size, Share):
        return f"{_in_decimal(_as_written(size.percent))}%"
    return _format(SIZE, size)


def format_rate(rate: float) -> str:
    """The shortest text that parses back to the same bytes per second."""
    return _format(RATE, rate)


def format_duration(seconds: Seconds) -> str:
    """The shortest text that parses back to the same seconds (or ``UNLIMITED``)."""
    return _format(DURATION, seconds)


def format_count(count: float) -> int | str:
    """The number itself, as TOML writes it, or ``"unlimited"``."""
    return _UNLIMITED_TEXT if count == UNLIMITED else int(count)


def _format(measure: Measure, amount: float) -> str:
    return _UNLIMITED_TEXT if amount == UNLIMITED else measure.format(_as_written(amount))


def _as_written(number: float) -> Fraction:
    # repr() gives the shortest digits that make this float; its exact binary value has up to 1074.
    return Fraction(repr(number))


def _in_decimal(number: Fraction) -> str | None:
    """All digits of ``number``, or None where they have no end."""
    try:
        digits = _EXACT.divide(decimal.Decimal(number.numerator), decimal.Decimal(number.denominator))
    except decimal.Inexact:
        return None
    return f"{digits.normalize(_EXACT):f}"
