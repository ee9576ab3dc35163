"""How the demo talks: headings, commands ready to be copied, verdicts; colours only on a terminal.

Nothing here knows what is told; ``story`` does.
"""

import os
import shlex
from collections.abc import Iterable, Sequence
from typing import TextIO

_WIDTH = 100
_INDENT = "  "

# SGR parameters (ECMA-48 section 8.3.117).
_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Terminal:
    """Writes to ``stream``, line by line, so that a person sees each step as it happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "", *, style: str = "") -> None:
        """One line as it is."""
        if style and self._coloured:
            text = f"\x1b[{style}m{text}\x1b[0m"
        print(text, file=self._stream, flush=True)

    def heading(self, text: str) -> None:
        """The title of a part, after an empty line."""
        self.line()
        self.line(text, style=_BOLD)
        self.line()

    def text(self, *lines: str) -> None:
        """Indented lines."""
        for line in lines:
            self.line(f"{_INDENT}{line}" if line else "")

    def command(self, arguments: Sequence[str]) -> None:
        """A command as a person would type it, broken where it is long."""
        for line in wrap_command(arguments):
            self.line(f"{_INDENT}{line}", style=_BOLD)

    def quote(self, lines: Iterable[str]) -> None:
        """What a program answered."""
        for line in lines:
            self.line(f"{_INDENT}| {line}", style=_DIM)

    def good(self, text: str) -> None:
        """A verdict: it worked."""
        self.line(f"{_INDENT}=> {text}", style=_GREEN)

    def bad(self, text: str) -> None:
        """A verdict: it failed."""
        self.line(f"{_INDENT}=> {text}", style=_RED)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        rows = list(rows)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.line(f"{_INDENT}{name:<{width}}  {value}")


def wrap_command(arguments: Sequence[str], width: int = _WIDTH) -> list[str]:
    """Lines of a shell command, no option apart from its value where that can be, joined by backslashes."""
    lines, current = [], "$"
    for group in _keep_together(arguments):
        if len(current) + len(group) + len(" \\") >= width and current != "$":
            lines.append(f"{current} \\")
            current = "     "
        current += f" {group}"
    return [*lines, current]


def _keep_together(arguments: Sequence[str]) -> list[str]:
    """Shell words, each option in one string with the value that follows it."""
    groups: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        word = shlex.quote(argument)
        if before.startswith("-") and not argument.startswith("-"):
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    return groups
