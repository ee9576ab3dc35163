"""The options of each part, in the tables of the configuration file: name, kind, default and reason.

The reasons here are what ``glance-shim config --defaults`` prints, so they are written for the operator;
``settings.py`` puts the tables together. What an option may hold stands in ``kinds.py`` and ``places.py``.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shim.config import kinds, places
from shim.routes.route import BodyMode
from shim.wire.forwarding import TrustedProxies


class Options(BaseModel):
    """A table of the configuration; frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, reason: str, *, example: Any = None) -> Any:
    """One option.

    Args:
        default: As it would stand in TOML; None where there is none. It is parsed like any other value.
        reason: What it does and why the default is what it is, for the operator.
        example: Printed, commented out, in place of a default that is missing or not the same everywhere.
    """
    examples = None if example is None else [example]
    # Defaults are written as an operator would, and parsed like anything else: the printed ones are true.
    return Field(default, validate_default=True, description=reason, examples=examples)


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
        "a time, instead of by the event loop. Only on Linux and without TLS; off shows whether a fault lies "
        "there.",
    )

    @property
    def trusted(self) -> TrustedProxies:
        """``trusted_proxies``, as the forwarding of headers asks for them."""
        networks = tuple(peer for peer in self.trusted_proxies if not isinstance(peer, str))
        return TrustedProxies(networks, unix="unix" in self.trusted_proxies)


class LimitOptions(Options):
    """How much at once, and how slow."""

    max_head: kinds.LeastSize = option(
        "64KiB",
        "Request line and headers of one request together; more is answered with 431. A uwsgi packet holds "
        "no more than 64 KiB either.",
    )
    max_connections: kinds.CountLimit = option(
        10000,
        "Client connections open at once. Each holds a descriptor and some memory, also while idle; check "
        "the limit of open files before raising it.",
    )
    max_connections_per_address: kinds.CountLimit = option(
        "unlimited",
        "Those of one client address (IPv6: of its /64) among them; one more is answered with 429. The "
        "addresses of trusted_proxies have no such limit, since they stand for many clients.",
    )
    max_uploads: kinds.CountLimit = option(
        1000,
        "Bodies over 64 KiB being received or waiting, all clients together; one more is answered with 503 "
        "and Retry-After. Each may hold an open file of the spool.",
    )
    queue: kinds.CountLimit = option(
        1000,
        "Requests waiting for a slot of an upstream (upstreams.NAME.max_inflight), all together; one more is "
        "answered with 503 and Retry-After. A place costs no memory beyond the body.",
    )
    max_uploads_per_project: kinds.CountLimit = option(
        "unlimited",
        "Those of one project among them; one more is answered with 429 and Retry-After. A project is the "
        "owner of the image, else the client's address (IPv6: its /64).",
    )
    min_rate: kinds.Rate = option(
        "1KiB/s",
        "A body that comes slower than this, over the last min_rate_grace, is answered with 408: it holds a "
        "place that others wait for. 0 asks for no rate. Time that the shim itself held the client back does "
        "not count.",
    )
    min_rate_grace: kinds.Wait = option(
        "30s",
        "The time over which min_rate is measured, long enough for a mobile link to come back.",
    )


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
        "reach the address; better in the environment than in the file: GLANCE_SHIM_ADMIN__TOKEN.",
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
    access: kinds.Switch = option(
        True, "Whether each request gets a line at its end, with its bytes and times."
    )


