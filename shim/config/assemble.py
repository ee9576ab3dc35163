"""From settings to the options of each part: the only place that knows both.

``app`` and ``server`` stand below ``config`` and never see it; each gets the frozen values it asks for.
"""

from pathlib import Path
from typing import TypeVar

from shim.admission.limits import AnswerPace, BodyPace
from shim.admission.room import QueueOptions
from shim.app.groups import UpstreamSpec
from shim.app.options import ProxyOptions
from shim.app.tracing import TraceOptions
from shim.cloud.joining import CloudOptions
from shim.cloud.member import MemberOptions
from shim.cloud.server import Access
from shim.cloud.values import CloudLimits, OnLoss
from shim.config import behind
from shim.config.bounds import LimitOptions
from shim.config.settings import Settings
from shim.config.units import Share
from shim.ledger.state import default_directory
from shim.routes.route import BodyMode, Route, Terms
from shim.server.certificates import TlsFiles
from shim.server.connection_options import ConnectionOptions
from shim.server.run import RunOptions
from shim.service.glance import GlanceOptions
from shim.service.service_account import ServiceAccount
from shim.service.upload import UploadOptions
from shim.spool.space import Amount
from shim.spool.store import SpoolOptions
from shim.timing import UNLIMITED, Seconds
from shim.upstream.care import GroupOptions
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.sizing import Sizing
from shim.upstream.standing import StandingOptions

Value = TypeVar("Value")


def proxy_options(settings: Settings) -> ProxyOptions:
    """What ``app.build`` makes the proxy from."""
    spool, limits, timeouts = settings.spool, settings.limits, settings.timeouts
    return ProxyOptions(
        directory=spool.directory,
        upstreams=[
            UpstreamSpec(name, tuple(group.servers), group.mount, _sizing(group), _group(group))
            for name, group in settings.upstream_groups.items()
        ],
        max_total=_amount(spool.max_total),
        max_per_project=_amount(spool.max_per_project),
        min_free=_amount(spool.min_free),
        encryption=spool.encryption,
        spool=SpoolOptions(
            memory_limit=spool.memory_limit, max_body=spool.max_body, max_response=spool.max_response
        ),
        max_uploads=limits.max_uploads,
        queue=_queue(settings),
        max_uploads_per_project=limits.max_uploads_per_project,
        max_connections=limits.max_connections,
        max_connections_per_address=limits.max_connections_per_address,
        pace=_pace(settings),
        cut_through_stall=timeouts.cut_through_stall,
        timeouts=_timeouts(settings),
        routes=_routes(settings),
        body=BodyMode(settings.body),
        service=settings.service,
        glance=_glance(settings.glance),
        trusted=settings.server.trusted,
        admin_token=settings.admin.token.get_secret_value() if settings.admin.token else None,
        cloud=_cloud(limits),
        access_log=settings.log.access,
        traces=_traces(settings),
        fast=settings.server.fast,
    )


