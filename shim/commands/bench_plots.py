"""The plots of ``bench``'s page, as SVG that stands in the page: values in, markup out.

Drawn 400 units wide, the width of a phone, so that text stays readable there. Colours are classes (``t0``,
``t1``), which the page gives a value for light and for dark; shapes differ too, for who sees no colours.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH = 400
_LEFT, _RIGHT = 12, 388
_ROW = 34
_AXIS = 26
_HEIGHT = 200
_TICKS = 4
_MOST_TICKS = 6
"""Of a logarithmic axis: texts must not run into each other."""
_CLOSE = (0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
_POWERS = tuple(2.0**power for power in range(-10, 11))
"""Where a ratio's axis is marked: of ratios within a factor of two, and of others."""
_NARROWEST = 1.25
"""A logarithmic axis reaches at least so far: a difference of a percent is not to look large."""


@dataclass(frozen=True, slots=True)
class Row:
    """Values of one thing.

    Attributes:
        label: In the reader's words.
        series: Which colour and shape: the target's number.
        values: In the order of time.
        told: The figure at the end of the label.
    """

    label: str
    series: int
    values: Sequence[float]
    told: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places between the plot's left and right edge."""

    low: float
    high: float
    transform: Callable[[float], float]

    def place(self, value: float) -> float:
        """Where a value stands."""
        begin, end = self.transform(self.low), self.transform(self.high)
        share = (self.transform(value) - begin) / (end - begin) if end > begin else 0.5
        return _LEFT + share * (_RIGHT - _LEFT)


def dots(title: str, rows: Sequence[Row], tell: Callable[[float], str]) -> str:
    """A dot for each round and a line at the median, from 0 on."""
    largest = max((value for row in rows for value in row.values), default=0.0) or 1.0
    step = _nice(largest / _TICKS)
    scale = Scale(0.0, step * math.ceil(largest / step), lambda value: value)
    ticks = [step * number for number in range(round(scale.high / step) + 1)]
    return _strips(title, rows, scale, [(tick, tell(tick) if tick else "0") for tick in ticks], origin=None)


def ratios(title: str, rows: Sequence[Row]) -> str:
    """The same on a logarithmic axis around 1."""
    values = [value for row in rows for value in row.values if value > 0]
    reach = max([_NARROWEST, *(max(value, 1 / value) for value in values)]) * 1.05
    scale = Scale(1 / reach, reach, math.log)
    known = _POWERS if reach > _CLOSE[-1] else _CLOSE
    shown = [tick for tick in known if scale.low <= tick <= scale.high]
    # Counted from 1, which is the one that must not be left out.
    stride, middle = math.ceil(len(shown) / _MOST_TICKS), shown.index(1.0)
    ticks = [(tick, f"{tick:.3g}") for tick in shown[middle % stride :: stride]]
    kept = [
        Row(row.label, row.series, [value for value in row.values if value > 0], row.told) for row in rows
    ]
    return _strips(title, kept, scale, ticks, origin=1.0)


def curves(title: str, rows: Sequence[Row], tell: Callable[[float], str]) -> str:
    """How large a part of the values is at most so large: a curve for each row, on a logarithmic axis."""
    values = [value for row in rows for value in row.values if value > 0]
    low, high = min(values, default=0.1), max(values, default=1.0)
    scale = Scale(low / 1.1, high * 1.1, math.log)
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    known = sorted(digit * 10.0**power for power in powers for digit in (1, 2, 5))
    ticks = _thinned([(tick, tell(tick)) for tick in known if scale.low <= tick <= scale.high])
    parts = [_grid(scale, ticks, 10, _HEIGHT)]
    for part in (0, 0.5, 0.9, 1):
        height = _level(part)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT}" y="{height - 3:.1f}">{part:.0%}</text>')
    parts += [_curve(row, scale) for row in rows if row.values]
    return _svg(title, _HEIGHT + _AXIS, parts)


def _curve(row: Row, scale: Scale) -> str:
    ordered = sorted(value for value in row.values if value > 0)
    # A step for each value; thousands of them would only make the page heavy.
    stride = max(1, len(ordered) // 300)
    kept = [*range(0, len(ordered), stride), len(ordered) - 1] if ordered else []
    points = [(scale.place(ordered[index]), _level((index + 1) / len(ordered))) for index in kept]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="curve t{row.series}" points="{path}"/>'


def _level(part: float) -> float:
    return _HEIGHT - part * (_HEIGHT - 24)


def _strips(
    title: str, rows: Sequence[Row], scale: Scale, ticks: list[tuple[float, str]], origin: float | None
) -> str:
    bottom = 6 + _ROW * len(rows)
    parts = [_grid(scale, ticks, 6, bottom)]
    if origin is not None:
        place = scale.place(origin)
        parts.append(f'<line class="origin" x1="{place:.1f}" x2="{place:.1f}" y1="6" y2="{bottom}"/>')
    for number, row in enumerate(rows):
        parts.append(_strip(row, scale, 6 + _ROW * number))
    return _svg(title, bottom + _AXIS, parts)


def _strip(row: Row, scale: Scale, top: float) -> str:
    middle = top + 24
    label = f'<text class="label" x="{_LEFT}" y="{top + 12}">{html.escape(row.label)}</text>'
    told = f'<text class="figure" x="{_RIGHT}" y="{top + 12}">{html.escape(row.told)}</text>'
    if not row.values:
        return label + told
    places = [scale.place(value) for value in row.values]
    ends = f'x1="{min(places):.1f}" x2="{max(places):.1f}" y1="{middle}" y2="{middle}"'
    line = f'<line class="range t{row.series}" {ends}/>'
    return label + told + line + "".join(_mark(place, middle, row.series) for place in places)


def _mark(x: float, y: float, series: int) -> str:
    if series == 0:
        return f'<circle class="mark t0" cx="{x:.1f}" cy="{y}" r="4"/>'
    return f'<rect class="mark t{series}" x="{x - 3.5:.1f}" y="{y - 3.5}" width="7" height="7"/>'


def _grid(scale: Scale, ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> str:
    parts = []
    for value, text in ticks:
        place = scale.place(value)
        # At the edges text would stand out of the picture.
        anchor = "start" if place < _LEFT + 20 else "end" if place > _RIGHT - 20 else "middle"
        parts.append(f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{bottom + 4}"/>')
        where = f'x="{place:.1f}" y="{bottom + 18}" text-anchor="{anchor}"'
        parts.append(f'<text class="tick" {where}>{html.escape(text)}</text>')
    return "".join(parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10 … times a power of two: sizes have binary units."""
    power = 2.0 ** math.floor(math.log2(step))
    return power if power >= step else 2 * power


def _thinned(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """So few that their texts do not run into each other."""
    stride = math.ceil(len(ticks) / _MOST_TICKS)
    return ticks[::stride] if stride else ticks
