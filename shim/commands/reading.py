"""Values read from texts of a command line, with the option named where one means nothing.

For commands with many options of their own; those with a configuration have its faults told by ``config``.
"""

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class Unusable(Exception):
    """What was written means nothing; the text is for the person."""


def read_value(option: str, parse: Callable[[str], Value], text: str) -> Value:
    """The value of an option (an argument has no name: ``""``).

    Raises:
        Unusable: ``parse`` makes nothing of it, by a ValueError with the reason.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise Unusable(f"{option} {error}".strip()) from None
