"""Which files are generated, and by what."""

from collections.abc import Callable, Mapping

from shim.config import describe
from tools.manual import capacity, configuration, dashboard, metrics, refusals

FILES: Mapping[str, Callable[[], str]] = {
    "config/glance-shim.toml": describe.defaults,
    "docs/capacity.md": capacity.render,
    "docs/configuration.md": configuration.render,
    "docs/refusals.md": refusals.render,
    "docs/metrics.md": metrics.render,
    "deploy/grafana/dashboard.json": dashboard.render,
}
"""Path from the project's root to what makes the whole text."""
