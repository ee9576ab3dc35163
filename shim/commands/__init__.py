"""What the commands do, a module each with ``run(...)``, which prints and returns the exit status.

``cli`` reads the command line and imports only the command that was asked for. Here stands what several
of them need: the exit statuses, and reading the configuration or telling what is wrong with it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from shim.config.faults import ConfigurationError
from shim.config.load import Loaded, load
from shim.config.sources import Flags

ENDED_AS_ASKED = 0
FAILED = 1
WRONG_USAGE = 2
"""Also a wrong configuration."""


def load_or_report(
    config: Path | None,
    *,
    listen: Sequence[str] = (),
    upstream: str | None = None,
    settings: Sequence[str] = (),
    upstream_required: bool = False,
) -> Loaded | None:
    """The configuration, or None where it has faults: these are then on standard error, one a line.

    Args:
        config: The file of ``--config``.
        listen: Values of ``--listen``.
        upstream: Value of ``--upstream``.
        settings: ``KEY=VALUE`` of each ``--set``.
        upstream_required: Whether it has to say what to forward to.
    """
    flags = Flags(listen=listen, upstream=upstream, settings=settings)
    try:
        return load(config, flags, upstream_required=upstream_required)
    except ConfigurationError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        print("All options, with units and reasons: glance-shim config --defaults", file=sys.stderr)
        return None