class SpoolOptions(Options):
    """Where bodies are kept until they are forwarded, and how much of the disk they may use."""

    directory: places.Directory = option(
        "/tmp",  # noqa: S108 - files in it never have a name that could be foreseen: O_TMPFILE
        "Where bodies wait until they are forwarded; no file in it has a name, none outlives its request. "
        "By default $TMPDIR where that is set, else /tmp, as Apache's proxy-sendcl does; better is a file "
        "system of its own. On a tmpfs bodies use up memory: check warns.",
        example="/var/lib/glance-shim/spool",
    )
    memory_limit: kinds.Size = option(
        "256KiB",
        "A body up to this size stays in memory, a larger one goes to disk. JSON requests are smaller, "
        "images larger; max_uploads times this is the memory they can use.",
    )
    max_body: kinds.SizeLimit = option(
        "1TiB",
        "One body; a larger one is answered with 413, at once where its length is declared. The default is "
        "that of Glance's own image_size_cap.",
    )
    max_total: kinds.SpaceLimit = option(
        "80%",
        "All bodies together; one that does not fit is answered with 503 and Retry-After. A share is of the "
        "file system that the directory is on.",
    )
    max_per_project: kinds.SpaceLimit = option(
        "unlimited",
        "All bodies of one project; one that does not fit is answered with 429 and Retry-After. Set it where "
        "no project shall be able to fill the spool alone.",
    )
    min_free: kinds.SpaceReserve = option(
        "5%",
        "Free space that is never used, for whatever else is on the file system; a body that would is "
        "answered with 507. 0 leaves no reserve.",
    )
    encryption: kinds.Switch = option(
        False,
        "Whether bodies on disk are encrypted (AES-256-GCM, a key for each body, never stored), for disks "
        "that may be lost or imaged. Off, since files have no name and mode 0600, and encrypting costs "
        "sendfile and hand-off. Needs the cryptography library: pip install glance-shim[encryption].",
    )


class TimeoutOptions(Options):
    """How long anything may take; each end has an answer or log line of its own."""

    header: kinds.Wait = option(
        "30s",
        "From the first byte of a request to the end of its head, then 408. Cuts off clients that hold "
        "connections by sending a header a minute.",
    )
    body_idle: kinds.WaitLimit = option(
        "1min", "No byte of a body for so long is answered with 408: the client is gone, or its network."
    )
    body_total: kinds.WaitLimit = option(
        "unlimited",
        "A whole body, then 408. Unlimited, since a large image over a slow line takes hours and "
        "limits.min_rate already ends those that only drip.",
    )
    queue: kinds.WaitLimit = option(
        "1min",
        "How long a request without a body may wait for a slot of its upstream, then 503 and Retry-After. By "
        "then most clients have given up themselves.",
    )
    queue_body: kinds.WaitLimit = option(
        "1h",
        "The same for a request with a body: it is here whole, and to send it again would cost the client "
        "more than to wait.",
    )
    connect: kinds.Wait = option(
        "5s",
        "One attempt to connect to an upstream server; a server in the same data centre takes milliseconds.",
    )
    connect_retry: kinds.Pause = option(
        "10s",
        "How long a refused connection, or a missing unix socket, is tried again, with growing pauses: a "
        "server that restarts costs no upload. 0s: not at all.",
    )
    cut_through_stall: kinds.WaitLimit = option(
        "30s",
        "How long a client may keep the server waiting after the forwarding of its body began while it still "
        "came in. Then the server is let go, the body is received to its end, and sent anew where that is "
        "safe (a Glance image that is queued again), else answered with 408. The server's own timeout for "
        "reading (uWSGI: socket-timeout) has to be longer.",
    )
    send: kinds.WaitLimit = option(
        "1min", "No byte taken by the upstream for so long while sending to it is answered with 504."
    )
    response: kinds.ResponseWait = option(
        "auto",
        "From the last byte sent to the head of the answer, then 504; the client's upload time never counts. "
        "auto is 10min plus the body's size at 20 MiB/s, since Glance hashes and stores before it answers. A "
        "given value stands as it is.",
    )
    response_idle: kinds.WaitLimit = option(
        "1min", "No byte of a begun answer from the upstream for so long cuts the connection to the client."
    )
    keepalive: kinds.Pause = option(
        "75s",
        "An idle client connection is closed after this. Longer than the 60s of most proxies in front, so "
        "that they close first and never send into a closing connection.",
    )
    drain: kinds.WaitLimit = option(
        "10min",
        "After SIGTERM, how long requests under way may take to end; then they are cut. systemd's "
        "TimeoutStopSec has to be longer.",
    )
    drain_delay: kinds.Pause = option(
        "0s",
        "After SIGTERM, how long to go on serving while /readyz already says no: the time that a load "
        "balancer needs to notice.",
    )
    linger: kinds.Pause = option(
        "30s",
        "After an early refusal, how long to read on and discard what the client still sends, so that it "
        "gets to read the answer instead of a reset.",
    )


