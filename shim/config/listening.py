"""The options of who is listened to and what is told: the proxied listener, the admin listener, the log.

Each has a unit in its kind, and its reason beside its default.
"""

from typing import Literal

from pydantic import Field

from shim.config import kinds, places
from shim.config.option import Options, option
from shim.wire.peer import TrustedProxies


class TlsOptions(Options):
    """TLS towards clients, 1.2 or later; the files are read again when they change."""

    certificate: places.Directory = Field(
        description="The certificate as PEM, followed by those that signed it. A renewed one is noticed "
        "within seconds and used for new connections; a faulty one is refused and the old one stays.",
        examples=["/etc/glance-shim/tls.pem"],
    )
    key: places.Directory = Field(
        description="Its private key as PEM, without a passphrase: nobody could type it.",
        examples=["/etc/glance-shim/tls.key"],
    )
    client_ca: places.Directory | None = option(
        None,
        "Who signs clients' certificates, as PEM. Set, a client without one gets no connection (mTLS).",
        example="/etc/glance-shim/clients.pem",
    )


class ServerOptions(Options):
    """The listener that clients connect to."""

    listen: places.ListenList = option(
        ["127.0.0.1:9292"],
        "Where clients connect: HOST:PORT, [v6]:PORT, unix:/path or fd:N (a socket passed by the parent). "
        "9292 is Glance's own port; only this machine reaches the default.",
    )
    workers: kinds.Count = option(
        1,
        "Processes that serve. Each uses one core, and all limits hold across them together; one is enough "
        "for some hundred MiB/s. A crashed one is replaced.",
    )
    state_directory: places.Directory | None = option(
        None,
        "Where the processes of a shim share what they count, and find each other. By default "
        "$RUNTIME_DIRECTORY where systemd sets it, else a private folder in $XDG_RUNTIME_DIR or /dev/shm, "
        "one for each spool directory. Nothing in it is needed after the end; instances that share it share "
        "their limits.",
        example="/run/glance-shim",
    )
    reuse_port: kinds.Switch = option(
        False,
        "Whether a second instance of the same user may listen on the same addresses, so that it can take "
        "over while the first one drains. Off, so that one that was started by mistake says so.",
    )
    socket_mode: places.FileMode = option(
        "0660",
        "Mode of the unix sockets that the shim makes. The default lets in the shim's user and group.",
    )
    trusted_proxies: tuple[places.Trusted, ...] = option(
        [],
        'Networks, or "unix" for peers on unix sockets, whose X-Forwarded-* and Forwarded headers are '
        "believed. From anybody else they are dropped: a client must not choose the address it is known by.",
    )

    proxy_protocol: kinds.Switch = option(
        False,
        "Whether every connection begins with a PROXY header (version 1 or 2), before TLS. It is believed "
        "from trusted_proxies, and nobody else may connect: whoever writes it chooses the client's address.",
    )
    tls: TlsOptions | None = Field(
        None,
        description="TLS on all addresses of listen; without this table clients are served in the clear.",
    )
    fast: kinds.Switch = option(
        True,
        "Whether bodies that go to disk, and large answers, are moved by threads of their own, a megabyte at "
        "a time, instead of by the event loop, and small requests are served without a task. Only on Linux, "
        "answers without TLS only; off shows whether a fault lies there.",
    )

    @property
    def trusted(self) -> TrustedProxies:
        """``trusted_proxies``, as the forwarding of headers asks for them."""
        networks = tuple(peer for peer in self.trusted_proxies if not isinstance(peer, str))
        return TrustedProxies(networks, unix="unix" in self.trusted_proxies)


class AdminOptions(Options):
    """The listener for operators."""

    listen: places.ListenOneOrMore = option(
        "127.0.0.1:9293",
        "Where health, metrics and the status page are served: one address, or a list of them ([]: nowhere). "
        "A listener of its own, so that no client of the proxy reaches them.",
    )
    token: places.Token | None = option(
        None,
        "What everything but /healthz and /readyz asks for, as Authorization: Bearer. Needed where others "
        "reach the address; better in the environment than in the file: GLANCE_SHIM_ADMIN__TOKEN. Without "
        "one uploads can be ended by way of a unix socket only, whose mode says who may.",
        example="a-long-random-text",
    )


class LogOptions(Options):
    """What is written to standard error."""

    format: Literal["auto", "json", "text"] = option(
        "auto",
        "One JSON object a line for machines, or text for the eye; auto is text on a terminal, else json.",
    )
    level: Literal["debug", "info", "warning", "error"] = option(
        "info", "The least important lines that are still written."
    )
    access: kinds.AccessLog = option(
        True,
        "Whether each request gets a line at its end, with its bytes and times. combined writes it in "
        "Apache's form instead, and to standard output, so that it can be read apart; ids, times and the "
        "reason of a refusal have no place in it.",
    )


class TraceOptions(Options):
    """OpenTelemetry traces: a span for each request, and below it one for each phase."""

    enabled: kinds.Switch = option(
        False,
        "Whether traces are sent, by OTLP over HTTP. Needs the opentelemetry libraries: pip install "
        "glance-shim[traces]. What has no option here is set by OpenTelemetry's own variables, such as "
        "OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE and OTEL_RESOURCE_ATTRIBUTES.",
    )
    endpoint: places.HttpUrl | None = option(
        None,
        "The collector's address; without a path, /v1/traces is added. By default what "
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says, else this machine's port "
        "4318.",
        example="http://collector.example:4318",
    )
    sample: kinds.Part = option(
        1.0,
        "The part of all traces that is recorded, of those that begin here: a trace that a client brings is "
        "recorded if its client says so.",
    )
    service_name: places.Text | None = option(
        None,
        "What the shim is called in traces. By default what OTEL_SERVICE_NAME says, else glance-shim.",
        example="glance-shim",
    )
