"""Grafana's JSON for a dashboard (schema 39, Grafana 10 and later), which nobody should write by hand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH = 24
_HEIGHT = 8
_GAUGE_HEIGHT = 4
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        title: What it shows.
        questions: Legend and PromQL of each line; ``$instance`` is the shim chosen above.
        unit: One of Grafana's units.
        about: What to make of it.
        stacked: Whether the lines add up to something.
        kind: ``timeseries``, or ``stat`` for one number.
        warn: The value from which it is red, where that is the same everywhere.
    """

    title: str
    questions: Sequence[tuple[str, str]]
    unit: str = "short"
    about: str = ""
    stacked: bool = False
    kind: str = "timeseries"
    warn: float | None = None


def variables(instances: str) -> list[dict[str, Any]]:
    """What is chosen above the panels: the data source, and which shims (a query for their instances)."""
    return [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Shim",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": instances, "refId": "instances"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def arrange(first: Sequence[Panel], rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[dict[str, Any]]:
    """All panels with their places: a flat row without a title, then the others below theirs."""
    numbers = iter(range(1, 1000))
    yield from _placed(first, 0, _GAUGE_HEIGHT, numbers)
    top = _GAUGE_HEIGHT
    for title, row in rows:
        place = _place(0, top, _WIDTH, 1)
        yield {"id": next(numbers), "type": "row", "title": title, "gridPos": place, "panels": []}
        yield from _placed(row, top + 1, _HEIGHT, numbers)
        top += 1 + _HEIGHT


def _placed(row: Sequence[Panel], top: int, height: int, numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    width = _WIDTH // len(row)
    for column, panel in enumerate(row):
        yield _panel(panel, next(numbers)) | {"gridPos": _place(column * width, top, width, height)}


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": question, "legendFormat": legend}
        for index, (legend, question) in enumerate(panel.questions)
    ]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn is not None:
        steps.append({"color": "red", "value": panel.warn})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.stacked:
        defaults["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 20}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        # The legend in place of the number, where it is the legend that tells something (the version).
        "options": {"textMode": "name"} if panel.kind == "stat" and panel.questions[0][0] else {},
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}
