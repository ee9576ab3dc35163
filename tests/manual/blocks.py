"""Takes the pages apart: fenced blocks with their language, and the commands of console blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMPT = "$ "
ANY_LINES = "…"
"""A line of an output that stands for whatever is printed there."""

FENCE = re.compile(r"(`{3,})(\S*)\s*")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its fence."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """What stands after a prompt, and the lines that it is said to print."""

    page: str
    line: int
    text: str
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """Every page that people read."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return top + sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page; a fence that is never closed is a fault."""
    name, opened = str(page.relative_to(ROOT)), None
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        fence = FENCE.fullmatch(line)
        if opened is None and fence:
            opened, lines = (number, *fence.groups()), []
        elif opened is not None and fence and fence[1] == opened[1] and not fence[2]:
            yield Block(name, opened[0], opened[2], "\n".join(lines))
            opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"{name}:{opened[0]}: the block has no end"


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, in these languages."""
    return [block for page in pages() for block in blocks(page) if block.language in languages]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; a comment after two blanks belongs to the reader.

    A line that ends in a backslash goes on in the next, as in the shell.
    """
    command, output = None, []
    text = re.sub(r" *\\\n *", " ", block.text)
    for number, line in enumerate(text.splitlines(), start=block.line + 1):
        if line.startswith(PROMPT):
            if command is not None:
                yield Command(block.page, *command, tuple(output))
            command, output = (number, re.sub(r"\s\s+# .*", "", line.removeprefix(PROMPT)).strip()), []
        else:
            assert command is not None, f"{block}: an output before the first command"
            output.append(line)
    assert command is not None, f"{block}: no command"
    yield Command(block.page, *command, tuple(output))


def all_commands() -> list[Command]:
    """Those of all pages, in the order of the pages and of their lines."""
    return [command for block in all_blocks("console") for command in commands(block)]
