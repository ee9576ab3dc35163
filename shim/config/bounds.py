"""The options of how much, how long and how slow: limits, the spool, timeouts.

``unlimited`` is written out; 0 never means it.
"""

from pydantic import Field

from shim.config import kinds, places
from shim.config.cloud import CloudOptions
from shim.config.option import Options, option


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
        "Those of one project among the bodies of max_uploads; one more is answered with 429 and "
        "Retry-After. A project is the owner of the image, else the client's address (IPv6: its /64).",
    )
    min_rate: kinds.Rate = option(
        "1KiB/s",
        "A body that comes slower than this, over the last min_rate_grace, is answered with 408: it holds a "
        "place that others wait for. An answer that is taken slower is cut. 0 asks for no rate. Time that "
        "the shim itself held the client back does not count.",
    )
    min_rate_grace: kinds.Wait = option(
        "30s",
        "The time over which min_rate is measured, long enough for a mobile link to come back.",
    )
    shared: places.Shared | None = option(
        None,
        "A Valkey or Redis server, through which all shims of a cloud share the limits of [limits.cloud] and "
        "the list of their uploads: redis://HOST:PORT, rediss:// (TLS) or unix:///path, with USER:PASSWORD@ "
        "before the host where it asks for them (better in the environment, GLANCE_SHIM_LIMITS__SHARED, or "
        "in limits.cloud.password_file). By default this shim counts alone. Needs the redis library: pip "
        "install glance-shim[shared].",
        example="redis://valkey.example:6379",
    )
    cloud: CloudOptions = Field(default_factory=CloudOptions)


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
    max_response: kinds.Size = option(
        "1GiB",
        "What one answer may have in the spool because its client reads more slowly than the server sends: "
        "the server is then free although the client still reads. Beyond it, and where the spool is full, "
        "the server waits for the client. 0B: it always does.",
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
        "To the end of a request's head, then 408: from its first byte, on a new connection from the "
        "connection's. Cuts off clients that hold connections by sending a header a minute, or nothing.",
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
        "1min",
        "No byte taken by the upstream for so long while sending to it is answered with 504. A client that "
        "takes nothing of its answer for so long is cut off.",
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
