"""What must hold between the options of a cloud's limits; told apart from the others for its length alone."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from shim.cloud.address import parse_shared
from shim.cloud.contact import BEATS_IN_LIFE
from shim.cloud.server import is_available
from shim.config.cloud import CloudOptions
from shim.config.faults import Path
from shim.config.units import parse_duration
from shim.timing import Seconds

_CLOUD = ("limits", "cloud")
_NONE = "unlimited"
_LIMITS = ("max_uploads", "max_uploads_per_project", "max_spool_per_project")


def cloud_faults(limits: object) -> Iterator[tuple[Path, str]]:
    """Where ``limits.shared`` and ``[limits.cloud]`` do not fit together."""
    if not isinstance(limits, dict):
        return
    table = limits.get("cloud")
    cloud = table if isinstance(table, dict) else {}
    if limits.get("shared") is None:
        # A limit that nobody counts would be one that an operator trusts in.
        for name in _LIMITS:
            if cloud.get(name, _NONE) != _NONE:
                yield (*_CLOUD, name), "needs limits.shared: who counts for all shims?"
        return
    if not is_available():
        yield ("limits", "shared"), "needs the redis library: pip install glance-shim[shared]"
    yield from _account_faults(limits["shared"], cloud)
    yield from _time_faults(cloud)


def _account_faults(shared: object, cloud: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    with contextlib.suppress(ValueError):
        if isinstance(shared, str) and parse_shared(shared).password and "password_file" in cloud:
            yield (*_CLOUD, "password_file"), "is set beside a password in limits.shared; set only one"


def _time_faults(cloud: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    lease, timeout = _duration(cloud, "lease"), _duration(cloud, "timeout")
    # Two late answers in a row between two declarations: still no lease is lost.
    least = 2 * BEATS_IN_LIFE
    if lease is not None and timeout is not None and lease < least * timeout:
        yield (
            (*_CLOUD, "lease"),
            f"has to be at least {least} times limits.cloud.timeout",
        )


def _duration(cloud: Mapping[str, Any], name: str) -> Seconds | None:
    """A duration as written, or its default; None where it is none, which its own fault says."""
    try:
        return parse_duration(cloud.get(name, CloudOptions.model_fields[name].default))
    except ValueError:
        return None
