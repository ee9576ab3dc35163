"""In which order participants are measured: rotated between repetitions, and every other one reversed.

Whoever is always first pays for fresh pages, whoever is always last for the writeback of all others; taken in
turns, both fall on everyone alike.
"""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def order(items: Sequence[Item], repetition: int) -> list[Item]:
    """The order of a repetition, counted from 0: rotated by one every second time, reversed in between.

    Within ``2 * len(items)`` repetitions everybody has had every place twice.
    """
    if not items:
        return []
    start = (repetition // 2) % len(items)
    turned = [*items[start:], *items[:start]]
    return turned[::-1] if repetition % 2 else turned
