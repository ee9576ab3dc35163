"""Numbers for people, as the status page writes them: aligned, with units, no more digits than are read."""

import math
from collections.abc import Sequence

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_FEW = 100
_BARS = "▁▂▃▄▅▆▇█"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(value: float) -> str:
    """Bytes, as in ``1.5 GiB``."""
    unit = 0
    while value >= _STEP and unit < len(_SIZES) - 1:
        value /= _STEP
        unit += 1
    return f"{value:.{1 if unit and value < _FEW else 0}f} {_SIZES[unit]}"


def rate(value: float) -> str:
    """Bytes per second."""
    return f"{size(value)}/s"


def duration(seconds: float) -> str:
    """A time span in two units at most."""
    whole = max(0, math.floor(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def bar(share: float, width: int, promised: float = 0.0) -> tuple[str, str, str]:
    """A gauge of so many characters in three parts, told apart without colour too: taken, promised, free."""
    full = round(width * min(1.0, max(0.0, share)))
    more = max(0, round(width * min(1.0, max(0.0, promised))) - full)
    return "━" * full, "╍" * more, "┄" * (width - full - more)


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest values that fit, as bars beside each other."""
    shown = values[-width:]
    most = max(shown, default=0.0)
    if most <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[round((len(_BARS) - 1) * value / most)] for value in shown)


def shortened(text: str, width: int) -> str:
    """At most so many characters; what was left out is shown by dots. No control character stays."""
    # A client chose it: an escape sequence would be the terminal's to obey.
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
