"""``glance-shim check``: all faults of the configuration, then what spool directory and servers are like."""

import asyncio
import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from shim.app.build import ProxyOptions, UpstreamSpec, service_of
from shim.cloud.server import CloudAway
from shim.cloud.trial import try_cloud
from shim.cloud.values import OnLoss
from shim.commands import ENDED_AS_ASKED, FAILED, load_or_report
from shim.config.assemble import proxy_options, tls_files
from shim.config.load import Loaded
from shim.routes.route import BodyMode
from shim.server.addresses import TcpAddress
from shim.server.validity import inspect_certificate
from shim.spool.disk import measure_space
from shim.spool.inspect import Finding, Level, inspect_directory
from shim.timing import UNLIMITED
from shim.upstream.address import UpstreamAddress
from shim.upstream.diagnosis import diagnose
from shim.upstream.handoff_trial import try_hand_off
from shim.upstream.sizing import inspect_size


def run(config: Path | None, upstream: str | None, settings: Sequence[str]) -> int:
    """Print what is found, the worst last; status 1 where there is any fault."""
    loaded = load_or_report(config, upstream=upstream, settings=settings, upstream_required=True)
    if loaded is None:
        return FAILED
    print("ok       configuration: no faults")
    findings = [
        *_server(loaded),
        *_admin(loaded),
        *_spool(loaded),
        *_upstreams(loaded),
        *_sizes(loaded),
        *_cloud(loaded),
    ]
    for subject, finding in sorted(findings, key=lambda found: list(Level).index(found[1].level)):
        print(f"{finding.level.value:8} {subject}: {finding.text}")
    faults = sum(finding.level is Level.FAULT for _, finding in findings)
    if faults:
        print(f"{faults} {'fault' if faults == 1 else 'faults'}: this configuration would not serve uploads")
    return FAILED if faults else ENDED_AS_ASKED


def _server(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
    files = tls_files(loaded.settings)
    for finding in inspect_certificate(files, dt.datetime.now(dt.UTC)) if files is not None else ():
        yield "tls", finding


def _admin(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
    admin = loaded.settings.admin
    for address in admin.listen if admin.token is None else ():
        if isinstance(address, TcpAddress) and not address.is_loopback:
            text = f"{address} is reached from other machines, and anybody there sees what is uploaded: "
            yield "admin", Finding(Level.WARNING, f"{text}set admin.token, or listen on 127.0.0.1")


def _spool(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
    options = proxy_options(loaded.settings)
    findings = inspect_directory(options.directory, max_total=options.max_total, min_free=options.min_free)
    for finding in findings:
        yield "spool", finding
    path = ("spool", "max_body")
    # The default follows Glance, whatever the disk; a limit that somebody set was meant for this one.
    if loaded.source(path) == "default" or not options.directory.is_dir():
        return
    total = measure_space(options.directory).total
    if total < options.spool.max_body < UNLIMITED:
        text = (
            "spool.max_body is larger than the file system: such a body is refused with 413, or ends with 507"
        )
        yield "spool", Finding(Level.WARNING, text)


def _upstreams(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
    options = proxy_options(loaded.settings)
    servers = [(group, address) for group in options.upstreams for address in group.servers]
    path = service_of(options.service).probe_path
    handed = {route.upstream for route in options.routes if route.body is BodyMode.HANDOFF}
    results = asyncio.run(_diagnose_all(options, servers, path, handed))
    for (group, address), findings in zip(servers, results, strict=True):
        for finding in findings:
            yield f"upstream {group.name}", replace(finding, text=f"{address}: {finding.text}")


def _sizes(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
    for group in proxy_options(loaded.settings).upstreams:
        for finding in asyncio.run(inspect_size(group.servers, group.sizing)):
            yield f"upstream {group.name}", finding


def _cloud(loaded: Loaded) -> Iterator[tuple[str, Finding]]:
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
            target = None if path is None else group.mount.encode("ascii") + path
            found.append(await try_hand_off(address, options.directory, target))
        return found

    return await asyncio.gather(*(findings(group, address) for group, address in servers))
