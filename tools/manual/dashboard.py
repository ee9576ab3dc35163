"""The dashboard for Grafana, as a short description: rows of panels, each with its questions.

``grafana.py`` makes Grafana's JSON of it; a test checks its metrics and labels against the exporter.
"""

import json
from collections.abc import Iterator, Sequence

from tools.manual.grafana import Panel, arrange, variables


def _here(metric: str, *selectors: str) -> str:
    """A metric of the shims that are chosen."""
    chosen = ", ".join(('instance=~"$instance"', *selectors))
    return f"{metric}{{{chosen}}}"


def _rate(metric: str, label: str) -> tuple[str, str]:
    """How much a second, by a label."""
    return f"{{{{{label}}}}}", f"sum by ({label}) (rate({_here(metric)}[$__rate_interval]))"


def _sum(metric: str, label: str) -> tuple[str, str]:
    """How many now, by a label."""
    return f"{{{{{label}}}}}", f"sum by ({label}) ({_here(metric)})"


def _phase(name: str, quantile: float) -> Panel:
    buckets = f"sum by (phase, le) (rate({_here('glance_shim_phase_seconds_bucket')}[$__rate_interval]))"
    about = "receive: the client; queue: the line; connect, send, wait: the server; respond: the way back."
    question = ("{{phase}}", f"histogram_quantile({quantile}, {buckets})")
    return Panel(f"Seconds in a phase, {name}", [question], "s", about)


_SERVER = "{{upstream}} {{server}}"
_HELD, _LIMIT = _here("glance_shim_spool_bytes"), _here("glance_shim_spool_limit_bytes")
_REFUSED = _here("glance_shim_refusals_total", 'code!="client_gone"')
_USED = f"{_here('glance_shim_upstream_inflight')} / {_here('glance_shim_upstream_slots')}"
_DOWN = f"count({_here('glance_shim_upstream_up')} == 0) or vector(0)"

NOW: Sequence[Panel] = [
    Panel("Ready", [("", f"min({_here('glance_shim_ready')})")], about="What /readyz says: 1.", kind="stat"),
    Panel("Servers down", [("", _DOWN)], kind="stat", warn=1),
    Panel("Uploads", [("", f"sum({_here('glance_shim_uploads')})")], kind="stat"),
    Panel("Spool used", [("", f"max({_HELD} / {_LIMIT})")], "percentunit", kind="stat", warn=0.85),
    Panel("Refused in an hour", [("", f"sum(increase({_REFUSED}[1h]))")], kind="stat"),
    Panel("Version", [("{{version}}", _here("glance_shim_build_info"))], kind="stat"),
]
"""One number each, above everything else."""

ROWS: Sequence[tuple[str, Sequence[Panel]]] = [
    (
        "Requests",
        [
            Panel("By status", [_rate("glance_shim_requests_total", "status")], "reqps", stacked=True),
            Panel(
                "Refusals by code",
                [_rate("glance_shim_refusals_total", "code")],
                "reqps",
                "What a code means: refusals.md of the manual, or /help/CODE on the admin listener.",
                stacked=True,
            ),
            Panel(
                "Body bytes received", [_rate("glance_shim_body_bytes_total", "mode")], "Bps", stacked=True
            ),
        ],
    ),
    (
        "Uploads and spool",
        [
            Panel(
                "Uploads by where their body is",
                [_sum("glance_shim_uploads", "phase")],
                about="Many receiving: slow clients. Many waiting: too few workers of Glance.",
                stacked=True,
            ),
            Panel(
                "Spool",
                [
                    ("held", f"sum({_HELD})"),
                    ("limit", f"sum({_LIMIT})"),
                    ("disk free", f"min({_here('glance_shim_disk_free_bytes')})"),
                ],
                "bytes",
            ),
            Panel("Spool files", [_sum("glance_shim_spool_files", "instance")]),
        ],
    ),
    (
        "Servers",
        [
            Panel("Slots in use", [(_SERVER, _USED)], "percentunit", "0 where their number is not known."),
            Panel("Waiting for a slot", [_sum("glance_shim_queue_length", "upstream")]),
            Panel("Up", [(_SERVER, _here("glance_shim_upstream_up"))]),
        ],
    ),
    (
        "Where the time goes",
        [
            _phase("median", 0.5),
            _phase("95th percentile", 0.95),
            Panel("Worker processes of the shim", [_sum("glance_shim_workers", "instance")]),
        ],
    ),
]


def render() -> str:
    """The dashboard as Grafana imports it."""
    dashboard = {
        "title": "glance-shim",
        "uid": "glance-shim",
        "description": "Uploads to Glance through glance-shim. Generated: see tools/manual/dashboard.py.",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": variables("label_values(glance_shim_build_info, instance)")},
        "panels": list(arrange(NOW, ROWS)),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def panels() -> Iterator[Panel]:
    """All panels, in their order."""
    yield from NOW
    for _, row in ROWS:
        yield from row
