"""All settings of the shim, as one frozen value: the sum of the tables in ``options.py``.

Made by ``load.py`` from file, environment and flags; every part is handed its own table and nothing else.
"""

from typing import Literal

from pydantic import Field

from shim.config import places
from shim.config.behind import GlanceOptions, RouteOptions, UpstreamOptions
from shim.config.bounds import LimitOptions, SpoolOptions, TimeoutOptions
from shim.config.listening import AdminOptions, LogOptions, ServerOptions, TraceOptions
from shim.config.option import Options, option
from shim.routes.route import BodyMode

# The name of the one upstream that is set without a table, in metrics, logs and routes.
SINGLE_UPSTREAM = "default"


class Settings(Options):
    """Everything that can be set; ``Settings()`` holds the defaults, and leads nowhere yet."""

    upstream: places.UpstreamUrl | None = option(
        None,
        "The server behind, where there is one: http://host:port, https://host:port, http+unix:///path.sock, "
        "uwsgi://host:port, uwsgi+unix:///path.sock, or wsgi:package.module:callable for the application in "
        "this process. For several, or for one under a path, write [upstreams.NAME] tables instead. No "
        "default: the shim cannot guess what it stands in front of.",
        example="uwsgi+unix:///run/glance/api.sock",
    )
    body: BodyMode = option(
        "auto",
        "How bodies are forwarded where no route says otherwise: spool receives the whole body first; auto "
        "may begin earlier where the length is known, without ever making the upstream wait for the client.",
    )
    service: Literal["glance", "none"] = option(
        "glance",
        "What stands behind: with glance the shim uses what it knows of Glance's API; with none it serves "
        "any WSGI application and sends no request of its own.",
    )
    server: ServerOptions = Field(default_factory=ServerOptions)
    limits: LimitOptions = Field(default_factory=LimitOptions)
    admin: AdminOptions = Field(default_factory=AdminOptions)
    log: LogOptions = Field(default_factory=LogOptions)
    traces: TraceOptions = Field(default_factory=TraceOptions)
    spool: SpoolOptions = Field(default_factory=SpoolOptions)
    timeouts: TimeoutOptions = Field(default_factory=TimeoutOptions)
    glance: GlanceOptions = Field(default_factory=GlanceOptions)
    upstreams: dict[places.Name, UpstreamOptions] = Field(
        default_factory=dict,
        description="Groups of servers by name, in place of the single upstream above. With several, routes "
        "say what goes where. In the environment a name keeps its case: "
        "GLANCE_SHIM_UPSTREAMS__glance__MOUNT.",
        examples=["glance"],
        json_schema_extra={"additionalProperties": False},
    )
    routes: tuple[RouteOptions, ...] = Field(
        (),
        description="Which requests go where; the first route that matches counts. With one upstream what no "
        "route matches goes there too, with the top-level body.",
    )

    @property
    def upstream_groups(self) -> dict[str, UpstreamOptions]:
        """The upstreams by name, however they were written; a single one is called ``default``."""
        # Both at once is a fault (relations.py).
        if self.upstream is None:
            return self.upstreams
        return {SINGLE_UPSTREAM: UpstreamOptions(servers=(self.upstream,))}
