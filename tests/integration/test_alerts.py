"""Alerts and dashboard in Prometheus' own eyes: well-formed, and each alert strikes where it should."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.manual.blocks import ROOT
from tools.manual import dashboard

pytestmark = pytest.mark.servers

FOLDER = ROOT / "deploy/prometheus"


def promtool(*arguments: str | Path) -> None:
    """Run it; fails where it does."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    ended = subprocess.run(
        [program, *arguments],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


def test_the_rules_are_well_formed():
    promtool("check", "rules", "alerts.yml")


def test_each_alert_strikes_where_it_should():
    promtool("test", "rules", "alerts.test.yml")


def test_each_question_of_the_dashboard_is_promql(tmp_path):
    """As recording rules, with what Grafana fills in."""
    questions = [question for panel in dashboard.panels() for _, question in panel.questions]
    rules = [
        {
            "record": f"question:{number}",
            "expr": question.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, question in enumerate(questions)
    ]
    # JSON is YAML.
    file = tmp_path / "questions.yml"
    file.write_text(json.dumps({"groups": [{"name": "questions", "rules": rules}]}))
    promtool("check", "rules", file)