def run_options(settings: Settings) -> RunOptions:
    """What ``server.run`` listens with."""
    limits, timeouts = settings.limits, settings.timeouts
    return RunOptions(
        listen=settings.server.listen,
        admin_listen=settings.admin.listen,
        socket_mode=settings.server.socket_mode,
        reuse_port=settings.server.reuse_port,
        connection=ConnectionOptions(
            max_head=limits.max_head,
            header_timeout=timeouts.header,
            keepalive_timeout=timeouts.keepalive,
            linger_timeout=timeouts.linger,
            answer=AnswerPace(idle=timeouts.send, min_rate=limits.min_rate, grace=limits.min_rate_grace),
        ),
        drain=timeouts.drain,
        drain_delay=timeouts.drain_delay,
        tls=tls_files(settings),
        proxy_protocol=settings.server.trusted if settings.server.proxy_protocol else None,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files of ``server.tls``, None where the proxied listener is plain."""
    tls = settings.server.tls
    return None if tls is None else TlsFiles(tls.certificate, tls.key, tls.client_ca)


def state_directory(settings: Settings) -> Path:
    """Where the processes of the shim share what they count."""
    return settings.server.state_directory or default_directory(settings.spool.directory)


def _routes(settings: Settings) -> list[Route]:
    only = next(iter(settings.upstream_groups), "")
    return [
        Route(
            name=route.name or route.path,
            upstream=route.upstream or only,
            methods=frozenset(route.methods),
            path=route.path,
            body=BodyMode(route.body or settings.body),
            max_body=UNLIMITED if route.max_body is None else route.max_body,
            headers=route.headers,
            at_least=route.at_least,
            at_most=route.at_most,
            terms=_terms(settings, route),
        )
        for route in settings.routes
    ]


# -- what holds for all requests, and what for those of a route alone -----------------------------------


def _terms(settings: Settings, route: behind.RouteOptions) -> Terms:
    """Only where a route says something of its own: what is alike stays one value."""
    pace, waits, timeouts = _pace(settings, route), _queue(settings, route), _timeouts(settings, route)
    return Terms(
        pace=None if pace == _pace(settings) else pace,
        stall=route.cut_through_stall,
        waits=None if waits == _queue(settings) else waits,
        timeouts=None if timeouts == _timeouts(settings) else timeouts,
    )


def _pace(settings: Settings, route: behind.RouteOptions | None = None) -> BodyPace:
    limits, timeouts = settings.limits, settings.timeouts
    return BodyPace(
        idle=own(route, "body_idle", timeouts.body_idle),
        total=own(route, "body_total", timeouts.body_total),
        min_rate=own(route, "min_rate", limits.min_rate),
        grace=own(route, "min_rate_grace", limits.min_rate_grace),
    )


def _queue(settings: Settings, route: behind.RouteOptions | None = None) -> QueueOptions:
    timeouts = settings.timeouts
    return QueueOptions(
        most=settings.limits.queue,
        without_body=own(route, "queue", timeouts.queue),
        with_body=own(route, "queue_body", timeouts.queue_body),
    )


def _timeouts(settings: Settings, route: behind.RouteOptions | None = None) -> UpstreamTimeouts:
    timeouts = settings.timeouts
    return UpstreamTimeouts(
        connect=own(route, "connect", timeouts.connect),
        connect_retry=own(route, "connect_retry", timeouts.connect_retry),
        send=own(route, "send", timeouts.send),
        response=_given(own(route, "response", timeouts.response)),
        response_idle=own(route, "response_idle", timeouts.response_idle),
    )


def own(route: behind.RouteOptions | None, name: str, common: Value) -> Value:
    """The route's own value of an option, where it has one; else the one of all."""
    value: Value | None = getattr(route, name, None)
    return common if value is None else value


# -- what stands behind ---------------------------------------------------------------------------------


def _sizing(group: behind.UpstreamOptions) -> Sizing:
    limit = group.max_inflight
    return Sizing(
        max_inflight=None if isinstance(limit, str) else limit,
        stats=group.stats,
        upload_share=group.upload_share,
        max_uploads=group.max_uploads,
    )


def _cloud(limits: LimitOptions) -> CloudOptions | None:
    options = limits.cloud
    if limits.shared is None:
        return None
    return CloudOptions(
        Access(limits.shared, options.timeout, options.password_file, options.ca_file),
        options.name,
        MemberOptions(
            limits=CloudLimits(
                uploads=options.max_uploads,
                uploads_of_project=options.max_uploads_per_project,
                bytes_of_project=options.max_spool_per_project,
            ),
            life=options.lease,
            on_loss=OnLoss(options.on_loss),
        ),
    )


def _group(group: behind.UpstreamOptions) -> GroupOptions:
    # There is no other one to go to: a probe would tell of it, and help nobody.
    is_single = len(group.servers) == 1 and (group.resolve == UNLIMITED or not group.servers[0].is_named)
    return GroupOptions(
        balance=group.balance,
        weights=group.weights,
        standing=StandingOptions(group.eject_after, group.eject_for, group.slow_return),
        probe=UNLIMITED if is_single else group.probe,
        resolve=group.resolve,
    )


def _traces(settings: Settings) -> TraceOptions | None:
    options = settings.traces
    if not options.enabled:
        return None
    return TraceOptions(options.endpoint, options.sample, options.service_name)


def _glance(options: behind.GlanceOptions) -> GlanceOptions:
    account = options.service_auth
    return GlanceOptions(
        upload=UploadOptions(look=options.look, delete_stuck=options.delete_stuck),
        account=None
        if account is None
        else ServiceAccount(
            auth_url=account.auth_url,
            username=account.username,
            password=account.password.get_secret_value(),
            project_name=account.project_name,
            user_domain_name=account.user_domain_name,
            project_domain_name=account.project_domain_name,
            ca_file=account.ca_file,
        ),
    )


def _amount(value: float | Share) -> Amount:
    return Amount(share=value.percent / 100) if isinstance(value, Share) else Amount(value)


def _given(response: Seconds | str) -> Seconds | None:
    # "auto" is worked out for each request: it grows with the body.
    return None if isinstance(response, str) else response
