"""The options of what stands behind: Glance, upstreams, and the routes that lead there.

A single upstream needs none of these tables.
"""

from pydantic import Field

from shim.config import kinds, places
from shim.config.option import Options, option
from shim.routes.route import BodyMode
from shim.upstream.balance import Balance


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
    max_uploads: kinds.CountLimit = option(
        "unlimited",
        "Bodies over 1 MiB in each of its servers at once: where a server's disk or network bears only so "
        "many, or max_inflight is not known. upload_share holds over all servers together.",
    )
    balance: Balance = option(
        "least-inflight",
        "Which of several servers a request goes to: the one that does least; round-robin, each in turn; "
        "first-available, the first in the list that has room; or sticky, the same one for all requests of "
        "an image, so that what was staged is found by its import (others go to the one that does least).",
    )
    weights: tuple[kinds.Count, ...] = option(
        [],
        "How much of the work each server is to get beside the others, one number for each of servers; [] "
        "is the same for all.",
    )
    probe: kinds.Interval = option(
        "10s",
        "How often each of several servers is probed: a uwsgi ping, Glance's /healthcheck over HTTP, else a "
        "connection. One that fails twice in a row gets nothing until a probe succeeds. A single server is "
        "not probed: there is no other to go to.",
    )
    eject_after: kinds.CountLimit = option(
        3,
        "Failures in a row (no connection, a broken one, no answer in time) after which a server is left out "
        "for eject_for. An error that it answers with is no failure: the others might well say the same.",
    )
    eject_for: kinds.Wait = option(
        "10s", "How long it is left out; twice as long each further time in a row, up to 5min."
    )
    slow_return: kinds.Pause = option(
        "30s",
        "How long a server that is back gets less than its part, growing from a tenth: caches are cold, and "
        "what brought it down may still be there.",
    )
    resolve: kinds.Interval = option(
        "off",
        "How often the names among servers are looked up, all addresses of each being servers of their own "
        "(at most 16 a name). One that has gone gets nothing new. off: a name is one server, and looked up "
        "for each connection.",
        example="30s",
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
    headers: places.HeaderPatterns = option(
        {},
        "Fields that a request has to have, all of them, each with a pattern for its value: * is any number "
        "of characters. A client can send what it likes: use it to sort, not to protect.",
        example={"user-agent": "*glanceclient*"},
    )
    at_least: kinds.Size | None = option(
        None,
        "The least size that a request's body is declared to have (Content-Length, or "
        "x-openstack-image-size; 0 without a body). One whose size nobody has said takes no route that asks "
        "for one.",
        example="100GiB",
    )
    at_most: kinds.Size | None = option(None, "The largest, in the same way.", example="1TiB")
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
    min_rate: kinds.Rate | None = option(
        None, "In place of limits.min_rate, for its bodies.", example="64KiB/s"
    )
    min_rate_grace: kinds.Wait | None = option(None, "In place of limits.min_rate_grace.", example="30s")
    body_idle: kinds.WaitLimit | None = option(None, "In place of timeouts.body_idle.", example="5min")
    body_total: kinds.WaitLimit | None = option(None, "In place of timeouts.body_total.", example="6h")
    cut_through_stall: kinds.WaitLimit | None = option(
        None, "In place of timeouts.cut_through_stall.", example="10s"
    )
    queue: kinds.WaitLimit | None = option(None, "In place of timeouts.queue.", example="10s")
    queue_body: kinds.WaitLimit | None = option(None, "In place of timeouts.queue_body.", example="6h")
    connect: kinds.Wait | None = option(None, "In place of timeouts.connect.", example="2s")
    connect_retry: kinds.Pause | None = option(None, "In place of timeouts.connect_retry.", example="1min")
    send: kinds.WaitLimit | None = option(
        None, "In place of timeouts.send, towards the server.", example="2min"
    )
    response: kinds.ResponseWait | None = option(None, "In place of timeouts.response.", example="30s")
    response_idle: kinds.WaitLimit | None = option(
        None, "In place of timeouts.response_idle.", example="10min"
    )
