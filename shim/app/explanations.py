"""What each refusal means, where it comes from and what to do: one explanation for every code.

The admin listener shows them (``help.py``), and the manual's page of refusals is generated from them, so
neither can lack a code or keep one that is gone. In the texts `…` marks option names and commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code, for the operator.

    Attributes:
        means: What happened, in a sentence.
        cause: Where it comes from, the likeliest first.
        do: What to do about it.
        see: A page of the manual that says more, with its anchor; or nothing.
    """

    means: str
    cause: str
    do: str
    see: str = ""


_MODES = "operating.md#body-modes"
_LINE = "operating.md#workers-and-the-line-for-them"
_UPLOADS = "operating.md#uploads-to-glance"
_SPOOL = "tuning.md#the-spool"

# -- the client's fault ---------------------------------------------------------------------------

_CLIENT = {
    "bad_request": Explanation(
        "The request line or a header is malformed. Nothing reached the server behind.",
        "A broken client or scanner; plain HTTP sent to a TLS listener, or TLS to a plain one; a proxy in "
        "front that mends too little.",
        "Read the detail in the answer, it names the line. With TLS compare the client's `https://` with "
        "`server.tls`.",
    ),
    "bad_framing": Explanation(
        "Chunks or lengths are malformed or contradict each other, so that nobody can say where the body "
        "ends. Nothing of it was forwarded as whole, and the connection is closed.",
        "A client that writes chunks by hand; a proxy in front that changes bodies; an attempt to smuggle a "
        "request.",
        "Look at the client, or at the proxy in front of the shim. The shim takes no switch for this.",
    ),
    "size_mismatch": Explanation(
        "The body is not as long as its head declares, or not what its Content-Digest or Content-MD5 says.",
        "The file, or bytes on their way, changed; the source broke off; `x-openstack-image-size` is wrong.",
        "Repeat the upload. Glance's image is still `queued`. The detail names what differs.",
        "operating.md#declared-digests",
    ),
    "token_expired": Explanation(
        "The token was good when the upload began, and Glance refused it when the body had come.",
        "Glance looks at the token only when the whole body is here, and the upload took longer than the "
        "token lives.",
        "Set `glance.service_auth`, or give tokens a longer life than your slowest upload.",
        _UPLOADS,
    ),
    "header_timeout": Explanation(
        "The head of a request took longer than `timeouts.header`.",
        "A hostile client (slowloris), a health check that connects and says nothing, a dying network.",
        "Nothing, if the client is none of yours. Else raise `timeouts.header`.",
    ),
    "body_idle_timeout": Explanation(
        "No byte of the body came for `timeouts.body_idle`.",
        "The client stalled or lost its network; a proxy in front holds the body back.",
        "Repeat the upload. If it happens to many: look at the proxy in front, its buffering has to be off.",
        "hosting-in-front.md",
    ),
    "body_total_timeout": Explanation(
        "The whole body took longer than `timeouts.body_total`.",
        "The option is set, and lower than image size ÷ the client's speed.",
        "Raise it, or leave it `unlimited`: `limits.min_rate` ends those that only drip.",
    ),
    "body_too_slow": Explanation(
        "The body came slower than `limits.min_rate` over `limits.min_rate_grace`; or the client fell behind "
        "for `timeouts.cut_through_stall` after forwarding began, where the body cannot be sent anew.",
        "A very slow line, or a client that drips to hold a place.",
        'Lower `limits.min_rate` if your clients\' lines are that slow. For the second: `body = "spool"`.',
        _MODES,
    ),
    "image_conflict": Explanation(
        "The image is not `queued`, so Glance would refuse the data unread.",
        "It has its data already; another upload to it is under way; a killed worker left it in `saving`.",
        "Make a new image. One that stays in `saving` can only be deleted; `glance.delete_stuck` does so for "
        "uploads that fail from then on.",
        _UPLOADS,
    ),
    "expectation_failed": Explanation(
        "The request has an Expect other than `100-continue`.",
        "An unusual client.",
        "Look at the client; HTTP knows no other expectation.",
    ),
    "head_too_large": Explanation(
        "Request line and headers exceed `limits.max_head`, are more than 1000, or exceed what uWSGI takes: "
        "65,535 bytes and 128 variables, some twenty of them the shim's.",
        "Very large tokens (PKI, many roles), or a client gone wild with cookies or fields.",
        "Use fernet tokens; raise `limits.max_head` for HTTP servers. uWSGI has no more.",
    ),
    "unknown_coding": Explanation(
        "The body has a transfer coding other than chunked.",
        "A client that compresses on the way (`Transfer-Encoding: gzip`).",
        "Look at the client; send the body as it is.",
    ),
    "unknown_method": Explanation(
        "CONNECT, or a method that HTTP does not know.",
        "Somebody takes the shim for a forward proxy.",
        "Look at the client's proxy settings.",
    ),
    "client_gone": Explanation(
        "The client closed its connection before its answer. It stands in log and metrics only.",
        "The person gave up; the client has a timeout of its own; the front proxy's timeout is shorter than "
        "Glance needs to store the image.",
        "If it comes after a round number of seconds (60, 300): raise the timeout of the proxy in front.",
        "hosting-in-front.md",
    ),
    "client_too_slow": Explanation(
        "The client took nothing of its answer for `timeouts.send`, or less than `limits.min_rate` over "
        "`limits.min_rate_grace`, and was cut off. It stands in log and metrics only.",
        "A client that was stopped or lost its network in the middle of a download; a full disk of its own; "
        "ill will.",
        "Repeat the download. If your clients' lines are that slow: lower `limits.min_rate`.",
        "operating.md#slow-downloads",
    ),
}

