"""``glance-shim check``: all faults of the configuration, then what it will meet: disk, machine, servers.

What each thing looked at is worth, its own module says; here they are put in order and printed.
"""

import asyncio
import datetime as dt
import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from shim.app.groups import UpstreamSpec
from shim.app.options import ProxyOptions
from shim.app.routing import service_of
from shim.cloud.server import CloudAway
from shim.cloud.trial import try_cloud
from shim.cloud.values import OnLoss
from shim.commands import ENDED_AS_ASKED, FAILED, load_or_report
from shim.config.assemble import proxy_options, state_directory, tls_files
from shim.config.faults import ConfigurationError
from shim.config.load import Loaded, load
from shim.config.sources import Flags
from shim.doctor import is_default
from shim.doctor.behind import inspect_uwsgi
from shim.doctor.disk import inspect_quota, inspect_rate
from shim.doctor.edges import inspect_secrets, inspect_state, inspect_trust, inspect_user
from shim.doctor.machine import inspect_machine
from shim.doctor.timeouts import inspect_timeouts
from shim.findings import Finding, Level
from shim.routes.route import BodyMode
from shim.server.addresses import TcpAddress
from shim.server.validity import inspect_certificate
from shim.spool.disk import measure_space
from shim.spool.inspect import inspect_directory, is_directory
from shim.timing import UNLIMITED
from shim.upstream.address import UpstreamAddress
from shim.upstream.balance import Balance
from shim.upstream.diagnosis import diagnose
from shim.upstream.handoff_trial import try_hand_off
from shim.upstream.sizing import inspect_size

Told = tuple[str, Finding]
"""What a finding is about, and the finding."""


def run(config: Path | None, upstream: str | None, settings: Sequence[str], *, as_json: bool = False) -> int:
    """Print what is found, the worst last; status 1 where there is any fault."""
    if as_json:
        return _run_for_programs(config, Flags(upstream=upstream, settings=settings))
    loaded = load_or_report(config, upstream=upstream, settings=settings, upstream_required=True)
    if loaded is None:
        return FAILED
    told = examine(loaded, config)
    for subject, finding in told:
        print(f"{finding.level.value:8} {subject}: {finding.text}")
        if finding.advice:
            print(f"{'':8} set: {finding.advice}")
    faults = _count_faults(told)
    if faults:
        print(f"{faults} {'fault' if faults == 1 else 'faults'}: this configuration would not serve uploads")
    return FAILED if faults else ENDED_AS_ASKED


