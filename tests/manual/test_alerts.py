"""Alerts and dashboard: their metrics and labels are those that the shim exports, each alert has its runbook.

That they strike where they should promtool says (``tests/integration/test_alerts.py``).
"""

import json
import re

import pytest

from shim.app.answers import STATUSES
from tests.manual.blocks import ROOT
from tests.support.series import series
from tools.manual import dashboard
from tools.manual.metrics import exported, labels_of, name_of

yaml = pytest.importorskip("yaml", reason="the extra docs is not installed: run make venv")

FOLDER = ROOT / "deploy/prometheus"
EXPORTED = {name_of(family): set(labels_of(family)) for family in exported()}
EXPORTED |= {
    f"{family.name}_bucket": {*labels_of(family), "le"} for family in exported() if family.type == "histogram"
}
SCRAPED = {"instance", "job"}
"""Labels that Prometheus itself adds."""


def rules():
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def questions():
    asked = [(name, rule["expr"]) for name, rule in rules().items()]
    return asked + [(panel.title, text) for panel in dashboard.panels() for _, text in panel.questions]


@series(("name", "question"), questions())
def test_it_asks_for_what_is_exported(name, question):
    metrics = re.findall(r"\b(glance_shim_\w+)(?:\{([^}]*)\})?", question)
    assert metrics or "up{" in question
    known = set(SCRAPED)
    for metric, selectors in metrics:
        assert metric in EXPORTED
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selectors))
        assert asked <= EXPORTED[metric] | SCRAPED
        known |= EXPORTED[metric]
    for grouping in re.findall(r"\bby \(([^)]*)\)", question):
        assert {label.strip() for label in grouping.split(",")} <= known
    for codes in re.findall(r'code!?=~?"([^"]*)"', question):
        assert set(codes.split("|")) <= STATUSES.keys()


def test_each_alert_has_its_runbook_and_each_runbook_its_alert():
    text = (ROOT / "docs/operating.md").read_text("utf-8")
    assert set(re.findall(r"^### (GlanceShim\w+)$", text, re.MULTILINE)) == rules().keys()
    for name, rule in rules().items():
        assert rule["annotations"]["runbook"] == f"operating.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_each_alert_is_tested_both_ways():
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text("utf-8"))["tests"]
    asked = [case for test in cases for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in asked if case["exp_alerts"]} == rules().keys()
    assert {case["alertname"] for case in asked if not case["exp_alerts"]} == rules().keys()


def test_panels_lie_beside_and_below_each_other():
    panels = json.loads(dashboard.render())["panels"]
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