# -- our limits -----------------------------------------------------------------------------------

_LIMITS = {
    "body_too_large": Explanation(
        "The body exceeds `spool.max_body`, its route's `max_body`, or the whole of `spool.max_total`.",
        "A large image and a small spool; or JSON over 16 MiB.",
        "Raise the limit that the detail names, or take a larger disk.",
        _SPOOL,
    ),
    "project_limit": Explanation(
        "The project holds `spool.max_per_project`, has `limits.max_uploads_per_project` uploads under way, "
        "or the address has `limits.max_connections_per_address` connections.",
        "One project uploads much at once. Many clients behind one untrusted proxy or NAT count as one.",
        "Its own uploads end. Name proxies in `server.trusted_proxies`, or raise the limit. Where the answer "
        'says "in the cloud", it is one of `limits.cloud`.',
    ),
    "spool_full": Explanation(
        "All bodies together hold `spool.max_total`.",
        "More uploads at once than the disk has room for; servers that take bodies too slowly, so that they "
        "wait in the spool.",
        "Look at `/uploads`: if most are `waiting`, add workers to Glance, else disk to the spool.",
        _SPOOL,
    ),
    "uploads_full": Explanation(
        "`limits.max_uploads` bodies are being received or waiting; or, where the answer says so, "
        "`limits.cloud.max_uploads` in all shims of the cloud.",
        'Many clients; or "was locked for 0.1 s" in the log: a worker of the shim was stopped.',
        "Raise it if disk, memory and descriptors allow: `glance-shim check` says.",
        "operating.md#the-shims-own-workers",
    ),
    "queue_full": Explanation(
        "`limits.queue` requests wait for a server, or `limits.max_connections` connections are open.",
        "Glance has too few workers for the load, or a server hangs.",
        "More workers; then raise the limit (for connections together with the limit of open files).",
        _LINE,
    ),
    "queue_timeout": Explanation(
        "No slot of the server came free within `timeouts.queue` (with a body: `timeouts.queue_body`).",
        "All of Glance's workers are busy with uploads, or hang.",
        "More workers, or a lower `upload_share` for more room beside uploads.",
        _LINE,
    ),
    "draining": Explanation(
        "The shim is shutting down and takes nothing new.",
        "A restart or an upgrade.",
        "The client repeats it. To refuse none: sockets from systemd, in which new connections wait, or "
        "`timeouts.drain_delay` behind a load balancer.",
        "operating.md#reload-and-restart-without-a-gap",
    ),
    "cancelled": Explanation(
        "An operator ended the upload.",
        "`glance-shim uploads cancel`, `top`, or the status page; the audit line in the log says who.",
        "Ask whoever did it before it is repeated. The answer says whether the server had begun to take it.",
        "operating.md#ending-an-upload",
    ),
    "disk_full": Explanation(
        "Free space on the spool's file system is below `spool.min_free`, or a write found no room (quotas "
        "too).",
        "Something else fills the file system; `spool.max_total` is larger than what is free.",
        "Make room, or give the spool a file system of its own.",
        _SPOOL,
    ),
    "disk_error": Explanation(
        "The spool's disk failed to write or to read back.",
        "A dying disk, a lost mount; with `spool.encryption`: bytes that were altered on the disk.",
        "Look at the kernel's log (`dmesg`); move `spool.directory` to another disk.",
    ),
}