class ServiceAuthOptions(Options):
    """An account of keystone's with the role "service", for uploads that outlive their token."""

    auth_url: places.HttpUrl = Field(
        description="Keystone's address, with its version.", examples=["https://keystone.example:5000/v3"]
    )
    username: places.Text = Field(description="The account.", examples=["glance"])
    password: places.Secret = Field(
        description="Its password. Better in the environment than in the file: "
        "GLANCE_SHIM_GLANCE__SERVICE_AUTH__PASSWORD.",
        examples=["secret"],
    )
    project_name: places.Text = option("service", "Its project.")
    user_domain_name: places.Text = option("Default", "The domain of the account.")
    project_domain_name: places.Text = option("Default", "The domain of the project.")
    ca_file: places.Directory | None = option(
        None,
        "Who signed keystone's certificate, as PEM; by default whom the system trusts.",
        example="/etc/ssl/certs/cloud.pem",
    )


class GlanceOptions(Options):
    """What is done for uploads because Glance stands behind; of no effect where service = "none"."""

    look: kinds.Switch = option(
        True,
        "Whether Glance is asked for the image, with the client's own token, before its data is taken: a bad "
        "token, a missing image, or one that has its data is answered at once instead of after the upload. "
        "It never lets in what Glance would refuse.",
    )
    delete_stuck: kinds.Switch = option(
        False,
        "Whether an image that a killed worker left in 'saving' or 'uploading' is deleted with the client's "
        "token. It takes no data any more, but its id is the client's to give up; so off.",
    )
    service_auth: ServiceAuthOptions | None = Field(
        None,
        description="Uploads that outlive their token: Glance sees a token only when the whole body is here, "
        "and refuses one that expired meanwhile, unless a service's token comes with it. With this account "
        "the shim gets one from keystone and adds it where Glance accepted the client's token before the "
        "body (look). Glance needs service_token_roles_required = true in [keystone_authtoken].",
    )


class UpstreamOptions(Options):
    """One group of servers that do the same work."""

    servers: places.UpstreamUrls = Field(
        description="Its servers, as URLs: http://host:port, https://host:port, http+unix:///path.sock, "
        "uwsgi://host:port, uwsgi+unix:///path.sock, wsgi:package.module:callable.",
        examples=[["uwsgi+unix:///run/glance/api.sock"]],
    )
    mount: places.Mount = option(
        "",
        "The path that the service lives under, which it is told as SCRIPT_NAME and which is not part of "
        'PATH_INFO, like "/image".',
    )
    max_inflight: kinds.SlotLimit = option(
        "auto",
        "Requests in each of its servers at once; further ones wait here, where small ones pass uploads and "
        "projects take turns. Set it to the server's workers times threads. auto finds that out where it "
        "can: from stats, or as the threads of a wsgi: application; else there is no limit.",
    )
    stats: places.Stats | None = option(
        None,
        "Where uWSGI tells its state (its option stats): HOST:PORT or a socket's path; with stats-http an "
        "http:// URL. Read for max_inflight = auto, now and then while requests go there; what it says holds "
        "for each of the servers.",
        example="127.0.0.1:9191",
    )
    upload_share: kinds.Part = option(
        0.75,
        "Part of max_inflight, of all servers together, that bodies over 1 MiB may hold, so that small "
        "requests never wait for uploads to end: at least one slot; of several never all.",
    )


class RouteOptions(Options):
    """Requests of one kind: which they are, where they go, how their body is forwarded."""

    name: places.Name | None = option(
        None, "What it is called in logs and metrics; by default its path.", example="image-upload"
    )
    methods: tuple[places.Method, ...] = option([], "Its methods; [] is any.", example=["PUT"])
    path: places.RoutePath = Field(
        description="Its path: * stands for one segment, ** for any number of them.",
        examples=["/v2/images/*/file"],
    )
    upstream: places.Name | None = option(
        None, "The upstream that it leads to; may be left out where there is only one.", example="glance"
    )
    body: BodyMode | None = option(
        None, "How its bodies are forwarded; by default as the top-level body says.", example="spool"
    )
    max_body: kinds.SizeLimit | None = option(
        None,
        "The longest body that it takes, where that is less than spool.max_body. Give routes that carry no "
        "images a small one: their requests are not looked at before the body.",
        example="16MiB",
    )