def _run_for_programs(config: Path | None, flags: Flags) -> int:
    """The same as one JSON object, faults of the configuration among its findings."""
    try:
        told = examine(load(config, flags, upstream_required=True), config)
    except ConfigurationError as error:
        told = [("configuration", Finding(Level.FAULT, str(fault))) for fault in error.faults]
    findings = [
        {
            "level": finding.level.value,
            "subject": subject,
            "text": finding.text,
            "set": finding.advice or None,
        }
        for subject, finding in told
    ]
    faults = _count_faults(told)
    json.dump({"faults": faults, "findings": findings}, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return FAILED if faults else ENDED_AS_ASKED


def examine(loaded: Loaded, config: Path | None) -> list[Told]:
    """Everything there is to say of a configuration without faults, the worst last."""
    told = [
        ("configuration", Finding(Level.FINE, "no faults")),
        *_of("configuration", inspect_secrets(loaded, config)),
        *_of("user", inspect_user(os.geteuid())),
        *_server(loaded),
        *_admin(loaded),
        *_state(loaded),
        *_spool(loaded),
        *_of("machine", inspect_machine(loaded.settings)),
        *_of("timeouts", inspect_timeouts(loaded)),
        *_upstreams(loaded),
        *_sizes(loaded),
        *_balances(loaded),
        *_cloud(loaded),
    ]
    return sorted(told, key=lambda found: list(Level).index(found[1].level))


def _count_faults(told: Sequence[Told]) -> int:
    return sum(finding.level is Level.FAULT for _, finding in told)


def _of(subject: str, findings: Iterator[Finding]) -> Iterator[Told]:
    return ((subject, finding) for finding in findings)


def _server(loaded: Loaded) -> Iterator[Told]:
    files = tls_files(loaded.settings)
    if files is not None:
        yield from _of("tls", inspect_certificate(files, dt.datetime.now(dt.UTC)))
    yield from _of("server", inspect_trust(loaded.settings))


def _state(loaded: Loaded) -> Iterator[Told]:
    yield "state", inspect_state(state_directory(loaded.settings))


def _admin(loaded: Loaded) -> Iterator[Told]:
    admin = loaded.settings.admin
    for address in admin.listen if admin.token is None else ():
        if isinstance(address, TcpAddress) and not address.is_loopback:
            text = f"{address} is reached from other machines, and anybody there sees what is uploaded: "
            yield "admin", Finding(Level.WARNING, f"{text}set admin.token, or listen on 127.0.0.1")


_ENCRYPTED = "is handed no files: with spool.encryption they are not the bodies, which are sent to it"


def _spool(loaded: Loaded) -> Iterator[Told]:
    options = proxy_options(loaded.settings)
    findings = inspect_directory(options.directory, max_total=options.max_total, min_free=options.min_free)
    yield from _of("spool", findings)
    if is_directory(options.directory):
        yield from _of("spool", inspect_quota(options.directory))
        yield from _of("spool", inspect_rate(options.directory))
        total = measure_space(options.directory).total
        yield from _of("spool", _too_large(loaded, options, total))


def _too_large(loaded: Loaded, options: ProxyOptions, total: int) -> Iterator[Finding]:
    """Limits that a file system of ``total`` bytes ends before they do."""
    # The defaults follow Glance, whatever the disk; a limit that somebody set was meant for this one.
    if not is_default(loaded, "spool", "max_body") and total < options.spool.max_body < UNLIMITED:
        text = (
            "spool.max_body is larger than the file system: such a body is refused with 413, or ends with 507"
        )
        yield Finding(Level.WARNING, text)
    others = {"spool.max_per_project": options.max_per_project.of(total)}
    if not is_default(loaded, "spool", "max_response"):
        others["spool.max_response"] = options.spool.max_response
    others |= {f"max_body of the route {route.name}": route.max_body for route in options.routes}
    for name, limit in others.items():
        if total < limit < UNLIMITED:
            text = f"{name} is larger than the file system: spool.max_total, or the disk's end, comes first"
            yield Finding(Level.WARNING, text)


def _upstreams(loaded: Loaded) -> Iterator[Told]:
    options = proxy_options(loaded.settings)
    servers = [(group, address) for group in options.upstreams for address in group.servers]
    path = service_of(options.service).probe_path
    handed = {route.upstream for route in options.routes if route.body is BodyMode.HANDOFF}
    results = asyncio.run(_diagnose_all(options, servers, path, handed))
    for (group, address), findings in zip(servers, results, strict=True):
        for finding in findings:
            text = finding.text.replace(f"No connection to {address}", "no connection")
            yield f"upstream {group.name}", replace(finding, text=f"{address}: {text}")


def _sizes(loaded: Loaded) -> Iterator[Told]:
    for group in proxy_options(loaded.settings).upstreams:
        subject = f"upstream {group.name}"
        yield from _of(subject, iter(asyncio.run(inspect_size(group.servers, group.sizing))))
        yield from _of(subject, iter(asyncio.run(inspect_uwsgi(loaded, group))))


def _cloud(loaded: Loaded) -> Iterator[Told]:
    options = proxy_options(loaded.settings).cloud
    if options is None:
        return
    where = f"{options.access.address}, cloud {options.name}"
    try:
        found = asyncio.run(try_cloud(options))
    except CloudAway as fault:
        refuses = options.member.on_loss is OnLoss.REFUSE
        yield "limits.shared", Finding(Level.FAULT if refuses else Level.WARNING, f"{where}: {fault}")
    else:
        others = f"{found.members - 1} others have {found.uploads} uploads under way"
        yield "limits.shared", Finding(Level.FINE, f"{where}: counts, and {others}")


def _balances(loaded: Loaded) -> Iterator[Told]:
    options = proxy_options(loaded.settings)
    for group in options.upstreams:
        if group.group.balance is Balance.STICKY and options.service == "none":
            text = 'sticky goes by images, which service = "none" does not know: it is least-inflight here'
            yield f"upstream {group.name}", Finding(Level.WARNING, text)


async def _diagnose_all(
    options: ProxyOptions,
    servers: Sequence[tuple[UpstreamSpec, UpstreamAddress]],
    path: bytes | None,
    handed: Collection[str],
) -> list[list[Finding]]:
    async def findings(group: UpstreamSpec, address: UpstreamAddress) -> list[Finding]:
        found = await diagnose(address, path, mount=group.mount)
        is_up = all(finding.level is not Level.FAULT for finding in found)
        if is_up and (options.body is BodyMode.HANDOFF or group.name in handed):
            if options.encryption:
                found.append(Finding(Level.WARNING, _ENCRYPTED))
                return found
            target = None if path is None else group.mount.encode("ascii") + path
            found.append(await try_hand_off(address, options.directory, target))
        return found

    return await asyncio.gather(*(findings(group, address) for group, address in servers))