# -- the upstream's fault -------------------------------------------------------------------------

_UPSTREAM = {
    "no_upstream": Explanation(
        "No route matches the request, or all servers of its upstream are drained.",
        "Own `[[routes]]` that do not cover all paths, with several upstreams; the last server taken out "
        "by `/servers/drain`.",
        'Add a last route with `path = "/**"` (`glance-shim config --explain METHOD PATH` shows which are '
        "tried); take a server back by `/servers/restore`.",
    ),
    "upstream_refused": Explanation(
        "Nobody listens at the server's address, also after `timeouts.connect_retry`.",
        "Glance's server is down, or restarts for longer than that; a wrong address; a socket that the "
        "shim's user may not open.",
        "Start the server; the log line names the address. `glance-shim check` says what is wrong.",
    ),
    "upstream_closed": Explanation(
        "The server closed the connection before its answer was whole.",
        "uWSGI's `buffer-size` is smaller than the head (4096 by default, tokens need more); a worker was "
        "killed (harakiri, out of memory, a reload past `worker-reload-mercy`).",
        "Set `buffer-size = 65535`: `glance-shim check` finds that cause. Else look at uWSGI's log. The "
        "answer tells the state of the image.",
        "operating.md#upstream_closed",
    ),
    "upstream_invalid": Explanation(
        "The server's answer is not HTTP, or its framing is ambiguous.",
        "The URL names the wrong protocol (`http://` for uWSGI's `socket`, or `uwsgi://` for `http-socket`).",
        "`glance-shim check --upstream URL` says which one is right.",
    ),
    "connect_timeout": Explanation(
        "No connection to the server within `timeouts.connect`.",
        "Its listen queue is full, a firewall drops packets, or the host is down.",
        "Look at the server and the network; uWSGI's `listen` is the length of its queue.",
    ),
    "send_timeout": Explanation(
        "The server took no byte of the body for `timeouts.send`.",
        "A worker hangs: a store that does not answer (NFS, Ceph), a lock in the database.",
        "Look at Glance's store; raise `timeouts.send` only if it is slow by nature.",
    ),
    "response_timeout": Explanation(
        "No answer within `timeouts.response` after the last byte, or nothing more of one for "
        "`timeouts.response_idle`.",
        "A slow store, or a worker that hangs. By default the time grows with the body (10 min + 1 s for "
        "each 20 MiB).",
        "Look at Glance's store first. A value of your own does not grow with the body: unset or raise it.",
        "tuning.md#timeouts-from-the-client-to-the-store",
    ),
    "internal_error": Explanation(
        "A fault of the shim itself.",
        "A bug. Nothing of the body was taken for whole.",
        "The log has the traceback beside the request's id: please report it.",
    ),
}

EXPLANATIONS: Mapping[str, Explanation] = {**_CLIENT, **_LIMITS, **_UPSTREAM}
"""Every code of ``answers.STATUSES``, and no other."""
