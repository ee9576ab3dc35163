"""``glance-shim serve``: reads the configuration, makes the parts, and runs them until a signal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from shim.app.build import build
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE, load_or_report
from shim.config.assemble import proxy_options, run_options
from shim.errors import ShimError
from shim.observe.logs import configure_logs
from shim.server.listen import ListenFailed
from shim.server.run import run as run_server


def run(config: Path | None, listen: Sequence[str], upstream: str | None, settings: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit status."""
    loaded = load_or_report(
        config, listen=listen, upstream=upstream, settings=settings, upstream_required=True
    )
    if loaded is None:
        return WRONG_USAGE
    log = loaded.settings.log
    configure_logs(log.format, log.level)
    try:
        parts = build(proxy_options(loaded.settings))
        run_server(
            run_options(loaded.settings),
            parts.application,
            parts.admin,
            parts.drain,
            poller=parts.poller,
            relays=parts.relays,
        )
    except (ShimError, ListenFailed) as error:
        print(f"glance-shim: {error}", file=sys.stderr)
        return FAILED
    parts.close()
    return ENDED_AS_ASKED
