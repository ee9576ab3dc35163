"""What a run of the integration tests found out, as text for the eye and as JSON for the record."""

from pathlib import Path
from typing import Any


class Results:
    """A table of uploads (client by hosting) and single figures."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, str]] = {}
        self.figures: dict[str, str] = {}
        self.file: Path | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written down."""
        return not (self.cells or self.figures)

    def put(self, row: str, column: str, text: str) -> None:
        """Fill a cell of the table."""
        self.cells.setdefault(row, {})[column] = text

    def tell(self, name: str, figure: str) -> None:
        """Write down a figure."""
        self.figures[name] = figure

    def as_json(self) -> dict[str, Any]:
        """Everything, as it is written to the file."""
        return {"uploads": self.cells, "figures": self.figures}

    def render(self) -> str:
        """The table, the figures, and where the file is."""
        lines = [*self._table(), "", *(f"{name}: {figure}" for name, figure in self.figures.items())]
        return "\n".join([*lines, f"as JSON: {self.file}"])

    def _table(self) -> list[str]:
        columns = list(dict.fromkeys(column for row in self.cells.values() for column in row))
        rows = [["", *columns]]
        rows += [[name, *(row.get(column, "-") for column in columns)] for name, row in self.cells.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
            if self.cells
        ]
