#!/usr/bin/env python
"""Draws results.json: ratios with their spreads and targets, for light and for dark pages, as SVG and PNG.

Run by ``make bench`` with an interpreter of its own that has matplotlib; it imports nothing of the project.

    .lab/plots/bin/python benchmarks/plots.py RESULTS FOLDER
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

CHARTS = {
    "bench-cpu": ("CPU seconds, over those of …", ("cpu",)),
    "bench-time": ("Time, latency, holding, over those of …", ("time", "p99", "hold")),
}
WORDS = {"cpu": "", "time": "time", "p99": "p99", "hold": "held"}
WIDTH, ROW, MARGIN = 7.6, 0.27, 0.9


@dataclass(frozen=True)
class Theme:
    """Colours that can be told apart on their ground, also by who sees no red and green."""

    suffix: str
    ground: str
    ink: str
    faint: str
    met: str
    missed: str
    other: str


THEMES = (
    Theme("", "#ffffff", "#1f2328", "#d1d9e0", "#0969da", "#bc4c00", "#59636e"),
    Theme("-dark", "#0d1117", "#e6edf3", "#30363d", "#58a6ff", "#f0883e", "#9198a1"),
)


def rows_of(results: dict[str, Any], metrics: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Label and row of each ratio of these metrics, in the order of the document."""
    found = []
    for result in results["scenarios"].values():
        for row in result["rows"]:
            if row["metric"] in metrics and row["against"] and row["spread"]:
                word = WORDS[row["metric"]]
                label = f"{result['title']}{', ' + word if word else ''}: {row['of']} / {row['against']}"
                found.append((label, row))
    return found


def draw(rows: list[tuple[str, dict[str, Any]]], title: str, theme: Theme, base: Path) -> None:
    """One chart: a dot for the median, a line from the smallest to the largest, a mark for the target."""
    figure, axes = plt.subplots(figsize=(WIDTH, MARGIN + ROW * len(rows)))
    figure.set_facecolor(theme.ground)
    axes.set_facecolor(theme.ground)
    colours = {"met": theme.met, "missed": theme.missed}
    for place, (_, row) in enumerate(rows):
        median, low, high, _ = row["spread"]
        colour = colours.get(row["verdict"], theme.other)
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
        axes.plot(median, place, "o", color=colour, markersize=5)
        if row["at_most"]:
            axes.plot(row["at_most"], place, "|", color=theme.ink, markersize=11, markeredgewidth=1.6)
    axes.axvline(1, color=theme.other, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7.5, color=theme.ink)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="x", colors=theme.ink, labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(
        f"{title}  (left of 1 is less; | is the target)", fontsize=9, color=theme.ink, loc="left", x=0
    )
    # Without a date and with fixed ids the same results give the same file.
    figure.savefig(base.with_suffix(".svg"), bbox_inches="tight", metadata={"Date": None})
    figure.savefig(base.with_suffix(".png"), bbox_inches="tight", dpi=110)
    plt.close(figure)


def main(results: Path, folder: Path) -> None:
    """Draw all charts in all themes."""
    known = json.loads(results.read_text())
    mpl.rcParams["svg.hashsalt"] = "glance-shim"
    mpl.rcParams["font.family"] = "DejaVu Sans"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, metrics) in CHARTS.items():
        if rows := rows_of(known, metrics):
            for theme in THEMES:
                draw(rows, title, theme, folder / f"{name}{theme.suffix}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
