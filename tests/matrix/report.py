"""docs/matrix.md and the short table of README.md, from the cells and the circumstances."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.matrix.clients import CLIENTS
from tests.matrix.places import BEHIND_PEERS, DIRECTLY, SHIM, SHIM_WAYS
from tests.matrix.tables import Matrix, as_markdown, put_between

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "matrix.md"
README = ROOT / "README.md"
NAME = "make matrix"
"""Of the markers in both."""

SHORT_WAYS = (DIRECTLY, BEHIND_PEERS[0], BEHIND_PEERS[1], SHIM)


@dataclass(frozen=True)
class Circumstances:
    """When and with what it was measured.

    Attributes:
        size: Of an image, in bytes.
        lacking: What could not be had.
    """

    day: dt.date
    versions: Mapping[str, str]
    size: int
    lacking: Sequence[str] = field(default=())


def write(matrix: Matrix, circumstances: Circumstances) -> None:
    """Put both tables into their documents.

    Raises:
        ValueError: A document has lost its markers.
    """
    for file, inside in ((DOCUMENT, render(matrix, circumstances)), (README, render_short(matrix))):
        file.write_text(put_between(file.read_text(), NAME, inside))


def render(matrix: Matrix, circumstances: Circumstances) -> str:
    """The generated part of docs/matrix.md."""
    clients = list(CLIENTS)
    told = ", ".join(f"{name} {version}" for name, version in circumstances.versions.items())
    parts = [
        f"Measured on {circumstances.day.isoformat()}, images of {circumstances.size >> 20} MiB; {told}.",
        *(f"Not measured: {lack}." for lack in circumstances.lacking),
        "## Directly",
        as_markdown(matrix.rows((DIRECTLY,), clients)),
        "## Behind nginx and Apache, which buffer",
        as_markdown(matrix.rows(BEHIND_PEERS, clients)),
        "## Through the shim",
        as_markdown(matrix.rows(SHIM_WAYS, clients)),
    ]
    return "\n\n".join(parts)


def render_short(matrix: Matrix) -> str:
    """The generated part of README.md."""
    return as_markdown(matrix.short_rows(SHORT_WAYS))
