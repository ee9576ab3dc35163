"""``glance-shim serve``: reads the configuration, and has workers make the parts and run them until a signal.

The supervisor reads it again on SIGHUP, by the same flags and the same environment.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from shim.admission.shared import Lines
from shim.app.build import build
from shim.app.parts import Membership, Parts
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE, load_or_report
from shim.commands.premises import Premises
from shim.config.assemble import proxy_options, run_options, state_directory
from shim.config.faults import ConfigurationError
from shim.config.load import load
from shim.config.settings import Settings
from shim.config.sources import Flags
from shim.errors import ShimError
from shim.ledger.bell import Bell
from shim.observe.logs import configure_logs
from shim.server.activation import PassedSockets
from shim.server.descriptors import raise_descriptor_limit
from shim.server.listen import ListenFailed, ListenOptions
from shim.server.notify import Notifier
from shim.server.plan import Plan, PlanRefused, Station
from shim.server.run import Duties
from shim.server.run import run as run_worker
from shim.server.supervise import Supervisor
from shim.spool.disk import measure_space

log = logging.getLogger("shim.commands")


def run(config: Path | None, listen: Sequence[str], upstream: str | None, settings: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit status."""
    loaded = load_or_report(
        config, listen=listen, upstream=upstream, settings=settings, upstream_required=True
    )
    if loaded is None:
        return WRONG_USAGE
    _configure_logs(loaded.settings)
    # Before the workers are forked, who have it from us.
    raise_descriptor_limit()
    flags = Flags(listen=listen, upstream=upstream, settings=settings)
    try:
        notifier, passed = Notifier.from_environment(), PassedSockets.from_environment()
        with Premises.opened(state_directory(loaded.settings)) as premises:
            make_plan = functools.partial(_plan, premises=premises, passed=passed)
            supervisor = Supervisor(
                make_plan(loaded.settings),
                replan=functools.partial(_replan, loaded.settings, config, flags, make_plan),
                notifier=notifier,
                bury=premises.bury,
            )
            return ENDED_AS_ASKED if supervisor.run() else FAILED
    except (ShimError, ListenFailed) as error:
        return _report(error)


def _plan(settings: Settings, *, premises: Premises, passed: PassedSockets) -> Plan:
    """What the supervisor runs; raises DiskError where no worker could work under these settings."""
    # No part of the proxy is made here: forking is safe only while there are neither threads nor a loop
    # (decision 15). That the spool is there can be asked without any.
    options = run_options(settings)
    measure_space(settings.spool.directory)
    proxied, admin = passed.in_place_of(options.listen, options.admin_listen)
    return Plan(
        listen=proxied,
        admin_listen=admin,
        listening=ListenOptions(options.socket_mode, options.reuse_port),
        workers=settings.server.workers,
        work=functools.partial(_work, settings, premises),
    )


def _replan(
    first: Settings, config: Path | None, flags: Flags, make_plan: Callable[[Settings], Plan]
) -> Plan:
    """The plan of the configuration as it is now; every fault of it is told."""
    try:
        settings = load(config, flags, upstream_required=True).settings
        if settings.server.state_directory != first.server.state_directory:
            # The workers that still retire count there: in two places no limit would hold.
            raise PlanRefused("server.state_directory changes only with a restart")
        plan = make_plan(settings)
    except ConfigurationError as error:
        for fault in error.faults:
            log.error("%s", fault)  # noqa: TRY400 - faults are told, not traced
        raise PlanRefused(f"it has {len(error.faults)} fault(s), see above") from error
    except ShimError as error:
        raise PlanRefused(error.for_operator) from error
    _configure_logs(settings)
    return plan


def _work(settings: Settings, premises: Premises, station: Station) -> int:
    """A worker's life, in its own process; its exit status."""
    _configure_logs(settings)
    options = proxy_options(settings)
    try:
        with contextlib.closing(premises.join(holders=options.limits_holders)) as ledger:
            lines = Lines(ledger, Bell(premises.state, ledger.slot))
            parts = build(options, Membership(ledger, premises.folder, station.number, lines))
            run_worker(run_options(settings), _duties(parts), station)
            parts.close()
    except (ShimError, ListenFailed) as error:
        return _report(error)
    return ENDED_AS_ASKED


def _report(error: ShimError | ListenFailed) -> int:
    """Tell why it cannot serve; the exit status."""
    told = error.for_operator if isinstance(error, ShimError) else error
    print(f"glance-shim: {told}", file=sys.stderr)
    return FAILED


def _configure_logs(settings: Settings) -> None:
    options = settings.log
    configure_logs(
        options.format, options.level, combined=sys.stdout if options.access == "combined" else None
    )


def _duties(parts: Parts) -> Duties:
    return Duties(
        application=parts.application,
        admin=parts.admin,
        drain=parts.drain,
        gate=parts.gate,
        poller=parts.poller,
        relays=parts.relays,
        presence=parts.present,
        load=parts.load,
        end_streams=parts.feed.close,
    )
