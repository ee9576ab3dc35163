"""What the proxy is made from: the options of all its parts, as one frozen value.

The configuration gives it (``config/assemble.py``), and ``build`` hands to each part its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shim.admission.limits import BodyPace
from shim.admission.room import QueueOptions
from shim.app.groups import UpstreamSpec
from shim.app.observing import AccessLog
from shim.app.tracing import TraceOptions
from shim.cloud.joining import CloudOptions
from shim.routes.route import BodyMode, Route
from shim.service.glance import GlanceOptions
from shim.spool.space import Amount
from shim.spool.store import SpoolOptions
from shim.timing import UNLIMITED, Seconds
from shim.upstream.message import UpstreamTimeouts
from shim.wire.peer import TrustedProxies


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What the parts are made from; the sum of their own options.

    Attributes:
        max_total: What all bodies together may hold.
        max_per_project: What those of one project may.
        min_free: What stays free on the spool's file system.
        encryption: Whether files are encrypted; needs the extra of that name.
        routes: The operator's; empty: those of the service.
        body: Mode of what no route speaks of.
        service: ``glance`` or ``none``.
        glance: What ``glance`` does for its requests.
        admin_token: What the admin pages ask for; None: nothing.
        cloud: The shims that share limits with this one; None: it is alone.
        traces: Where traces go; needs the extra of that name. None: there are none.
        fast: Whether threads move bodies between sockets and files, where the system has epoll.
    """

    directory: Path
    upstreams: Sequence[UpstreamSpec]
    max_total: Amount = field(default_factory=lambda: Amount(UNLIMITED))
    max_per_project: Amount = field(default_factory=lambda: Amount(UNLIMITED))
    min_free: Amount = field(default_factory=Amount)
    encryption: bool = False
    spool: SpoolOptions = field(default_factory=SpoolOptions)
    max_uploads: float = 1000
    queue: QueueOptions = field(default_factory=QueueOptions)
    max_uploads_per_project: float = UNLIMITED
    max_connections: float = 10_000
    max_connections_per_address: float = UNLIMITED
    pace: BodyPace = field(default_factory=BodyPace)
    cut_through_stall: Seconds = 30.0
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    routes: Sequence[Route] = ()
    body: BodyMode = BodyMode.AUTO
    service: str = "glance"
    glance: GlanceOptions = field(default_factory=GlanceOptions)
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    admin_token: str | None = None
    cloud: CloudOptions | None = None
    access_log: AccessLog = True
    traces: TraceOptions | None = None
    fast: bool = True

    @property
    def limits_holders(self) -> bool:
        """Whether a single project or address has a limit of its own, so that they are told apart."""
        counts = (self.max_uploads_per_project, self.max_connections_per_address)
        return self.max_per_project != Amount(UNLIMITED) or any(count != UNLIMITED for count in counts)
